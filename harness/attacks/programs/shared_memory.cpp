// shared memory
// ends: exit_nonzero, memory_exceeded, no_result

#include "probe.h"

int main() {
    std::vector<char> some(1 << 20, 1);
    int fd = shm_open("/x", O_RDWR | O_CREAT, 0600);
    if (fd < 0) return 3;
    for (;;)
        if (write(fd, some.data(), some.size()) < 0) return 4;
}
