"""Programs that try to be believed: false frames, lying objects, verdicts written by hand."""

from __future__ import annotations

from harness.attacks.attack import Attack

_FORGE = """
import json, os, struct
def frame(output=b"1", **fields):
    header = {"status": "ok", "flags": [], "error": None, "violations": None,
              "output_bytes": len(output)} | fields
    text = json.dumps(header).encode()
    return struct.pack("!4sI", b"xbx1", len(text)) + text + output
def say(data):
    os.write(3, data)
    os._exit(0)
"""

ATTACKS = (
    Attack(
        "frames on stdout and stderr",
        "import os\ndef main_solution():\n    for fd in (1, 2):\n"
        '        os.write(fd, b\'\\x00\\x00\\x00\\x10\\x11\\x00\\x00\\x00\\x02{}xbx1{"status":"ok"}\')\n'
        "    return 1\n",
        ("ok",),
        output=1,
    ),
    Attack(
        "two frames", _FORGE + "def main_solution(): say(frame() + frame(b'2'))\n", ("no_result",)
    ),
    Attack("half a frame", _FORGE + "def main_solution(): say(frame()[:-1])\n", ("no_result",)),
    Attack(
        "a frame and more", _FORGE + "def main_solution(): say(frame() + b' ')\n", ("no_result",)
    ),
    Attack(
        "a frame before the real one",
        _FORGE + "def main_solution():\n    os.write(3, frame(b'666'))\n    return 1\n",
        ("no_result",),
    ),
    Attack(
        "a header that lies about its length",
        _FORGE + "def main_solution(): say(struct.pack('!4sI', b'xbx1', 2**32 - 1) + b'{}')\n",
        ("no_result",),
    ),
    Attack(
        "an unknown status",
        _FORGE + "def main_solution(): say(frame(status='timeout'))\n",
        ("no_result",),
    ),
    Attack(
        "a status only the kernel gives",
        _FORGE + "def main_solution(): say(frame(status='memory_exceeded'))\n",
        ("no_result",),
    ),
    Attack(
        "an unknown field",
        _FORGE + "def main_solution(): say(frame(usage={'cpu_time_s': 0}))\n",
        ("no_result",),
    ),
    Attack(
        "ok with an error",
        _FORGE + "def main_solution(): say(frame(error={'type': 'E', 'message': 'm',\n"
        "                                'traceback': None, 'line': 1}))\n",
        ("no_result",),
    ),
    Attack(
        "exception without one",
        _FORGE + "def main_solution(): say(frame(b'', status='exception'))\n",
        ("no_result",),
    ),
    Attack(
        "an error as long as a book",
        _FORGE + "def main_solution(): say(frame(b'', status='exception', error={'type': 'E',\n"
        "    'message': 'm' * 200_000, 'traceback': None, 'line': 1}))\n",
        ("no_result",),
    ),
    Attack(
        "output that is no JSON",
        _FORGE + "def main_solution(): say(frame(b'{1: 2}'))\n",
        ("unserializable",),
    ),
    Attack(
        "duplicate keys",
        _FORGE + 'def main_solution(): say(frame(b\'{"a": 1, "a": 2}\'))\n',
        ("unserializable",),
    ),
    Attack(
        "nesting that blows a parser up",
        _FORGE + "def main_solution(): say(frame(b'[' * 100_000 + b']' * 100_000))\n",
        ("unserializable",),
    ),
    Attack(
        "nesting hidden behind a flag",
        _FORGE + "def main_solution(): say(frame(b'[' * 100_000 + b']' * 100_000,\n"
        "                                       flags=['non_finite']))\n",
        ("unserializable",),
    ),
    Attack(
        "an integer of a million digits",
        _FORGE + "def main_solution(): say(frame(b'1' * 1_000_000))\n",
        ("unserializable",),
    ),
    Attack(
        "NaN without its flag",
        _FORGE + "def main_solution(): say(frame(b'[NaN, Infinity, 1e999]'))\n",
        ("unserializable",),
    ),
    Attack(
        "bytes that are no UTF-8",
        _FORGE + "def main_solution(): say(frame(b'\"\\xff\\xfe\"'))\n",
        ("unserializable",),
    ),
    Attack(
        "a lone surrogate as an escape",
        _FORGE + "def main_solution(): say(frame(b'\"\\\\ud800\"'))\n",
        ("unserializable",),
    ),
    Attack(
        "output over its limit",
        _FORGE + "def main_solution(): say(frame(b'\"' + b'x' * 1_100_000 + b'\"'))\n",
        ("output_too_large",),
    ),
    Attack(
        "a frame without end",
        _FORGE + "def main_solution():\n    os.write(3, frame())\n"
        "    while True: os.write(3, b'x' * 65536)\n",
        ("output_too_large", "timeout", "no_result"),
    ),
    Attack(
        "one byte now and then",
        "import os, time\ndef main_solution():\n    while True:\n        os.write(3, b'[')\n"
        "        time.sleep(0.2)\n",
        ("timeout",),
    ),
    Attack(
        "a right frame from a process that fails",
        _FORGE + "def main_solution():\n    os.write(3, frame())\n    os._exit(1)\n",
        ("no_result",),
    ),
    Attack(
        "a right frame from a process that is killed",
        _FORGE + "def main_solution():\n    os.write(3, frame())\n    os.kill(os.getpid(), 9)\n",
        ("no_result",),
    ),
    Attack(
        "equal to everything",
        "def main_solution():\n    class E:\n        __eq__ = lambda s, o: True\n"
        "        __hash__ = lambda s: 0\n        __class__ = property(lambda s: int)\n"
        "        __float__ = __int__ = __index__ = lambda s: 1\n    return E()\n",
        ("unserializable",),
    ),
    Attack(
        "text that looks like an answer",
        "def main_solution():\n    class B(BaseException):\n"
        '        __str__ = lambda s: \'\\x00{"status":"ok"}\\ud800\'\n    raise B\n',
        ("exception",),
        error_types=("B",),
    ),
    Attack(
        "the runner's own functions replaced",
        """
import sys
def main_solution():
    for name, module in list(sys.modules.items()):
        if "execbox_runner" in name:
            for attribute in list(vars(module)):
                if callable(getattr(module, attribute)):
                    setattr(module, attribute, lambda *a, **k: None)
    sys.modules["__main__"].main_solution = lambda: 42
    globals()["main_solution"] = lambda: 42
    return 1
""",
        ("ok", "no_result", "exception"),
        output=1,
        repeat=2,
    ),
    Attack(
        "the frames above rewritten",
        """
import gc, sys
def main_solution():
    frame = sys._getframe()
    while frame:
        for name, value in list(frame.f_locals.items()):
            if isinstance(value, dict) and "output_bytes" in value: value["output_bytes"] = 10**9
            if isinstance(value, dict) and "code" in value: value["code"] = "main_solution = lambda: 42"
        frame = frame.f_back
    return "x" * 2_000_000
""",
        ("output_too_large",),
    ),
    Attack(
        "usage of its own making",
        """
import os, resource, time
def main_solution():
    resource.getrusage = time.process_time = time.monotonic = lambda *a: 0
    os.times = lambda: (0,) * 5
    while True: pass
""",
        ("timeout",),
    ),
    Attack(
        "an endless generator", "def main_solution(): return iter(int, 1)\n", ("unserializable",)
    ),
    Attack(
        "the kernel's verdicts imitated: killed for memory",
        "import os\ndef main_solution(): os.kill(os.getpid(), 9)\n",
        ("no_result",),
    ),
    Attack(
        "the kernel's verdicts imitated: out of time",
        "import os, signal\ndef main_solution(): os.kill(os.getpid(), signal.SIGXCPU)\n",
        ("no_result",),
    ),
    Attack(
        "exceptions that sound like verdicts",
        "def main_solution():\n    try: raise MemoryError('memory_exceeded')\n"
        "    except MemoryError as error: raise TimeoutError('timeout') from error\n",
        ("exception",),
        error_types=("TimeoutError",),
    ),
    Attack(
        "a syntax error made by hand",
        "def main_solution():\n    error = SyntaxError('bad', ('f.py', -5, object(), 7, None, 2**70))\n"
        "    error.text = error.filename = error.msg = 3\n    raise error\n",
        ("exception",),
        error_types=("SyntaxError",),
    ),
    Attack(
        "the runner's own exit code",
        "import os\ndef main_solution(): os._exit(70)\n",
        ("no_result",),
    ),
    Attack(
        "a clean exit without an answer",
        "import os\ndef main_solution(): os._exit(0)\n",
        ("no_result",),
    ),
    Attack(
        "an exception whose type lies",
        """
class Meta(type):
    __name__ = property(lambda cls: "ok\\ud800\\n\\x00" * 1000)
    __module__ = property(lambda cls: b"bytes")
    def __repr__(cls): raise KeyboardInterrupt
    def __instancecheck__(cls, other): raise SystemExit
class Liar(Exception, metaclass=Meta):
    __class__ = property(lambda self: 1 / 0)
    def __str__(self): return str.__new__(type("S", (str,), {"__len__": lambda s: -1}), "x")
    __traceback__ = property(lambda self: "no traceback", lambda self, value: None)
    __cause__ = __context__ = property(lambda self: self)
def main_solution(): raise Liar
""",
        ("exception", "no_result"),
    ),
    Attack(
        "a group of exceptions without end",
        "def main_solution():\n    error = ValueError('x' * 10**6)\n"
        "    for _ in range(5000): error = ExceptionGroup('g' * 1000, [error, error])\n"
        "    raise error\n",
        ("exception", "no_result", "timeout", "memory_exceeded"),
    ),
    Attack(
        "streams exchanged",
        _FORGE
        + """
def main_solution():
    keep = [os.dup(fd) for fd in (1, 2, 3)]
    os.dup2(keep[2], 1); os.dup2(keep[2], 2); os.dup2(keep[0], 3)
    print("printed into the answer", flush=True)
    return 1
""",
        ("no_result",),
    ),
    Attack(
        "streams closed",
        "import os, sys\ndef main_solution():\n    os.closerange(0, 256)\n"
        "    sys.stdout = sys.stderr = sys.stdin = None\n    return 1\n",
        ("no_result",),
    ),
    Attack(
        "the interpreter's ways to end replaced",
        """
import os, posix, sys
def main_solution():
    for module in (os, posix):
        module._exit = module.write = module.abort = lambda *a: None
    sys.exit = sys.__dict__["exit"] = lambda *a: None
    for name, module in list(sys.modules.items()):
        for attribute in ("_exit", "_os_exit", "_os_write"):
            if hasattr(module, attribute): setattr(module, attribute, lambda *a: 0)
    return 1
""",
        ("no_result", "timeout", "ok", "exception", "memory_exceeded"),
        output=1,
    ),
    Attack(
        "a debugger on the runner",
        """
import sys
def main_solution():
    def trace(frame, event, argument):
        for name, value in list(frame.f_locals.items()):
            if name in ("limit_bytes",): frame.f_locals[name] = 10**9
        frame.f_trace_opcodes = True
        if event == "return" and "status" in str(argument)[:200]: raise RuntimeError("traced")
        return trace
    frame = sys._getframe()
    while frame:
        frame.f_trace = trace
        frame = frame.f_back
    sys.settrace(trace); sys.setprofile(lambda *a: None)
    return "x" * 2_000_000
""",
        ("output_too_large", "exception", "no_result", "timeout"),
    ),
    Attack(
        "audit hooks that forbid",
        "import sys\ndef main_solution():\n    def hook(*_): raise SystemExit(0)\n"
        "    sys.addaudithook(hook)\n    return 1\n",
        ("ok", "exception", "no_result"),
        output=1,
        repeat=2,
    ),
    Attack(
        "interrupted while the answer is written",
        """
import ctypes, signal, threading, time
def main_solution():
    # Exceptions from outside, wherever the interpreter is when they come.
    main, api = threading.get_ident(), ctypes.pythonapi
    def pester():
        while True:
            api.PyThreadState_SetAsyncExc(ctypes.c_ulong(main), ctypes.py_object(KeyboardInterrupt))
            time.sleep(0)
    def alarm(*_): raise SystemExit("alarm")
    signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.001)
    threading.Thread(target=pester, daemon=True).start()
    return list(range(50_000))
""",
        ("ok", "exception", "no_result", "timeout"),
        any_output=True,
    ),
    Attack(
        "a crash report into the answer",
        "import faulthandler, time\ndef main_solution():\n"
        "    faulthandler.enable(file=3, all_threads=True)\n"
        "    faulthandler.dump_traceback_later(0.001, repeat=True, file=3)\n"
        "    time.sleep(0.05)\n    return 1\n",
        # Where its thread gets no core in time, nothing is in the way of the answer.
        ("no_result", "ok"),
        output=1,
    ),
    Attack(
        "bytes on stdout that are no text",
        "import os\ndef main_solution():\n"
        "    for fd in (1, 2): os.write(fd, bytes(range(256)) * 8 + '\\x1b]0;x\\x07\\u202e'.encode())\n"
        "    return 1\n",
        ("ok",),
        output=1,
    ),
    Attack(
        "an encoder of its own",
        """
import json, json.encoder
class Lying(float):
    __repr__ = __str__ = lambda self: '"forged"'
    def __float__(self): return 2.0
def main_solution():
    json.encoder.c_make_encoder = json.encoder.c_make_encoder = None
    json.encoder.encode_basestring_ascii = lambda text: '"forged"'
    json.JSONEncoder.iterencode = json.JSONEncoder.encode = lambda *a, **k: '"forged"'
    float.__repr__ is Lying.__repr__
    return ["true", 1.5, {"a": None}]
""",
        ("ok",),
        output=["true", 1.5, {"a": None}],
        repeat=2,
    ),
)
