// calls of 32 bits
// ends: no_result, ok

#include "probe.h"

int main() {
    long r = 20;
    asm volatile("int $0x80" : "+a"(r));
    printf("%ld\n", r);
}
