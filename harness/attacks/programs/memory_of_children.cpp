// memory of children
// ends: memory_exceeded, timeout, ok

#include "probe.h"

int main() {
    for (int n = 0; n < 8; n++)
        if (!fork())
            for (;;) memset(malloc(1 << 20), 1, 1 << 20);
    while (wait(nullptr) > 0);
    return 0;
}
