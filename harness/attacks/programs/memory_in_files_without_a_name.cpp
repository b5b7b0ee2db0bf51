// memory in files without a name
// ends: memory_exceeded, exit_nonzero, no_result

#include "probe.h"

int main() {
    std::vector<char> some(1 << 20, 1);
    int fd = memfd_create("x", 0);
    for (;;)
        if (write(fd, some.data(), some.size()) < 0) return 3;
}
