// flood
// ends: timeout

#include "probe.h"

int main() {
    static char some[1 << 16];
    for (;;)
        if (write(1, some, sizeof some) < 0) abort();
}
