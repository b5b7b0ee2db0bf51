// all descriptors closed
// ends: ok

#include "probe.h"

int main() {
    for (int fd = 0; fd < 1024; fd++) close(fd);
    _exit(0);
}
