// memory
// ends: memory_exceeded

#include "probe.h"

int main() {
    for (;;) memset(malloc(1 << 20), 1, 1 << 20);
}
