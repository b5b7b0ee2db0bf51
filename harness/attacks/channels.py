"""Ways in which one job could reach another: what plants something, and what would see it.

No tests. ``program`` makes one function of any number of channels: it plants, or looks, or both in
one process, which is the control that a look sees what it looks for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Channel:
    """Statements that plant something, and an expression that is true where it is seen."""

    name: str
    plant: str
    look: str
    notice: str = ""
    """For the one who planted, later: an expression that is true where it sees the other look."""
    refused: bool = False
    """No job can plant it: only a sandbox without its filter shows that the look sees it."""
    own_control: bool = True
    """Whether a process sees what it planted itself; if not, a weakened sandbox is the control."""


PREAMBLE = '''
import builtins, collections, ctypes, fcntl, glob, json, mmap, os, pty, resource, signal, socket
import struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
S, N = "bean-5417", 541754175
SHARED = "/usr/lib/os-release"
held, count = [], [0]
# Before there are threads, which would take what is queued below.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])

def ok(result):
    if result == -1: raise OSError(ctypes.get_errno(), "refused")
    return result
def call(number, *arguments):
    return ok(libc.syscall(ctypes.c_long(number), *arguments))
def keep(value):
    held.append(value)
    return value
def write(path):
    with open(path, "w") as file: file.write(S)
def read(path):
    with open(path) as file: return file.read()
def lines(path): return read(path).splitlines()
def can(action):
    try: return action() or True
    except OSError: return False
def others(): return [p for p in os.listdir("/proc") if p.isdigit() and int(p) != os.getpid()]
def user_of(pid):
    try: return int(next(line for line in lines(f"/proc/{pid}/status") if line[:4] == "Uid:").split()[1])
    except OSError: return None
def spawn():
    if os.fork() == 0:
        can(lambda: os.setuid(4242))
        time.sleep(20)
        os._exit(0)
def tasks():
    found = []
    for task in glob.glob("/proc/[0-9]*/task/*"):
        try: found += [task] if os.stat(task + "/..").st_uid or task.split("/")[2] == str(os.getpid()) else []
        except OSError: pass
    return found
def comms():
    found = []
    for path in glob.glob("/proc/[0-9]*/task/*/comm"):
        try: found.append(read(path).strip())
        except OSError: pass
    return found
def links():
    found = []
    for path in glob.glob("/proc/[0-9]*/fd/*"):
        try: found.append(os.readlink(path))
        except OSError: pass
    return found
def is_locked(path, mode):
    fd = os.open(path, os.O_RDONLY)
    try: fcntl.flock(fd, mode | fcntl.LOCK_NB)
    except BlockingIOError: return True
    finally: os.close(fd)
    return False
F_SETSIG, F_GETSIG, OFD_GET, OFD_SET = 10, 11, 36, 37
def lock_range(fd, command, kind, start, length):
    return struct.unpack("hhqqi4x", fcntl.fcntl(fd, command, struct.pack("hhqqi4x", kind, 0, start, length, 0)))
def queue():
    queued = 0
    while queued < 300 and libc.sigqueue(os.getpid(), int(signal.SIGRTMIN), None) == 0: queued += 1
    return queued
def widen_pipes():
    for _ in range(70):
        pipe = keep(os.pipe())
        try: fcntl.fcntl(pipe[1], 1031, 2**20)
        except OSError: break
def pipe_bytes():
    pipe = os.pipe()
    size = fcntl.fcntl(pipe[1], 1032)
    for fd in pipe: os.close(fd)
    return size
def fill(path, bytes_count):
    with open(path, "wb") as file:
        while file.tell() < bytes_count: file.write(bytes(2**16))
def fly():
    """Memory that only a socket's own queue holds: its descriptor is on the way to itself."""
    fd = os.memfd_create("fly"); os.write(fd, bytes(48 * 2**20))
    pair = socket.socketpair()
    socket.send_fds(pair[0], [b"x"], [fd, pair[0].fileno(), pair[1].fileno()])
    os.close(fd); pair[0].close(); pair[1].close()
def shmem_bytes():
    for path in ("/sys/fs/cgroup/memory/memory.stat", "/sys/fs/cgroup/memory.stat"):
        if os.path.exists(path):
            return next(int(line.split()[1]) for line in lines(path) if line.startswith("shmem "))
