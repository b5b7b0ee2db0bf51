"""Programs that reach for what is not theirs: identity, other processes, the kernel, the machine.

Each returns the list of what it managed to do, so an empty list is the good answer.
"""

from __future__ import annotations

from harness.attacks.attack import Attack

_TOOLS = """
import ctypes, errno, os, stat
libc = ctypes.CDLL(None, use_errno=True)
done = []
def call(number, *arguments):
    return libc.syscall(*(ctypes.c_long(a) for a in (number, *arguments)))
def attempt(name, action):
    try:
        result = action()
    except (OSError, ValueError):
        return
    if result != -1:
        done.append(name)
def others():
    return [int(p) for p in os.listdir("/proc") if p.isdigit() and int(p) != os.getpid()]
"""

ATTACKS = (
    Attack(
        "another identity",
        _TOOLS
        + """
def main_solution():
    for name in ("setuid", "setgid", "seteuid", "setegid"):
        attempt(name, lambda: getattr(os, name)(0))
    attempt("setresuid", lambda: os.setresuid(0, 0, 0))
    attempt("setresgid", lambda: os.setresgid(0, 0, 0))
    attempt("setgroups", lambda: os.setgroups([0]))
    attempt("next user", lambda: os.setuid(os.getuid() + 1))
    attempt("setfsuid", lambda: 0 if call(122, 0) == 0 and call(122, 0) == 0 else -1)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    attempt("capset", lambda: call(126, ctypes.addressof(header),
                                   ctypes.addressof((ctypes.c_uint32 * 6)(*[2**32 - 1] * 6))))
    with open("/proc/self/status") as file:
        status = dict(line.split(":", 1) for line in file)
    done.extend(c for c in ("CapInh", "CapPrm", "CapEff", "CapAmb") if int(status[c], 16))
    done.extend(k for k, v in (("NoNewPrivs", "1"), ("Seccomp", "2")) if status[k].strip() != v)
    if {*os.getresuid(), *os.getresgid(), *os.getgroups()} & {0}: done.append("root id")
    return done
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "namespaces, mounts and chroot",
        _TOOLS
        + """
def main_solution():
    for flag in (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x8000000, 0x4000000, 0x2000000):
        attempt("unshare %x" % flag, lambda: libc.unshare(flag))
    attempt("setns", lambda: libc.setns(os.open("/proc/self/ns/mnt", os.O_RDONLY), 0))
    attempt("mount", lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None))
    attempt("bind", lambda: libc.mount(b"/", b"/tmp", None, 4096, None))
    attempt("umount", lambda: libc.umount2(b"/proc", 2))
    attempt("chroot", lambda: os.chroot("/tmp"))
    attempt("pivot_root", lambda: call(155, 0, 0))
    for number in (428, 429, 430, 431, 432, 433, 442, 467, 457, 458):
        attempt("mount call %d" % number, lambda: call(number, 0, 0, 0, 0, 0))
    return done
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "other processes: signals, memory, descriptors, limits",
        _TOOLS
        + """
import resource, signal
def main_solution():
    buffer = ctypes.create_string_buffer(64)
    vector = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 64)
    at = ctypes.addressof(vector)
    for pid in [1, os.getppid(), *others()]:
        attempt(f"signal {pid}", lambda: os.kill(pid, 0))
        attempt(f"stop {pid}", lambda: os.kill(pid, signal.SIGSTOP))
        attempt(f"queue {pid}", lambda: libc.sigqueue(pid, 9, None))
        attempt(f"ptrace {pid}", lambda: libc.ptrace(16, pid, 0, 0))
        attempt(f"seize {pid}", lambda: libc.ptrace(0x4206, pid, 0, 0))
        attempt(f"read {pid}", lambda: call(310, pid, at, 1, at, 1, 0))
        attempt(f"write {pid}", lambda: call(311, pid, at, 1, at, 1, 0))
        attempt(f"pidfd {pid}", lambda: call(434, pid, 0))
        attempt(f"kcmp {pid}", lambda: call(312, pid, os.getpid(), 0, 0, 0))
        attempt(f"prlimit {pid}", lambda: resource.prlimit(pid, resource.RLIMIT_CPU, (1, 1)))
        attempt(f"priority {pid}", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))
        attempt(f"affinity {pid}", lambda: os.sched_setaffinity(pid, {0}))
        for name in ("mem", "environ", "maps", "fd", "cwd", "root", "exe", "io", "stack", "syscall",
                     "auxv", "fdinfo", "ns/mnt", "pagemap", "personality"):
            path = f"/proc/{pid}/{name}"
            attempt(path, lambda: os.listdir(path) if name in ("fd", "fdinfo")
                    else os.readlink(path) if name in ("cwd", "root", "exe", "ns/mnt")
                    else os.read(os.open(path, os.O_RDONLY), 1))
        for name in ("oom_score_adj", "comm", "timerslack_ns", "clear_refs", "coredump_filter"):
            attempt(f"set {pid} {name}", lambda: os.write(os.open(f"/proc/{pid}/{name}", 1), b"1"))
    return done
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "everybody killed at once",
        _TOOLS
        + """
import signal
def main_solution():
    for signal_number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM):
        for pid in [1, os.getppid(), -os.getppid(), -1, 0, *others(), *range(1, 400)]:
            if pid not in (os.getpid(), 0):
                try: os.kill(pid, signal_number)
                except OSError: pass
    return 1
