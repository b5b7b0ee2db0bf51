// stack
// ends: no_result, memory_exceeded

#include "probe.h"

int main() {
    struct F {
        static int f(int n) {
            volatile char c[4096];
            c[0] = n;
            return f(n + 1) + c[0];
        }
    };
    return F::f(0);
}
