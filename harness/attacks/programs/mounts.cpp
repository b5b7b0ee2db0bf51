// mounts
// ends: ok
// prints: refused

#include "probe.h"

int main() {
    probe_call("mount", SYS_mount, (long)"x", (long)"/tmp", (long)"tmpfs", 0, 0);
    probe_call("bind", SYS_mount, (long)"/proc", (long)"/tmp", 0, 4096, 0);
    probe_call("umount", SYS_umount2, (long)"/proc", 2);
    probe_call("pivot_root", SYS_pivot_root, (long)"/tmp", (long)"/tmp");
    probe_call("chroot", SYS_chroot, (long)"/tmp");
    probe_call("open_tree", 428, -100, (long)"/", 1);
    probe_call("fsopen", 430, (long)"tmpfs", 0);
    probe_call("fspick", 433, -100, (long)"/", 0);
    probe_call("mount_setattr", 442, -100, (long)"/", 0, 0, 0);
    puts("refused");
}
