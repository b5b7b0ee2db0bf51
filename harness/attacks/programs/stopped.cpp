// stopped
// ends: timeout

#include "probe.h"

int main() {
    kill(0, SIGSTOP);
    for (;;) pause();
}
