"""Programs that take more than they were given: processes, memory, time, space, descriptors.

Written for a sandbox. Running one anywhere else can take the machine down.
"""

from __future__ import annotations

from harness.attacks.attack import Attack

_LIBC = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    return libc.syscall(*(ctypes.c_long(a) for a in (number, *arguments)))
"""

ATTACKS = (
    Attack(
        "every way to make a process",
        _LIBC
        + """
import multiprocessing, pty, subprocess, threading
def main_solution():
    made = []
    def attempt(name, action):
        try:
            pid = action()
        except (OSError, ValueError):
            return
        if pid == 0 and name in ("fork", "forkpty", "raw fork", "raw vfork", "raw clone"):
            os._exit(0)
        if not isinstance(pid, int) or pid > 0:
            made.append(name)
    attempt("fork", os.fork)
    attempt("forkpty", os.forkpty)
    attempt("raw fork", lambda: call(57))
    attempt("raw vfork", lambda: call(58))
    attempt("raw clone", lambda: call(56, 17, 0, 0, 0, 0))
    attempt("raw clone with pidfd", lambda: call(56, 0x1000 | 17, 0, 0, 0, 0))
    frame = (ctypes.c_uint64 * 11)(0, 0, 0, 0, 17)
    attempt("clone3", lambda: call(435, ctypes.addressof(frame), 88))
    attempt("spawn", lambda: os.posix_spawn("/bin/true", ["true"], {}))
    attempt("subprocess", lambda: subprocess.Popen(["true"]).pid)
    attempt("process", lambda: multiprocessing.get_context("fork").Process(target=int).start())
    attempt("system", lambda: 0 if os.system("true") else 1)
    return made
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "threads without end",
        "import threading, time\ndef main_solution():\n    while True:\n"
        "        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n",
        ("exception",),
        error_types=("RuntimeError",),
    ),
    Attack(
        "threads that start threads",
        "import _thread, time\ndef breed():\n    while True:\n        try:\n"
        "            _thread.start_new_thread(breed, ())\n        except RuntimeError: pass\n"
        "def main_solution(): breed()\n",
        ("timeout", "memory_exceeded"),
    ),
    Attack(
        "kernel memory in locks on ranges of a file",
        _LIBC
        + """
import fcntl, struct
def unreclaimable():
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) >> 10 for line in file if line.startswith("SUnreclaim:"))
def main_solution():
    before = unreclaimable()
    kept = [os.open(f"/tmp/{n}", os.O_RDWR | os.O_CREAT) for n in range(200)]
    for command in (fcntl.F_SETLK, fcntl.F_SETLKW, 37, 38):
        # From the last range to the first, which the kernel finds a place for at once.
        for fd in kept[:100] if command > 7 else kept:
            try:
                for start in range(1000, 0, -1):
                    fcntl.fcntl(fd, command, struct.pack("hhqqi4x", 1, 0, 2 * start, 1, 0))
            except OSError: break
    held_mb = unreclaimable() - before
    return [f"{held_mb} MB"] if held_mb > 24 else []
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "kernel memory in programs attached to sockets",
        _LIBC
        + """
import socket, struct
def main_solution():
    code = struct.pack("HBBI", 0, 0, 0, 1) * 4000 + struct.pack("HBBI", 6, 0, 0, 0xFFFF)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer))
    done, pair = [], socket.socketpair()
    for level, option in ((1, 26), (1, 27), (1, 36), (1, 44), (1, 49), (1, 51), (1, 60), (6, 31)):
        try: pair[0].setsockopt(level, option, program); done.append([level, option])
        except OSError: pass
    return done
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "a table of open files for each thread",
        _LIBC
        + """
import threading
def main_solution():
    done = []
    def split():
        # Of descriptors that are not there: all that it does is to make a table of its own.
        if libc.syscall(ctypes.c_long(436), 1 << 20, 1 << 21, 2) == 0: done.append("close_range")
        if libc.syscall(ctypes.c_long(272), 0x400) == 0: done.append("unshare")
    thread = threading.Thread(target=split); thread.start(); thread.join()
    return done
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "inodes of /dev/shm without end",
        "import os, time\ndef main_solution():\n    made = 0\n    try:\n"
        "        while made < 20_000: os.mkdir(f'/dev/shm/{made}'); made += 1\n"
        "    except OSError: pass\n    return ['made 20,000'] if made >= 20_000 else []\n",
        ("ok",),
        output=[],
    ),
    Attack(
        "the disk behind the page cache",
        _LIBC
        + """