def needle(): return bytes(b ^ 0x5A for b in b"\\x2a\\x36\\x3b\\x34\\x2e\\x77\\x38\\x3f\\x3b\\x34\\x77\\x6b\\x63\\x62\\x6e")
def readable(low, high):
    """The parts of a mapping whose pages do not fault: glibc 2.42 guards a thread's stack within one."""
    fd, begun = os.memfd_create("probe"), low
    for page in range(low, high, mmap.PAGESIZE):
        if libc.pwrite(fd, ctypes.c_void_p(page), 1, ctypes.c_long(0)) != 1:
            yield begun, page
            begun = page + mmap.PAGESIZE
    os.close(fd)
    yield begun, high
def copies():
    wanted = needle()
    libc.memmem.restype = ctypes.c_void_p
    libc.memmem.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    found = 0
    for line in lines("/proc/self/maps"):
        span, permissions = line.split()[:2]
        if permissions[:2] != "rw" or "[v" in line: continue
        for low, high in readable(*(int(part, 16) for part in span.split("-"))):
            while low < high:
                hit = libc.memmem(low, high - low, wanted, len(wanted))
                if not hit: break
                found, low = found + 1, hit + 1
    return found
def listen(address, family):
    server = keep(socket.socket(family)); server.bind(address); server.listen()
def connect(address, family):
    with socket.socket(family) as client: client.connect(address)
def watch():
    signal.signal(signal.SIGIO, lambda *a: count.__setitem__(0, count[0] + 1))
    for path in ("/usr/lib", "/tmp", "/dev/shm"):
        fcntl.fcntl(keep(os.open(path, os.O_RDONLY)), fcntl.F_NOTIFY, 0xF - 2**31)
def touch():
    can(lambda: read(SHARED)); can(lambda: write("/tmp/touched")); can(lambda: os.unlink("/tmp/touched"))
def reach():
    """What can be done to any process but oneself."""
    done = []
    for pid in others():
        for name, action in {
            "signal": lambda: os.kill(int(pid), 0),
            "limits": lambda: resource.prlimit(int(pid), resource.RLIMIT_NOFILE),
            "environment": lambda: read(f"/proc/{pid}/environ"),
            "maps": lambda: len(read(f"/proc/{pid}/maps")) or 1 / 0,
            "memory": lambda: os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR)),
            "descriptors": lambda: os.listdir(f"/proc/{pid}/fd"),
            "working directory": lambda: os.readlink(f"/proc/{pid}/cwd"),
            "priority": lambda: os.setpriority(os.PRIO_PROCESS, int(pid), 1),
            "affinity": lambda: os.sched_setaffinity(int(pid), {0}),
            "trace": lambda: call(101, 0x4206, int(pid), 0, 0),
            "name": lambda: write(f"/proc/{pid}/comm"),
        }.items():
            try: action(); done.append(name)
            except (OSError, ZeroDivisionError): pass
    for pid in {*range(1, 300)} - {os.getpid()}:
        if can(lambda: os.kill(pid, 0)) and str(pid) not in os.listdir("/proc/self/task"): done.append("signal")
    for group in {*range(2, 300)} - {os.getpid(), os.getpgrp()}:
        if can(lambda: os.killpg(group, 0)): done.append("group")
    return done
