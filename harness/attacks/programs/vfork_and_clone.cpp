// vfork and clone
// ends: timeout

#include "probe.h"

int main() {
    for (;;) {
        if (!vfork()) _exit(0);
        if (!fork()) pause();
    }
}
