// every signal ignored
// ends: timeout

#include "probe.h"

int main() {
    for (int s = 1; s < 65; s++) signal(s, SIG_IGN);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, nullptr);
    for (;;);
}
