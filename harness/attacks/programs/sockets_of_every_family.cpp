// sockets of every family
// ends: ok
// prints: refused

#include "probe.h"

int main() {
    for (int family = 0; family < 64; family++)
        for (int type = 1; type < 7; type++)
            probe(("family " + std::to_string(family)).c_str(), socket(family, type, 0));
    puts("refused");
}
