"""Programs that leave something for the next execution, or look for what the last one left.

Run several times in a row: each run must find nothing.
"""

from __future__ import annotations

from tests.sandbox.attack import Attack

ATTACKS = (
    Attack(
        "a thread that writes after the return",
        """
import os, threading, time
def late():
    time.sleep(0.05)
    for fd in range(1, 64):
        try: os.write(fd, b'{"status":"ok","output":666}')
        except OSError: pass
def main_solution():
    threading.Thread(target=late).start()
    return 1
""",
        ("ok",),
        output=1,
        repeat=3,
    ),
    Attack(
        "files that resist",
        """
import os, stat
PLACES = (b"/tmp/", b"/dev/shm/", b"/var/tmp/", b"/dev/mqueue/", b"/run/", b"/dev/", b"/")
def main_solution():
    seen = [p.decode() for p in PLACES for n in os.listdir(p) if n.startswith(b"bean")]
    for place in PLACES:
        for action in (
            lambda: os.mkfifo(place + b"bean-fifo"),
            lambda: os.mknod(place + b"bean-socket", stat.S_IFSOCK | 0o600),
            lambda: os.symlink(b"/etc", place + b"bean-link"),
            lambda: os.makedirs(place + b"bean-\\xff/a/b"),
            lambda: open(place + b"bean-\\xff/a/b/f", "w").close(),
            lambda: os.chmod(place + b"bean-\\xff/a", 0),
            lambda: os.chmod(place + b"bean-\\xff", 0),
        ):
            try: action()
            except OSError: pass
    return seen
""",
        ("ok",),
        output=[],
        repeat=3,
    ),
    Attack(
        "modules and builtins poisoned",
        """
import builtins, collections, functools, json, math, random, re, sys
def main_solution():
    seen = []
    for module in (builtins, collections, functools, json, math, random, re, sys):
        if hasattr(module, "bean"): seen.append(module.__name__)
        module.bean = 1
    if builtins.sum([1, 2]) != 3 or json.dumps([1]) != "[1]" or not callable(math.floor):
        seen.append("function")
    class Always:
        def __getattr__(self, name): return lambda *a, **k: 42
    for name in ("sum", "min", "sorted", "print", "open"): setattr(builtins, name, lambda *a, **k: 42)
    json.dumps = math.floor = re.compile = None
    for name in list(sys.modules): sys.modules[name] = Always()
    return seen
""",
        ("ok",),
        output=[],
        repeat=3,
    ),
    Attack(
        "types changed through native code",
        """
import ctypes
def main_solution():
    seen = [] if str(int("1")) == "1" and (1).__add__(1) == 2 and hasattr([], "append") else ["changed"]
    class Pointer(ctypes.Structure): _fields_ = [("count", ctypes.c_ssize_t), ("dict", ctypes.py_object)]
    view = Pointer.from_address(id(list.__dict__))
    view.dict["append"] = None
    view.dict["bean"] = 1
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(list))
    return seen
""",
        ("ok", "no_result", "exception", "unserializable"),
        output=[],
        repeat=3,
    ),
    Attack(
        "a small integer overwritten",
        "import ctypes\ndef main_solution():\n"
        "    seen = [] if int('5') + int('1') == 6 else ['five']\n"
        "    ctypes.memset(id(5) + 24, 7, 1)\n    return seen\n",
        ("ok", "no_result", "unserializable", "exception"),
        output=[],
        repeat=3,
    ),
    Attack(
        "secrets of an earlier job in memory",
        """
import ctypes
def main_solution():
    needle = bytes(b ^ 0x5A for b in b"\\x2a\\x36\\x3b\\x34\\x2e\\x3f\\x3e\\x77\\x2e\\x35\\x31\\x3f\\x34\\x77\\x6b")
    libc = ctypes.CDLL(None)
    libc.memmem.restype = ctypes.c_void_p
    libc.memmem.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    own = id(needle) + bytes.__basicsize__ - 1
    found = 0
    with open("/proc/self/maps") as file: lines = file.read().splitlines()
    for line in lines:
        span, permissions = line.split()[:2]
        low, high = (int(part, 16) for part in span.split("-"))
        if permissions[:2] != "rw" or "[v" in line: continue
        while low < high:
            hit = libc.memmem(low, high - low, needle, len(needle))
            if not hit: break
            found += hit != own
            low = hit + 1
    import builtins
    builtins.kept = [bytes(bytearray(needle)) for _ in range(64)]
    return found
""",
        ("ok",),
        output=0,
        repeat=3,
    ),
    Attack(
        "a kernel object that outlives its maker",
        """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def main_solution():
    made = []
    for key in range(0x6265, 0x6275):
        for name, size in (("shmget", 4096), ("semget", 1)):
            if getattr(libc, name)(key, size, 0o1666) != -1: made.append(name)
        if libc.msgget(key, 0o1666) != -1: made.append("msgget")
    if libc.syscall(248, b"user", b"bean", b"x", 1, -4) != -1: made.append("add_key")
    if libc.syscall(240, b"bean", 0o102, 0o666, None) != -1: made.append("mq_open")
    for table in ("shm", "msg", "sem"):
        with open("/proc/sysvipc/" + table) as file:
            if len(file.readlines()) > 1: made.append("found " + table)
    return made
""",
        ("ok",),
        output=[],
        repeat=2,
    ),
    Attack(
        "a lock or lease left behind",
        "import fcntl, os\ndef main_solution():\n"
        "    fd = os.open('/usr/lib/os-release', os.O_RDONLY)\n"
        "    try: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "    except OSError: return ['locked']\n"
        "    os.dup(fd)\n    return []\n",
        ("ok",),
        output=[],
        repeat=3,
    ),
    Attack(
        "limits and priorities left behind",
        """
import os, resource
def main_solution():
    seen = []
    if os.getpriority(os.PRIO_PROCESS, 0): seen.append("nice")
    if len(os.sched_getaffinity(0)) < WIDE[0]: seen.append("affinity")
    for name in ("NOFILE", "STACK", "AS", "NPROC", "DATA"):
        soft, hard = resource.getrlimit(getattr(resource, "RLIMIT_" + name))
        if soft == 12345: seen.append(name)
        try: resource.setrlimit(getattr(resource, "RLIMIT_" + name), (12345, 12345))
        except (OSError, ValueError): pass
    os.nice(10)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return seen
WIDE = [os.cpu_count() or 1]
""",
        ("ok", "exception"),
        output=[],
        repeat=3,
    ),
)
