// rights
// ends: ok
// prints: refused

#include "probe.h"

int main() {
    probe("setuid", setuid(0));
    probe("setgid", setgid(0));
    probe("setresuid", setresuid(0, 0, 0));
    probe_call("setgroups", SYS_setgroups, 0, 0);
    unsigned head[2] = {0x20080522, 0}, body[6] = {~0u, ~0u, 0, ~0u, ~0u, 0};
    probe_call("capset", SYS_capset, (long)head, (long)body);
    probe("ambient", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 21, 0, 0));
    probe("privileges again", prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    probe("chown", chown("/tmp", 0, 0));
    probe("mknod", mknod("/tmp/d", S_IFCHR | 0600, 257));
    probe("nice", setpriority(PRIO_PROCESS, 0, -20));
    sched_param now{9};
    probe("real time", sched_setscheduler(0, SCHED_FIFO, &now));
    struct rlimit much{RLIM_INFINITY, RLIM_INFINITY};
    for (int which : {RLIMIT_CORE, RLIMIT_NOFILE, RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_MEMLOCK})
        probe(("limit " + std::to_string(which)).c_str(),
              setrlimit((__rlimit_resource)which, &much));
    puts("refused");
}
