// What C++ programs of this folder begin with: probe() names whatever worked that must not.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sched.h>
#include <string>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>
static void probe(const char *name, long result) {
    if (result >= 0) {
        printf("worked: %s\n", name);
        fflush(stdout);
    }
}
static void probe_call(const char *name, long number, long a = 0, long b = 0, long c = 0,
                       long d = 0, long e = 0) {
    probe(name, syscall(number, a, b, c, d, e));
}
