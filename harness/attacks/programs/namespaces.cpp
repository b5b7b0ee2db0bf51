// namespaces
// ends: ok
// prints: refused

#include "probe.h"

int main() {
    for (long flag : {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC,
                      CLONE_NEWUTS, CLONE_NEWCGROUP}) {
        probe_call("unshare", SYS_unshare, flag);
        long pid = syscall(SYS_clone, flag | SIGCHLD, 0, 0, 0, 0);
        if (pid == 0) _exit(0);
        probe("clone", pid);
    }
    for (const char *which : {"user", "mnt", "pid", "net", "ipc", "uts"}) {
        int fd = open((std::string("/proc/1/ns/") + which).c_str(), O_RDONLY);
        probe("ns of 1", fd);
        fd = open((std::string("/proc/self/ns/") + which).c_str(), O_RDONLY);
        probe_call("setns", SYS_setns, fd, 0);
    }
    puts("refused");
}