import fcntl, mmap
def main_solution():
    done, files = [], [os.path.join(r, n) for r, _, f in os.walk("/usr/lib/python3.11") for n in f]
    path = max((p for p in files if os.path.isfile(p)), key=os.path.getsize)
    page = mmap.mmap(-1, 2**16)
    fd = os.open(path, os.O_RDONLY)
    def attempt(name, action):
        try: action(); done.append(name)
        except OSError: pass
    attempt("open", lambda: os.open(path, os.O_RDONLY | os.O_DIRECT))
    attempt("set flags", lambda: fcntl.fcntl(fd, fcntl.F_SETFL, os.O_DIRECT))
    attempt("throw out", lambda: os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED))
    attempt("read and throw out", lambda: os.preadv(fd, [page], 0, 0x80))
    how = (ctypes.c_uint64 * 3)(os.O_RDONLY | os.O_DIRECT, 0, 0)
    if libc.syscall(ctypes.c_long(437), -100, path.encode(), how, 24) >= 0: done.append("openat2")
    return done
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "memory in every kind of mapping",
        "import mmap, os\ndef main_solution():\n    kept = []\n    while True:\n"
        "        kept.append(mmap.mmap(-1, 2**24)); kept[-1].write(b'x' * 2**24)\n"
        "        fd = os.memfd_create('m'); os.write(fd, b'x' * 2**24); kept.append(fd)\n",
        ("memory_exceeded", "exception"),
        error_types=("OSError",),
    ),
    Attack(
        "memory in pipes",
        "import fcntl, os\ndef main_solution():\n    kept = []\n    while True:\n"
        "        r, w = os.pipe(); kept += [r, w]\n"
        "        try: fcntl.fcntl(w, 1031, 2**20)\n        except OSError: pass\n"
        "        os.set_blocking(w, False)\n        try:\n"
        "            while True: os.write(w, b'x' * 65536)\n        except BlockingIOError: pass\n",
        ("exception", "memory_exceeded", "timeout"),
    ),
    Attack(
        "memory taken while the error is handled",
        "def main_solution():\n    kept = []\n    while True:\n        try:\n"
        "            while True: kept.append('x' * 2**22 + str(len(kept)))\n"
        "        except BaseException:\n            kept.append(bytearray(2**20))\n",
        ("memory_exceeded",),
    ),
    Attack(
        "one allocation larger than the machine",
        "def main_solution(): return len(bytearray(2**46))\n",
        ("exception",),
        error_types=("MemoryError",),
    ),
    Attack(
        "a compressed gigabyte",
        "import zlib\ndef main_solution():\n    part = zlib.compress(bytes(2**26), 9)\n"
        "    return sum(len(zlib.decompress(part)) for _ in range(2)) and \\\n"
        "        len([zlib.decompress(part) for _ in range(16)])\n",
        ("memory_exceeded", "timeout"),
    ),
    Attack(
        "CPU in one C call",
        "def main_solution(): return (1 << 200_000_000) ** 3 % 7\n",
        ("timeout", "memory_exceeded"),
    ),
    Attack(
        "a pattern that backtracks",
        "import re\ndef main_solution(): return bool(re.match(r'(\\w+\\s?)+$', 'a' * 64 + '!'))\n",
        ("timeout",),
    ),
    Attack(
        "deaf to every signal",
        "import signal, threading\ndef main_solution():\n    for number in range(1, 65):\n"
        "        try: signal.signal(number, signal.SIG_IGN)\n"
        "        except (OSError, ValueError): pass\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n"
        "    threading.Event().wait()\n",
        ("timeout",),
    ),
    Attack(
        "RLIMIT_CPU and timers undone",
        "import resource, signal\ndef main_solution():\n"
        "    signal.signal(signal.SIGXCPU, signal.SIG_IGN)\n    signal.alarm(0)\n"
        "    try: resource.setrlimit(resource.RLIMIT_CPU, (-1, -1))\n"
        "    except (OSError, ValueError): pass\n"
        "    while True:\n        try:\n            while True: pass\n"
        "        except BaseException: pass\n",
        ("timeout",),
    ),
    Attack(
        "main thread gone, others go on",
        "import ctypes, threading\ndef spin():\n    while True: pass\ndef main_solution():\n"
        "    threading.Thread(target=spin).start()\n"
        "    ctypes.CDLL(None).pthread_exit(None)\n",
        ("timeout", "no_result"),
    ),
    Attack(
        "main thread gone, others asleep",
        "import ctypes, threading, time\ndef main_solution():\n"
        "    threading.Thread(target=time.sleep, args=(600,)).start()\n    time.sleep(0.1)\n"
        "    ctypes.CDLL(None).syscall(60, 0)\n",
        ("timeout", "no_result"),
    ),
    Attack(
        "stopped for ever",
        "import os, signal\ndef main_solution(): os.kill(os.getpid(), signal.SIGSTOP)\n",
        ("timeout",),
    ),
    Attack(
        "hangs while its result is written",
        "class Slow(list):\n    def __iter__(self):\n        while True: yield 1\n"
        "    def __len__(self): return 10**9\n"
        "import atexit, threading\nthreading._register_atexit(lambda: exec('while 1: pass'))\n"
        "def main_solution():\n    atexit.register(lambda: exec('while 1: pass'))\n"
        "    return Slow([1])\n",
        ("ok",),
        output=[1],
    ),
    Attack(
        "descriptors without end",
        "import os, socket\ndef main_solution():\n    kept = []\n"
        "    while True: kept += [os.dup(0), os.memfd_create('x'), *os.pipe()]\n",
        ("exception",),
        error_types=("OSError",),
    ),
    Attack(
        "descriptors hidden in flight",
        "import array, os, socket\ndef main_solution():\n    total = 0\n    try:\n"
        "        while True:\n            a, b = socket.socketpair(); b.setblocking(False)\n"
        "            r = os.open('/dev/zero', os.O_RDONLY)\n"
        "            try:\n                while True:\n"
        "                    a.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,\n"
        "                               array.array('i', [3, r, a.fileno(), b.fileno()]))],\n"
        "                              socket.MSG_DONTWAIT)\n                    total += 1\n"
        "            except (BlockingIOError, OSError): pass\n"
        "            if total > 3000: break\n            a.detach(); b.detach()\n"
        "    except OSError: pass\n    return 'done'\n",
        ("ok", "timeout"),
        output="done",
        repeat=2,
    ),
    Attack(
        "every writable directory filled",
        "import os\ndef main_solution():\n    roomy = []\n"
        "    for d in ('/tmp', '/dev/shm', '/dev', '/run', '/var/tmp', '/dev/mqueue', '/', '/proc'):\n"
        "        try:\n            with open(d + '/fill', 'wb') as f:\n"
        "                for n in range(100): f.write(b'1' * 2**20)\n            roomy.append(d)\n"
        "        except OSError: pass\n    return roomy\n",
        ("ok", "memory_exceeded"),
        output=[],
        repeat=2,
    ),
    Attack(
        "sparse files and holes",
        "import os\ndef main_solution():\n    made = 0\n    for n in range(100):\n        try:\n"
        "            fd = os.open(f'/tmp/{n}', os.O_CREAT | os.O_RDWR)\n"
        "            os.truncate(fd, 2**40); made += 1\n        except OSError: pass\n"
        "    return made\n",
        ("ok",),
        output=0,
    ),
    Attack(
        "inodes without end",
        "import os\ndef main_solution():\n    n = 0\n    try:\n        while n < 10**6:\n"
        "            os.symlink('x', f'/tmp/{n}'); n += 1\n    except OSError: pass\n"
        "    return n < 5000\n",
        ("ok",),
        output=True,
        repeat=2,
    ),
    Attack(
        "timers and signals queued without end",
        _LIBC
        + "import signal\ndef main_solution():\n    signal.pthread_sigmask(signal.SIG_BLOCK, [40])\n"
        "    timer = ctypes.c_long(); n = 0\n"
        "    while n < 10**5 and libc.timer_create(1, None, ctypes.byref(timer)) == 0: n += 1\n"
        "    q = 0\n    while q < 10**5 and libc.sigqueue(os.getpid(), 40, None) == 0: q += 1\n"
        "    return [n <= 300, q <= 300]\n",
        ("ok",),
        output=[True, True],
    ),
    Attack(
        "locks and watches without end",
        _LIBC
        + "import fcntl\ndef main_solution():\n    fd = os.open('/tmp/l', os.O_CREAT | os.O_RDWR)\n"
        "    for n in range(8000): fcntl.lockf(fd, fcntl.LOCK_EX, 1, 2 * n)\n"
        "    return libc.inotify_init()\n",
        ("ok", "exception", "timeout"),
        output=-1,
    ),
    Attack(
        "a module that never ends",
        "import sys\nwhile True: print('x' * 10**6); print('y' * 10**6, file=sys.stderr)\n"
        "def main_solution(): pass\n",
        ("timeout",),
    ),
    Attack(
        "an object that prints for ever",
        "import os\ndef main_solution():\n    while True: os.writev(1, [b'x' * 2**20] * 16)\n",
        ("timeout",),
    ),
    Attack(
        "priority over the neighbours",
        "import os\ndef main_solution():\n    gained = []\n"
        "    for name, action in (\n"
        "        ('fifo', lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))),\n"
        "        ('rr', lambda: os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(99))),\n"
        "        ('nice', lambda: os.nice(-1)),\n"
        "        ('prio', lambda: os.setpriority(os.PRIO_USER, 0, -20)),\n"
        "        ('oom', lambda: open('/proc/self/oom_score_adj', 'w').write('-1000')),\n"
        "    ):\n        try: action(); gained.append(name)\n"
        "        except OSError: pass\n    return [g for g in gained if g != 'oom' or\n"
        "            int(open('/proc/self/oom_score_adj').read()) < 1000]\n",
        ("ok",),
        output=[],
    ),
    Attack(
        "source that blows the compiler up",
        "x = "
        + "[" * 150
        + "]" * 150
        + "\n"
        + "lambda: " * 3000
        + "0\ndef main_solution(): pass\n",
        ("invalid_code", "no_result", "ok"),
    ),
    Attack(
        "a constant that takes for ever to fold",
        "def main_solution(): return ((1 << 64) ** 64) ** 64 % 10 and (10 ** 10 ** 8) % 3\n",
        ("timeout", "memory_exceeded"),
    ),
    Attack(
        "a stack as deep as it goes",
        "import sys\ndef main_solution():\n    sys.setrecursionlimit(10**9)\n"
        "    class D(dict):\n        def __repr__(self): return repr([self])\n"
        "    return repr(D())\n",
        # 64 MB of stack are more than a second's work.
        ("no_result", "exception", "memory_exceeded", "timeout"),
    ),
    Attack(
        "page tables without end",
        "import ctypes, mmap\ndef main_solution():\n    kept, read = [], 0\n    while True:\n"
        "        area = mmap.mmap(-1, 2**34, flags=mmap.MAP_PRIVATE | 0x4000,\n"
        "                         prot=mmap.PROT_READ)\n        kept.append(area)\n"
        "        for at in range(0, 2**34, 2**21): read += area[at]\n",
        ("memory_exceeded", "timeout", "exception"),
        error_types=("OSError", "MemoryError"),
    ),
    Attack(
        "space reserved and never touched",
        """
import mmap, os
def main_solution():
    for _ in range(64):
        try: mmap.mmap(-1, 2**40, flags=mmap.MAP_PRIVATE | 0x4000)
        except OSError: break
    done = []
    for name, open_one in (("file", lambda: os.open("/tmp/f", os.O_CREAT | os.O_RDWR)),
                           ("shm", lambda: os.open("/dev/shm/f", os.O_CREAT | os.O_RDWR))):
        fd = open_one()
        try: os.posix_fallocate(fd, 0, 2**30); done.append(name)
        except OSError: pass
    return done
""",
        ("ok", "memory_exceeded"),
        output=[],
        repeat=2,
    ),
    Attack(
        "memory allocated for a file nobody sees",
        "import os\ndef main_solution():\n    fd = os.memfd_create('m')\n"
        "    os.posix_fallocate(fd, 0, 2**30)\n    return 'allocated'\n",
        ("memory_exceeded", "exception"),
        error_types=("OSError",),
    ),
    Attack(
        "memory locked",
        _LIBC
        + """
import mmap
def main_solution():
    done = []
    area = mmap.mmap(-1, 2**20)
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    if call(149, address, 2**20) == 0: done.append("mlock")
    if call(325, address, 2**20, 1) == 0: done.append("mlock2")
    if call(151, 3) == 0: done.append("mlockall")
    try: mmap.mmap(-1, 2**20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x2000); done.append("locked")
    except OSError: pass
    try: mmap.mmap(-1, 2**21, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40000); done.append("huge")
    except OSError: pass
    return done
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "memory in socket pairs",
        "import socket\ndef main_solution():\n    kept = []\n    while True:\n"
        "        a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM); kept += [a, b]\n"
        "        for end in (a, b):\n            end.setblocking(False)\n"
        "            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**30)\n"
        "            try:\n                while True: end.send(bytes(100_000))\n"
        "            except OSError: pass\n",
        ("exception", "memory_exceeded", "timeout"),
        error_types=("OSError",),
        repeat=2,
    ),
    Attack(
        "names and attributes in the place of bytes",
        """
import os
def main_solution():
    # Extended attributes and long names hold data though no file has a byte.
    held = 0
    for n in range(20_000):
        name = f"/tmp/{n}" + "n" * 200
        try:
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
            held += 200
        except OSError: break
        try:
            for k in range(64):
                os.setxattr(name, f"user.{k}", bytes(60_000)); held += 60_000
        except OSError: pass
    return held < 2**26
""",
        ("ok", "timeout"),
        output=True,
        repeat=2,
    ),
    Attack(
        "CPU of many threads at once",
        "import hashlib, threading\ndef burn():\n    while True:\n"
        "        hashlib.pbkdf2_hmac('sha256', b'x', b'y', 200_000)\n"
        "def main_solution():\n    for _ in range(16): threading.Thread(target=burn).start()\n"
        "    burn()\n",
        ("timeout",),
    ),
    Attack(
        "CPU inside the kernel",
        "import os\ndef main_solution():\n    zero = os.open('/dev/zero', os.O_RDONLY)\n"
        "    null = os.open('/dev/null', os.O_WRONLY)\n    room = bytearray(2**24)\n"
        "    while True:\n        os.getrandom(2**24); os.readv(zero, [room] * 64)\n"
        "        os.sendfile(null, zero, None, 2**30)\n",
        ("timeout", "exception"),
        error_types=("OSError",),
    ),
    Attack(
        "a storm of signals",
        "import signal\ndef main_solution():\n    def again(*_):\n        for _ in range(1000): pass\n"
        "    for name, which in (('SIGALRM', 0), ('SIGVTALRM', 1), ('SIGPROF', 2)):\n"
        "        signal.signal(getattr(signal, name), again)\n"
        "        signal.setitimer(which, 1e-6, 1e-6)\n    while True: pass\n",
        ("timeout", "exception"),
    ),
    Attack(
        "faults handled and made again",
        """
import ctypes, signal
libc = ctypes.CDLL(None)
def main_solution():
    # The handler returns to the instruction that faulted.
    for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL):
        libc.signal(int(number), ctypes.cast(libc.abs, ctypes.c_void_p))
    ctypes.string_at(8)
