// processes of others
// ends: ok
// prints: refused

#include "probe.h"

int main() {
    for (int pid : {1, (int)getppid()}) {
        probe_call("attach", SYS_ptrace, 16, pid);
        probe_call("seize", SYS_ptrace, 0x4206, pid);
        probe("kill", kill(pid, SIGKILL));
        probe("stop", kill(pid, SIGSTOP));
        probe_call("pidfd_getfd", 438, syscall(SYS_pidfd_open, pid, 0), 0, 0);
        char here[8];
        struct {
            void *at;
            size_t length;
        } mine{here, 8}, theirs{(void *)4096, 8};
        probe_call("vm_readv", SYS_process_vm_readv, pid, (long)&mine, 1, (long)&theirs, 1);
        for (const char *part : {"mem", "environ", "maps", "auxv", "fd", "fdinfo", "cwd", "exe"}) {
            std::string path = "/proc/" + std::to_string(pid) + "/" + part;
            int fd = open(path.c_str(), O_RDONLY);
            char c;
            ssize_t got = read(fd, &c, 1);
            if (fd >= 0 && (got > 0 || errno == EISDIR)) probe(path.c_str(), 0);
        }
        struct rlimit one{1, 1};
        probe("prlimit", prlimit(pid, RLIMIT_CPU, &one, nullptr));
    }
    puts("refused");
}
