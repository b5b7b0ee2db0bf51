// plants what a later one would find
// ends: ok
// prints: refused
// sent: 2 times

#include "probe.h"
#include <sys/ipc.h>

int main() {
    for (const char *path : {"/tmp/planted", "/dev/shm/planted", "/var/tmp/planted"}) {
        if (access(path, F_OK) == 0) probe(path, 0);
        close(open(path, O_CREAT | O_WRONLY, 0600));
    }
    int segment = (int)syscall(SYS_shmget, 77, 4096, 0600);
    if (segment >= 0) probe("segment", 0);
    syscall(SYS_shmget, 77, 4096, IPC_CREAT | 0600);
    if (getenv("PLANTED")) probe("variable", 0);
    setenv("PLANTED", "1", 1);
    puts("refused");
}
