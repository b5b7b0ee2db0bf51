// asleep
// ends: timeout

#include "probe.h"

int main() {
    for (;;) pause();
}
