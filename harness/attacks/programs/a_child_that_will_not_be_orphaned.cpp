// a child that will not be orphaned
// ends: ok, timeout

#include "probe.h"

int main() {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (int n = 0; n < 50; n++)
        if (!fork()) {
            prctl(PR_SET_PDEATHSIG, 0);
            if (!fork())
                for (;;);
            _exit(0);
        }
    _exit(0);
}
