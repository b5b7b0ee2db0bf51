// fork bomb
// ends: timeout, no_result

#include "probe.h"

int main() {
    for (;;) fork();
}
