// its own program
// ends: ok
// prints: refused

#include "probe.h"

int main() {
    probe("write exe", open("/proc/self/exe", O_WRONLY));
    probe("truncate exe", truncate("/proc/self/exe", 0));
    int own = open("/proc/self/exe", O_RDONLY);
    probe("chmod exe", fchmod(own, 0777));
    if (mmap(nullptr, 4096, PROT_WRITE, MAP_SHARED, own, 0) != MAP_FAILED) probe("map exe", 0);
    puts("refused");
}