""",
        ("ok", "no_result"),
        output=1,
    ),
    Attack(
        "inherited descriptors",
        """
import fcntl, os, stat
def main_solution():
    bad = []
    for fd in range(70000):
        try: info = os.fstat(fd)
        except OSError: continue
        if fd > 3: bad.append([fd, oct(info.st_mode)])
        if fd == 0 and not stat.S_ISCHR(info.st_mode): bad.append([0, oct(info.st_mode)])
        if fd in (1, 2, 3):
            if not stat.S_ISFIFO(info.st_mode): bad.append([fd, oct(info.st_mode)])
            if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_WRONLY: bad.append([fd, "read"])
            for mode in (os.O_RDONLY, os.O_RDWR):
                try: os.close(os.open(f"/proc/self/fd/{fd}", mode)); bad.append([fd, "reopened"])
                except OSError: pass
    return bad
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "kernel control files and cgroups",
        _TOOLS
        + """
import glob
def main_solution():
    paths = glob.glob("/sys/fs/cgroup/**/*", recursive=True) + glob.glob("/sys/kernel/**/*")
    paths += glob.glob("/proc/sys/**/*", recursive=True) + glob.glob("/proc/*")
    paths += glob.glob("/proc/self/**/*") + ["/proc/sysrq-trigger", "/sys/power/state"]
    own = {"/proc/self/" + name for name in (
        "clear_refs", "comm", "coredump_filter", "oom_adj", "oom_score_adj", "timerslack_ns", "mem",
        "autogroup", "sched", "make-it-fail", "fail-nth", "seccomp_cache", "task", "attr/current")}
    for path in paths:
        if path in own or path.startswith(("/proc/self/task/", "/proc/self/fd", "/proc/self/attr",
                                           "/proc/self/cwd", "/proc/thread-self")):
            continue
        if not os.path.isfile(path): continue
        attempt(path, lambda: os.close(os.open(path, os.O_WRONLY)) or 0)
    return done
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "what the machine tells",
        _TOOLS
        + """
def main_solution():
    for path in ("/proc/kcore", "/proc/kmsg", "/dev/mem", "/dev/kmem", "/dev/port", "/etc/shadow",
                 "/proc/sched_debug", "/proc/keys", "/proc/1/environ", "/dev/kvm",
                 "/var/run/docker.sock", "/root", "/proc/vmallocinfo", "/proc/slabinfo",
                 "/sys/kernel/debug", "/sys/fs/bpf", "/dev/fuse", "/dev/net/tun", "/.dockerenv-x"):
        attempt(path, lambda: (os.listdir(path) or -1) if os.path.isdir(path)
                else 0 if os.read(os.open(path, os.O_RDONLY), 1) else -1)
    with open("/proc/kallsyms") as file:
        if any(int(line.split()[0], 16) for line in [next(file, "0 x")]): done.append("addresses")
    return done
""",
        ("ok", "exception"),
        output=[],
        error_types=("PermissionError", "FileNotFoundError"),
    ),
    Attack(
        "devices",
        _TOOLS
        + """
