"""Programs that leave something for the next execution, or look for what the last one left.

Run several times in a row: each run must find nothing.
"""

from __future__ import annotations

from harness.attacks.attack import Attack

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
        # The thread wakes before the frame is written where the machine is slow enough: its bytes
        # are then part of the answer, which is no frame any more.
        ("ok", "no_result"),
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
        "    except BlockingIOError: return ['locked']\n"
        "    except PermissionError: return []\n"
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
    if os.getpriority(os.PRIO_PROCESS, 0) != os.getpriority(os.PRIO_PROCESS, 1): seen.append("nice")
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
    Attack(
        "names that shells and parsers trip over",
        """
import os
NAMES = (b"-rf", b" ", b"\\n", b"\\xff\\xfe", b"a\\nb -> /etc", b"*", b"$(id)", b"..." , b"\\x1b[2J", b"n" * 255, b"\\x01")
def main_solution():
    seen = []
    for place in (b"/tmp/", b"/dev/shm/"):
        seen += [repr(name) for name in os.listdir(place)]
        for name in NAMES:
            for make in (lambda p: os.mkdir(p), lambda p: open(p, "w").close(), lambda p: os.link(p, p[:250] + b"l"),
                         lambda p: open(p + b"/" + name, "w").close(), lambda p: os.symlink(b"/tmp", p + b"/" + b"up"),
                         lambda p: os.chmod(p, 0)):
                try: make(place + name)
                except OSError: pass
    return seen
""",
        ("ok",),
        output=[],
        repeat=3,
    ),
    Attack(
        "a tree that no path reaches",
        """
import os
def main_solution():
    seen = os.listdir("/tmp")
    top = os.open("/tmp", os.O_RDONLY)
    # Each level is entered by its descriptor: the deepest path is longer than any call takes.
    made = 0
    try:
        here = top
        while made < 1500:
            os.mkdir("d" * 100, dir_fd=here)
            below = os.open("d" * 100, os.O_RDONLY, dir_fd=here)
            os.fchmod(here, 0o500) if here != top else None
            if here != top: os.close(here)
            here = below; made += 1
            os.fchdir(here)
        os.fchmod(here, 0)
    except OSError: pass
    return seen if made > 40 else [made]
""",
        ("ok",),
        output=[],
        repeat=3,
    ),
    Attack(
        "modules planted where Python looks",
        """
import os, sys, sysconfig
PLACES = ("/tmp", "/tmp/.local/lib/python3.11/site-packages", "/tmp/__pycache__", "/dev/shm", os.getcwd())
def main_solution():
    seen = [name for name, module in sys.modules.items()
            if (getattr(module, "__file__", None) or "").startswith(("/tmp", "/dev"))]
    seen += [place for place in PLACES if os.path.isdir(place) and os.listdir(place)]
    try: import bean_module; seen.append("imported")
    except ImportError: pass
    for place in PLACES:
        for name in ("json.py", "random.py", "usercustomize.py", "sitecustomize.py", "bean_module.py",
                     "bean.pth", "pyvenv.cfg", "python311._pth", "json.cpython-311.pyc", "solution.py"):
            try:
                os.makedirs(place, exist_ok=True)
                with open(f"{place}/{name}", "w") as file: file.write("import os; bean = 1\\n")
            except OSError: pass
    os.environ["PYTHONPATH"] = os.environ["PYTHONSTARTUP"] = os.environ["LD_PRELOAD"] = "/tmp/json.py"
    return seen
""",
        ("ok",),
        output=[],
        repeat=3,
    ),
    Attack(
        "hooks of the import system",
        """
import builtins, codecs, copyreg, encodings, linecache, locale, os, signal, sys, warnings
def main_solution():
    seen = []
    class Finder:
        bean = True
        def find_spec(self, name, *rest): raise ImportError("bean")
    if any(hasattr(each, "bean") for each in sys.meta_path + sys.path_hooks): seen.append("finder")
    if "bean" in sys.path_importer_cache or "/bean" in sys.path: seen.append("path")
    if "bean" in linecache.cache or "BEAN" in os.environ: seen.append("cache")
    if signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL: seen.append("handler")
    if signal.pthread_sigmask(signal.SIG_BLOCK, []): seen.append("mask")
    if signal.getitimer(signal.ITIMER_REAL)[0]: seen.append("timer")
    if os.umask(0o022) != 0o022: seen.append("umask")
    if sys.gettrace() or sys.getprofile() or warnings.filters[:1] == ["bean"]: seen.append("trace")
    try: codecs.lookup("bean"); seen.append("codec")
    except LookupError: pass
    sys.meta_path.insert(0, Finder()); sys.path_hooks.insert(0, Finder())
    sys.path_importer_cache["bean"] = None; sys.path.insert(0, "/bean"); linecache.cache["bean"] = ()
    os.environ["BEAN"] = "1"; warnings.filters.insert(0, "bean")
    signal.signal(signal.SIGUSR1, print); signal.pthread_sigmask(signal.SIG_BLOCK, [40])
    signal.setitimer(signal.ITIMER_REAL, 3600); os.umask(0)
    codecs.register(lambda name: codecs.lookup("utf-8") if name == "bean" else None)
    sys.settrace(lambda *a: None); sys.setprofile(lambda *a: None)
    return seen
""",
        ("ok",),
        output=[],
        repeat=3,
    ),
    Attack(
        "a library patched in memory",
        """
import ctypes, mmap
libc = ctypes.CDLL(None, use_errno=True)
def main_solution():
    # Private pages of a shared library: a copy of this process's own, or everybody's.
    place = ctypes.cast(libc.rand_r, ctypes.c_void_p).value
    start = place & ~4095
    seen = [] if ctypes.string_at(place, 4) != b"\\xb8\\x2a\\0\\0" else ["patched"]
    if libc.mprotect(ctypes.c_void_p(start), 8192, 7) == 0:
        ctypes.memmove(place, b"\\xb8\\x2a\\0\\0\\0\\xc3", 6)
        libc.msync(ctypes.c_void_p(start), 8192, 4)
        libc.madvise(ctypes.c_void_p(start), 8192, 12)
        if libc.rand_r(ctypes.byref(ctypes.c_uint(1))) != 42: seen.append("no effect")
    return seen
""",
        ("ok", "no_result"),
        output=[],
        repeat=3,
    ),
    Attack(
        "a core dump",
        "import os, resource, signal\ndef main_solution():\n"
        "    if any('core' in name for name in os.listdir('/tmp')): return ['core']\n"
        "    try: resource.setrlimit(resource.RLIMIT_CORE, (-1, -1))\n"
        "    except (OSError, ValueError): pass\n    os.chdir('/tmp'); os.abort()\n",
        ("no_result",),
        repeat=2,
    ),
    Attack(
        "threads that outlive the answer",
        """
import os, threading, time
def main_solution():
    seen = [] if threading.active_count() == 1 else ["thread"]
    seen += os.listdir("/tmp")
    def later():
        while True:
            try:
                with open(f"/tmp/late-{time.monotonic_ns()}", "w") as file: file.write("x" * 4096)
            except OSError: pass
    for _ in range(8): threading.Thread(target=later, daemon=True).start()
    return seen
""",
        ("ok", "timeout"),
        output=[],
        repeat=3,
    ),
    Attack(
        "rest of an earlier job in fresh memory",
        """
import ctypes, mmap, os
def main_solution():
    # What the kernel hands out is zero, and so are new files and holes in them.
    seen = []
    area = mmap.mmap(-1, 2**25)
    if area.find(b"bean") >= 0 or any(area[0:2**25:4096]): seen.append("mapping")
    libc = ctypes.CDLL(None); libc.sbrk.restype = ctypes.c_void_p; libc.sbrk.argtypes = [ctypes.c_ssize_t]
    start = libc.sbrk(2**22)
    if start not in (None, 2**64 - 1) and b"bean" in ctypes.string_at(start, 2**22): seen.append("heap")
    fd = os.open("/dev/shm/hole", os.O_CREAT | os.O_RDWR); os.truncate(fd, 2**19)
    if os.pread(fd, 2**19, 0).strip(b"\\0"): seen.append("hole")
    area.write(b"bean" * 2**23); os.write(fd, b"bean" * 2**17)
    return seen
""",
        ("ok",),
        output=[],
        repeat=3,
    ),
)