""",
        ("timeout", "no_result"),
    ),
    Attack(
        "asleep on a pipe with no other end",
        "import os\ndef main_solution():\n    try: os.mkfifo('/tmp/fifo')\n"
        "    except OSError: return os.read(os.pipe()[0], 1)\n"
        "    return os.open('/tmp/fifo', os.O_RDONLY)\n",
        ("timeout",),
    ),
    Attack(
        "asleep in threads that hold every lock",
        "import _thread, threading\ndef main_solution():\n    lock = threading.RLock(); lock.acquire()\n"
        "    for _ in range(50): threading.Thread(target=lock.acquire).start()\n"
        "    _thread.allocate_lock().acquire(); one = _thread.allocate_lock()\n"
        "    one.acquire(); one.acquire()\n",
        ("timeout",),
    ),
    Attack(
        "objects that end hard",
        """
import atexit, gc, sys, threading, weakref
kept = []
class Phoenix:
    def __del__(self):
        kept.append(Phoenix()); Phoenix()
        while len(kept) > 3: pass
def main_solution():
    gc.callbacks.append(lambda *a: exec("while 1: pass"))
    gc.set_threshold(1)
    weakref.finalize(sys, lambda: exec("while 1: pass"))
    sys.unraisablehook = sys.excepthook = threading.excepthook = lambda *a: exec("while 1: pass")
    Phoenix()
    return 1