'''

_MAIN = """
def main_solution(plants, looks, hold_s):
    began_s = time.monotonic()
    planted, seen, noticed = [], [], []
    for name, plant, look, notice in CHANNELS:
        if plants:
            try: exec(plant, globals()); planted.append(name)
            except (OSError, ValueError): pass
    planted_s = time.monotonic()
    for name, plant, look, notice in CHANNELS:
        if looks:
            try: seen += [name] if eval(look, globals()) else []
            except (OSError, ValueError): pass
    time.sleep(hold_s)
    ended_s = time.monotonic()
    for name, plant, look, notice in CHANNELS:
        if notice and eval(notice, globals()): noticed.append(name)
    with open("/proc/1/stat") as file:
        where = [os.readlink("/proc/self/ns/pid"), file.read().rpartition(") ")[2].split()[19]]
    return {"planted": planted, "seen": seen, "noticed": noticed, "where": where,
            "began_s": began_s, "planted_s": planted_s, "ended_s": ended_s}
"""


def program(channels: Iterable[Channel]) -> str:
    """A function ``main_solution(plants, looks, hold_s)`` over these channels, in this order."""
    table = [(each.name, each.plant, each.look, each.notice) for each in channels]
    return f"{PREAMBLE}\nCHANNELS = {table!r}\n{_MAIN}"


def _file(name: str, directory: str, *, refused: bool = False) -> Channel:
    path = f"os.path.join({directory}, S + {name!r}.replace('/', '-'))"
    look = f"os.path.basename({path}) in os.listdir({directory})"
    return Channel(name, f"write({path})", look, refused=refused)


FILES = (
    _file("a file in /tmp", "'/tmp'"),
    _file("a file in /dev/shm", "'/dev/shm'"),
    _file("a file in the working directory", "os.getcwd()"),
    _file("a file in the home directory", "os.path.expanduser('~')"),
    Channel(
        "an open file without a name",
        "keep(open('/tmp/' + S + 'u', 'w')); os.unlink('/tmp/' + S + 'u')",
        "any(S + 'u' in link for link in links())",
    ),
    *(
        _file(f"a file in {path}", repr(path), refused=True)
        for path in ("/dev/mqueue", "/dev", "/run", "/var/tmp", "/")
    ),
)
_OF_SEVERAL_CORES = (
    Channel(
        "the cores",
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})",
        "len(os.sched_getaffinity(0)) < os.cpu_count()",
    ),
)[: (os.cpu_count() or 1) - 1]
"""Empty on a machine with one core: a job there has that core, and can give up no other."""
KERNEL_OBJECTS = (
    Channel(
        "a System V segment",
        "ok(libc.shmget(0x6265, 4096, 0o1666))",
        "len(lines('/proc/sysvipc/shm')) > 1 or ok(libc.shmget(0x6265, 0, 0)) >= 0",
        refused=True,
    ),
    Channel(
        "a System V semaphore",
        "ok(libc.semget(0x6265, 1, 0o1666))",
        "len(lines('/proc/sysvipc/sem')) > 1 or ok(libc.semget(0x6265, 0, 0)) >= 0",
        refused=True,
    ),
    Channel(
        "a System V queue",
        "ok(libc.msgget(0x6265, 0o1666))",
        "len(lines('/proc/sysvipc/msg')) > 1 or ok(libc.msgget(0x6265, 0)) >= 0",
        refused=True,
    ),
    Channel(
        "a POSIX queue",
        "call(240, b'bean', 0o102, 0o666, None)",
        "'bean' in os.listdir('/dev/mqueue')",
        refused=True,
    ),
    Channel(
        "a key in the session's keyring",
        "call(248, b'user', b'bean', b'x', 1, -3)",
        "call(249, b'user', b'bean', None, 0) > 0",
        refused=True,
    ),
    Channel(
        "an abstract socket",
        "listen('\\0' + S, socket.AF_UNIX)",
        "can(lambda: connect('\\0' + S, socket.AF_UNIX))",
        refused=True,
    ),
    Channel(
        "a port on loopback",
        "listen(('127.0.0.1', 5417), socket.AF_INET)",
        "can(lambda: connect(('127.0.0.1', 5417), socket.AF_INET))",
        refused=True,
    ),
    Channel("a watch on a directory", "ok(libc.inotify_init())", "'inotify' in str(links())",
            refused=True),
    Channel("a terminal", "keep(pty.openpty())", "any(n.isdigit() for n in os.listdir('/dev/pts'))",
            refused=True),
)  # fmt: skip
LOCKS = (
    Channel("a lock on a shared file", "fcntl.flock(keep(os.open(SHARED, 0)), fcntl.LOCK_EX)",
            "is_locked(SHARED, fcntl.LOCK_EX)"),
    Channel("a range locked in a shared file",
            "lock_range(keep(os.open(SHARED, 0)), OFD_SET, fcntl.F_RDLCK, N, 7)",
            "lock_range(os.open(SHARED, 0), OFD_GET, fcntl.F_WRLCK, 0, 0)[0] != fcntl.F_UNLCK",
            refused=True),
    Channel("a lock on stdin's file", "fcntl.flock(0, fcntl.LOCK_EX)",
            "is_locked(os.devnull, fcntl.LOCK_EX)"),
    Channel("a range locked in stdin's file", "lock_range(0, OFD_SET, fcntl.F_RDLCK, N, 7)",
            "lock_range(os.open(os.devnull, 0), OFD_GET, fcntl.F_WRLCK, 0, 0)[0] != fcntl.F_UNLCK",
            refused=True),
    Channel("flags of stdin", "fcntl.fcntl(0, fcntl.F_SETFL, os.O_NONBLOCK | os.O_APPEND)",
            "fcntl.fcntl(0, fcntl.F_GETFL) & (os.O_NONBLOCK | os.O_APPEND)"),
    Channel("the signal of stdin", "fcntl.fcntl(0, F_SETSIG, 34)", "fcntl.fcntl(0, F_GETSIG)"),
    Channel("the machine's table of locks",
            "lock_range(keep(os.open('/tmp/l', os.O_RDWR | os.O_CREAT)), OFD_SET, fcntl.F_WRLCK, N, 7)",
            "str(N) in read('/proc/locks')", refused=True, own_control=False),
)  # fmt: skip
PROCESS_STATE = (
    Channel("the process's name", "ok(libc.prctl(15, S.encode(), 0, 0, 0))", "S in comms()"),
    Channel("the environment", "os.environ[S] = 'x'; libc.setenv(S.encode(), b'x', 1)",
            "S in os.environ or libc.secure_getenv(S.encode()) != 0"),
    Channel("the umask", "os.umask(0o077)", "os.umask(0o022) != 0o022"),
    Channel("the priority", "os.nice(3)", "os.getpriority(os.PRIO_PROCESS, 0) or os.nice(0)"),
    *_OF_SEVERAL_CORES,
    Channel("the scheduler", "os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))",
            "os.sched_getscheduler(0)", refused=True),
    Channel("a limit", "resource.setrlimit(resource.RLIMIT_NOFILE, (250, 256))",
            "resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 250"),
    Channel("the score with the OOM killer", "os.write(os.open('/proc/self/oom_score_adj', os.O_WRONLY), b'0')",
            "read('/proc/self/oom_score_adj') != '1000\\n'", refused=True),
    Channel("a timer", "signal.signal(signal.SIGALRM, signal.SIG_IGN);"
            "signal.setitimer(signal.ITIMER_REAL, 500)", "signal.getitimer(signal.ITIMER_REAL)[0]"),
    Channel("a handler", "signal.signal(signal.SIGUSR1, signal.SIG_IGN)",
            "signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL"),
    Channel("a blocked signal", "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])",
            "signal.SIGUSR2 in signal.pthread_sigmask(signal.SIG_BLOCK, [])"),
    Channel("a thread", "threading.Thread(target=time.sleep, args=(30,), daemon=True).start()",
            "len(tasks()) > 1"),
)  # fmt: skip
MEMORY = (
    Channel("a module", "sys.modules['bean'] = json", "'bean' in sys.modules"),
    Channel("a builtin", "builtins.bean = 1", "hasattr(builtins, 'bean')"),
    Channel("a class attribute", "collections.Counter.bean = 1",
            "hasattr(collections.Counter, 'bean')"),
    Channel("a function of a module", "json.loads = print", "json.loads is print"),
    Channel("a C library's variable", "ctypes.c_int.in_dll(libc, 'optind').value = 5417",
            "ctypes.c_int.in_dll(libc, 'optind').value == 5417"),
    Channel("shared writable memory", "keep(mmap.mmap(-1, 4096))",
            "any('rw-s' in line for line in lines('/proc/self/maps'))"),
    Channel("text in memory", "keep([bytes(bytearray(needle())) for _ in range(64)])",
            "copies() > 16"),
)  # fmt: skip
PROCESSES = (
    Channel("any other process", "pass", "reach()", own_control=False),
    Channel("a process that stays", "spawn()",
            "[p for p in others() if user_of(p) not in (None, 0)]", refused=True),
)  # fmt: skip
WHAT_THE_KERNEL_COUNTS = (
    Channel("queued signals", "queue()", "queue() < 200"),
    Channel("pipe buffers", "widen_pipes()", "pipe_bytes() < 65536"),
    Channel("bytes of /tmp", "fill('/tmp/' + S + 'f', 60 * 2**20)",
            "os.statvfs('/tmp').f_bfree * 4096 < 32 * 2**20"),
    Channel("bytes of /dev/shm", "fill('/dev/shm/' + S + 'f', 2**20 - 2**16)",
            "os.statvfs('/dev/shm').f_bfree * 4096 <= 2**16"),
    Channel("inodes of /tmp", "[os.symlink('x', f'/tmp/i{n}') for n in range(3000)]",
            "os.statvfs('/tmp').f_ffree < 2000"),
)  # fmt: skip
WATCHING = (
    Channel("what happens in a directory", "watch()", "touch()", notice="count[0]", refused=True),
)
IN_FLIGHT = (Channel("memory that no process holds", "fly()", "shmem_bytes() > 40 * 2**20"),)
CHANNELS = (
    *FILES, *KERNEL_OBJECTS, *LOCKS, *PROCESS_STATE, *MEMORY, *PROCESSES, *WHAT_THE_KERNEL_COUNTS,
    *WATCHING,
)  # fmt: skip
"""In an order in which none spoils a later one: what fills something up comes last."""
