// calls of the x32 kind
// ends: no_result, exit_nonzero

#include "probe.h"

int main() {
    probe_call("open", SYS_open | 0x40000000, (long)"/etc/passwd", O_RDONLY);
    return 3;
}