""",
        ("ok", "timeout", "memory_exceeded", "exception", "no_result"),
        output=1,
    ),
    Attack(
        "structures deeper than any stack",
        """
import ast, copy, json, marshal, pickle, sys
def main_solution():
    sys.setrecursionlimit(10**9)
    deep = []
    for _ in range(10**6): deep = [deep]
    for action in (
        lambda: json.loads("[" * 10**6), lambda: ast.literal_eval("-" * 10**6 + "1"),
        lambda: pickle.dumps(deep), lambda: marshal.dumps(deep), lambda: copy.deepcopy(deep),
        lambda: repr(deep), lambda: deep == copy.copy(deep), lambda: json.dumps(deep),
    ):
        try: action()
        except (RecursionError, ValueError, MemoryError): pass
    return deep
""",
        ("no_result", "exception", "unserializable", "memory_exceeded", "timeout"),
    ),
    Attack(
        "a type and a generator that feed each other",
        "def main_solution():\n    class Meta(type):\n"
        "        def __getattribute__(cls, name): return Meta('x', (), {})\n"
        "    def forever():\n        while True: yield from zip(forever(), forever())\n"
        "    return [getattr(Meta('y', (), {}), 'z'), next(forever())]\n",
        ("exception", "no_result", "memory_exceeded", "timeout", "unserializable"),
    ),
    Attack(
        "priorities and limits of the whole machine",
        """
import os, resource
def main_solution():
    done = []
    for which in (os.PRIO_PROCESS, os.PRIO_PGRP, os.PRIO_USER):
        for who in (0, 1, os.getppid()):
            try: os.setpriority(which, who, -1); done.append([which, who])
            except OSError: pass
    for name in dir(resource):
        if not name.startswith("RLIMIT_"): continue
        soft, hard = resource.getrlimit(getattr(resource, name))
        if hard == resource.RLIM_INFINITY: continue
        try: resource.setrlimit(getattr(resource, name), (hard + 1, hard + 1)); done.append(name)
        except (OSError, ValueError): pass
    return done
""",
        ("ok",),
        output=[],
    ),
)
