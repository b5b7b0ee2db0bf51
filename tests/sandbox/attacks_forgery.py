"""Programs that try to be believed: false frames, lying objects, verdicts written by hand."""

from __future__ import annotations

from tests.sandbox.attack import Attack

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
)
