// orphans that ignore signals
// ends: ok

#include "probe.h"

int main() {
    for (int n = 0; n < 20; n++)
        if (!fork()) {
            setsid();
            if (fork()) _exit(0);
            for (int s = 1; s < 65; s++) signal(s, SIG_IGN);
            for (;;) pause();
        }
    puts("left");
}