def main_solution():
    for where in ("/tmp", "/dev", "/dev/shm"):
        for mode in (stat.S_IFBLK, stat.S_IFCHR):
            attempt(f"mknod {where}", lambda: os.mknod(f"{where}/n{mode}", mode | 0o666,
                                                       os.makedev(8, 0)))
    known = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "stdin", "stdout",
             "stderr", "fd", "core", "shm", "mqueue", "console"}
    done.extend(sorted(set(os.listdir("/dev")) - known))
    attempt("tty input", lambda: __import__("fcntl").ioctl(0, 0x5412, b"x"))
    return done
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "code for the next execution",
        _TOOLS
        + """
import site, sys
def main_solution():
    paths = ["/etc/ld.so.preload", "/etc/passwd", sys.executable, "/proc/self/exe", os.__file__,
             "/usr/lib/execbox/start.py", "/usr/lib/execbox/syscalls.json", "/root/.x", "/x"]
    paths += [p + "/evil.pth" for p in site.getsitepackages() + sys.path if p]
    paths += [p + "/sitecustomize.py" for p in sys.path if p]
    for path in paths:
        attempt(path, lambda: os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o777)) or 0)
        attempt("rename " + path, lambda: os.rename(path, "/tmp/x"))
        attempt("unlink " + path, lambda: os.unlink(path))
        attempt("chmod " + path, lambda: os.chmod(path, 0o777))
    return done
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "files that run",
        _TOOLS
        + """
import mmap, shutil
def main_solution():
    for where in ("/tmp", "/dev/shm"):
        shutil.copy("/bin/true", where + "/t"); os.chmod(where + "/t", 0o4777)
        attempt("exec in " + where, lambda: os.execv(where + "/t", ["t"]))
        fd = os.open(where + "/t", os.O_RDONLY)
        attempt("map in " + where, lambda: mmap.mmap(fd, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC,
                                                    flags=mmap.MAP_PRIVATE) and 0)
    fd = os.memfd_create("x"); os.write(fd, open("/bin/true", "rb").read())
    attempt("exec of memory", lambda: os.execve(fd, ["x"], {}))
    attempt("execveat", lambda: call(322, fd, ctypes.addressof(ctypes.c_char()), 0, 0, 0x1000))
    attempt("shell", lambda: os.execv("/bin/sh", ["sh"]))
    return done
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "set-id files and file capabilities",
        _TOOLS
        + """
def main_solution():
    found = []
    for where, _dirs, files in os.walk("/usr"):
        if "packages" in where: continue
        for name in files:
            path = os.path.join(where, name)
            try:
                if os.lstat(path).st_mode & 0o6000: found.append(path)
                elif where.endswith("bin") and os.getxattr(path, "security.capability"): found.append(path)
            except OSError: pass
    return found
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "dangerous system calls by number",
        _TOOLS
        + """
