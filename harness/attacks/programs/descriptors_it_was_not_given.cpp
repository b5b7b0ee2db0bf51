// descriptors it was not given
// ends: ok
// prints: refused

#include "probe.h"

int main() {
    for (int fd = 3; fd < 65536; fd++)
        if (fcntl(fd, F_GETFD) >= 0) {
            std::string path = "/proc/self/fd/" + std::to_string(fd);
            char to[256] = {};
            readlink(path.c_str(), to, 255);
            probe((path + " " + to).c_str(), 0);
        }
    puts("refused");
}
