// all descriptors used
// ends: exit_nonzero, memory_exceeded

#include "probe.h"

int main() {
    int ends[2];
    while (pipe(ends) == 0) {
        std::vector<char> some(65536, 1);
        write(ends[1], some.data(), some.size());
    }
    return 3;
}