CALLS = {
    "ptrace": 101, "personality": 135, "modify_ldt": 154, "reboot": 169, "swapon": 167, "iopl": 172,
    "ioperm": 173, "init_module": 175, "delete_module": 176, "quotactl": 179, "acct": 163,
    "settimeofday": 164, "sethostname": 170, "setdomainname": 171, "syslog": 103, "adjtimex": 159,
    "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "mbind": 237,
    "set_mempolicy": 238, "migrate_pages": 256, "move_pages": 279, "perf_event_open": 298,
    "fanotify_init": 300, "name_to_handle_at": 303, "open_by_handle_at": 304, "clock_adjtime": 305,
    "finit_module": 313, "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "pidfd_open": 434,
    "pidfd_getfd": 438, "process_madvise": 440, "landlock_create_ruleset": 444, "memfd_secret": 447,
    "process_mrelease": 448, "seccomp": 317, "shmget": 29, "semget": 64, "msgget": 68, "mq_open": 240,
    "vhangup": 153, "lookup_dcookie": 212, "clock_settime": 227, "socket": 41, "bind": 49,
    "unshare": 272, "setns": 308, "mount": 165, "chroot": 161, "io_setup": 206, "vmsplice": 9999,
    "map_shadow_stack": 453, "listmount": 458, "lsm_set_self_attr": 460,
}
def main_solution():
    zero = ctypes.addressof(ctypes.create_string_buffer(256))
    for name, number in CALLS.items():
        ctypes.set_errno(0)
        result = call(number, zero if name in ("io_uring_setup", "seccomp") else 0, zero, 0, 0, 0)
        if result != -1 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS, errno.EACCES):
            done.append([name, result, ctypes.get_errno()])
    return done
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "calls of another architecture: x32",
        _TOOLS + "def main_solution(): return call(0x40000000 + 39)\n",
        ("no_result",),
    ),
    Attack(
        "calls of another architecture: 32 bit",
        _TOOLS
        + """
import mmap
def main_solution():
    # mov eax, 20 (getpid); int 0x80; ret
    code = mmap.mmap(-1, 4096, prot=7)
    code.write(bytes.fromhex("b814000000cd80c3"))
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    return ctypes.CFUNCTYPE(ctypes.c_int)(address)()
""",
        ("no_result", "exception"),
    ),
    Attack(
        "its own protections undone",
        _TOOLS
        + """
def main_solution():
    prctl = lambda *a: libc.prctl(ctypes.c_int(a[0]), *(ctypes.c_ulong(v) for v in a[1:]))
    attempt("ambient", lambda: prctl(47, 2, 7, 0, 0))
    attempt("securebits", lambda: prctl(28, 0, 0, 0, 0))
    attempt("seccomp", lambda: prctl(22, 0, 0, 0, 0))
    attempt("new filter", lambda: prctl(22, 2, 0, 0, 0))
    attempt("no_new_privs", lambda: prctl(38, 0, 0, 0, 0))
    attempt("dumpable", lambda: prctl(4, 1, 0, 0, 0))
    attempt("death signal", lambda: prctl(1, 0, 0, 0, 0))
    attempt("subreaper", lambda: prctl(36, 1, 0, 0, 0))
    attempt("tracer", lambda: prctl(0x59616D61, 1, 0, 0, 0))
    attempt("mm", lambda: prctl(35, 1, 0, 0, 0))
    attempt("speculation", lambda: prctl(53, 0, 2, 0, 0))
    attempt("tsc", lambda: prctl(26, 2, 0, 0, 0))
    if prctl(3, 0, 0, 0, 0) == 1: done.append("is dumpable")
    return done
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "the clock set",
        "import time\ndef main_solution(): time.clock_settime(time.CLOCK_REALTIME, 0)\n",
        ("exception",),
        error_types=("PermissionError",),
    ),
    Attack(
        "trusted files read from inside",
        """
import os, sys
def main_solution():
    # The runner may be read: it is public. A job's payload, keys and sockets may not.
    found = []
    for name in os.listdir("/proc/self/fd"):
        try: target = os.readlink("/proc/self/fd/" + name)
        except OSError: continue
        if "memfd" in target or "socket" in target: found.append(target)
    with open("/proc/self/maps") as file:
        found += [line for line in file if "memfd" in line]
    found += [k for k in os.environ if "EXECBOX" in k or "KEY" in k or "TOKEN" in k]
    return found + [a for a in open("/proc/1/cmdline").read().split("\\0") if "key" in a.lower()]
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "flags hidden behind a thread's",
        _TOOLS
        + """
def main_solution():
    # Only the thread bit is looked at by a filter; the kernel must refuse what else is asked.
    thread = 0x100 | 0x800 | 0x10000
    for name, flag in (("newns", 0x20000), ("newcgroup", 0x2000000), ("newuts", 0x4000000),
                       ("newipc", 0x8000000), ("newuser", 0x10000000), ("newpid", 0x20000000),
                       ("newnet", 0x40000000), ("pidfd", 0x1000)):
        attempt(name, lambda: call(56, thread | flag, 0, 0, 0, 0))
    attempt("thread alone", lambda: call(56, 0x10000, 0, 0, 0, 0))
    attempt("high bits", lambda: call(56, 17 | 1 << 40, 0, 0, 0, 0))
    return done
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "arguments wider than the kernel reads",
        _TOOLS
        + """
def main_solution():
    high = 1 << 32
    pair = ctypes.addressof((ctypes.c_int * 2)())
    for family in (2, 10, 16, 38, 40): attempt(f"pair {family}", lambda: call(53, high | family, 1, 0, pair))
    for option in (1, 4, 8, 22, 28, 36, 38, 47): attempt(f"prctl {option}", lambda: call(157, high | option, 1, 1, 0, 0))
    attempt("number", lambda: call(high | 57))
    attempt("negative", lambda: call(-1))
    return done
""",
        ("ok", "no_result"),
        output=[],
    ),
    Attack(
        "its own memory through the back door",
        _TOOLS
        + """
def main_solution():
    # Shared pages of libraries must not be writable for anybody, by any road.
    with open("/proc/self/maps") as file:
        code = [line.split() for line in file if " r-xp " in line and ".so" in line]
    address = int(code[0][0].split("-")[0], 16)
    word = ctypes.create_string_buffer(8)
    vector = ctypes.addressof((ctypes.c_size_t * 2)(ctypes.addressof(word), 8))
    remote = ctypes.addressof((ctypes.c_size_t * 2)(address, 8))
    attempt("mem", lambda: os.open("/proc/self/mem", os.O_RDWR))
    attempt("thread mem", lambda: os.open(f"/proc/self/task/{os.getpid()}/mem", os.O_RDWR))
    attempt("writev", lambda: call(311, os.getpid(), vector, 1, remote, 1, 0))
    attempt("traceme", lambda: libc.ptrace(0, 0, 0, 0))
    attempt("file", lambda: os.open(code[0][5], os.O_RDWR))
    attempt("uffd", lambda: os.open("/dev/userfaultfd", os.O_RDWR))
    for path in ("pagemap", "clear_refs"):
        attempt(path, lambda: os.write(os.open("/proc/self/" + path, os.O_WRONLY), b"4"))
    return done
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "flags and owners of files",
        _TOOLS
        + """
import fcntl
def main_solution():
    os.mkdir("/tmp/d"); open("/tmp/d/f", "w").close()
    fd = os.open("/tmp/d/f", os.O_RDWR)
    attempt("immutable", lambda: fcntl.ioctl(fd, 0x40086602, (0x10).to_bytes(8, "little")) or 0)
    attempt("append only", lambda: fcntl.ioctl(fd, 0x40086602, (0x20).to_bytes(8, "little")) or 0)
    attempt("chown", lambda: os.chown("/tmp/d/f", 0, 0) or 0)
    attempt("chown next", lambda: os.chown("/tmp/d/f", os.getuid() + 1, -1) or 0)
    attempt("group", lambda: os.chown("/tmp/d/f", -1, 0) or 0)
    for name in ("trusted.x", "security.capability", "security.selinux", "system.posix_acl_access"):
        attempt(name, lambda: os.setxattr("/tmp/d/f", name, b"\\1\\0\\0\\2" + bytes(16)) or 0)
    attempt("hard link", lambda: os.link("/etc/passwd", "/tmp/d/passwd") or 0)
    attempt("swap", lambda: call(167, ctypes.addressof(ctypes.create_string_buffer(b"/tmp/d/f")), 0))
    attempt("seal", lambda: fcntl.fcntl(fd, 1033, 15))
    attempt("lease", lambda: fcntl.fcntl(os.open("/etc/passwd", os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_RDLCK) or 0)
    return done
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "signals sent by the kernel in its name",
        _TOOLS
        + """
import fcntl, signal
def main_solution():
    # A descriptor's owner gets its signals: it must not be somebody else.
    pids = [1, os.getppid(), -1, -os.getppid(), *others()]
    r, w = os.pipe()
    for pid in pids:
        for action in (
            lambda: fcntl.fcntl(r, fcntl.F_SETOWN, pid), lambda: fcntl.fcntl(r, 10, signal.SIGKILL),
            lambda: fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK), lambda: os.write(w, b"x"),
        ):
            try: action()
            except OSError: pass
        attempt(f"session {pid}", lambda: -1 if pid < 1 else os.getpgid(pid) * 0 - 1)
        attempt(f"group {pid}", lambda: os.setpgid(pid, 0) if pid > 0 else -1)
        attempt(f"tgkill {pid}", lambda: call(234, pid, pid, 9) if pid > 0 else -1)
        attempt(f"timer {pid}", lambda: call(129, pid, 9, 0))
    return done
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "asynchronous ways into the kernel",
        _TOOLS
        + """
def main_solution():
    zero = ctypes.addressof(ctypes.create_string_buffer(4096))
    for name, number in (("io_setup", 206), ("io_submit", 209), ("io_uring", 425), ("userfaultfd", 323),
                         ("fanotify", 300), ("inotify", 253), ("inotify1", 294), ("bpf", 321), ("perf", 298),
                         ("keyctl", 250), ("kcmp", 312), ("quotactl_fd", 443), ("uretprobe", 335)):
        attempt(name, lambda: call(number, zero, zero, 0, 0, 0, 0))
    # A listener would answer the calls of whatever it is inherited by.
    attempt("seccomp listener", lambda: call(317, 1, 8, zero))
    attempt("seccomp filter", lambda: call(317, 1, 0, zero))
    return done
""",
        ("ok", "no_result"),
        output=[],
    ),
    Attack(
        "a terminal of its own",
        _TOOLS
        + """
import fcntl, pty, termios
def main_solution():
    attempt("openpty", lambda: pty.openpty()[0])
    attempt("ptmx", lambda: os.open("/dev/ptmx", os.O_RDWR))
    attempt("tty", lambda: os.open("/dev/tty", os.O_RDWR))
    attempt("console", lambda: os.open("/dev/console", os.O_RDWR))
    attempt("login", lambda: os.login_tty(0) or 0)
    for fd in range(3):
        attempt(f"ctty {fd}", lambda: fcntl.ioctl(fd, termios.TIOCSCTTY, 0))
        attempt(f"sti {fd}", lambda: fcntl.ioctl(fd, termios.TIOCSTI, b"x") and 0)
    for number in (termios.TIOCSETD, termios.TIOCSTI, 0x541C):
        try: fcntl.ioctl(0, number, b"\\x01\\0\\0\\0")
        # That it is no terminal the kernel says only where it was asked.
        except OSError as error: done.extend([hex(number)] if error.errno != 1 else [])
    return done
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "the machine's own tables, by every door",
        _TOOLS
        + """
def main_solution():
    for root, folders, names in os.walk("/sys"):
        if root.startswith("/sys/fs/cgroup"):
            folders.clear()
            continue
        for name in names:
            try:
                with open(os.path.join(root, name), "rb") as file:
                    if file.read(1): done.append(os.path.join(root, name))
            except OSError: pass
    for name in ("cgroups", "key-users", "fs", "locks", "diskstats", "vmstat", "interrupts", "softirqs",
                 "schedstat", "zoneinfo", "buddyinfo", "pagetypeinfo", "timer_list", "keys", "slabinfo"):
        path = "/proc/" + name
        try:
            if os.path.isdir(path): done.extend(os.listdir(path))
            elif open(path, "rb").read(1): done.append(path)
        except OSError: pass
    return done[:20]
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "notices of what others read and open",
        _TOOLS
        + """
import fcntl
def main_solution():
    for path in ("/usr/lib", "/usr/lib/python3.11", "/tmp", "/dev"):
        fd = os.open(path, os.O_RDONLY)
        for name, command, argument in (("notify", 1026, 0xF), ("lease", 1024, 0)):
            try: fcntl.fcntl(fd, command, argument); done.append([path, name])
            except OSError: pass
    fd = os.open("/usr/lib/os-release", os.O_RDONLY)
    try: fcntl.fcntl(fd, 1024, fcntl.F_RDLCK); done.append("lease")
    except OSError: pass
    return done
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "a core for the machine's handler",
        _TOOLS
        + """
import resource
def main_solution():
    # With 0 a handler that cores are piped to is started all the same, as root, on the machine.
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    if limits != (1, 1): done.append(list(limits))
    for wanted in ((1 << 20, 1 << 20), (-1, -1)):
        try: resource.setrlimit(resource.RLIMIT_CORE, wanted); done.append(list(wanted))
        except (OSError, ValueError): pass
    if libc.prctl(3, 0, 0, 0, 0) != 0: done.append("dumpable")
    return done
""",
        ("ok",),
        output=[],
    ),
)
