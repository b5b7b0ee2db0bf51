"""A program does what ``python program.py`` does with it, byte for byte, on real containers."""

from __future__ import annotations

import asyncio
import re
import signal

import pytest
import pytest_asyncio
from harness.bench import IMAGE, Bench
from harness.reference_python import Ended, ReferenceProgram, run_by_python

from execbox.wire import ProgramRun, RunRequest
from execbox_service.operations.registry import RUN
from execbox_service.scheduling.caller import Caller

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

P = ReferenceProgram
PROGRAMS = {
    "prints": P("print('hi')"),
    "nothing": P(""),
    "name and file": P("print(__name__, __file__, __doc__, __spec__, __package__)"),
    "module names": P("print(sorted(globals()))"),
    "annotations": P("x: int = 1\nprint(__annotations__)"),
    "main block": P("if __name__ == '__main__':\n    print('main')"),
    "import of main": P("import __main__\nx = 3\nprint(__main__.x)"),
    "arguments": P("import sys\nprint(sys.argv, sys.path[0])", arguments=("a", "b c", "ü", "")),
    "input": P("print(input('name? '), input())", stdin="a b\nc"),
    "input at end": P("input()", stdin=""),
    "input with carriage returns": P("print(repr(input()))", stdin="a\r\nb\r\n"),
    "stdin lines": P("import sys\nprint([line for line in sys.stdin])", stdin="1\n2\n\n3"),
    "stdin bytes": P("import sys\nprint(sys.stdin.buffer.read())", stdin="ü\x00\n"),
    "open(0)": P("print(open(0).read().split())", stdin="1 2\n3"),
    "os.read": P("import os\nprint(os.read(0, 3), os.read(0, 99))", stdin="abcdef"),
    "stdin as file": P("import sys\nprint(sys.stdin.isatty(), sys.stdin.fileno())", stdin="x"),
    "streams' names": P(
        "import sys\nfor s in (sys.stdin, sys.stdout, sys.stderr):\n"
        "    print(s.name, s.mode, s.encoding, s.errors, s.line_buffering, s.newlines)"
    ),
    "undecodable stdout": P("import sys\nsys.stdout.buffer.write(bytes(range(256)))"),
    "surrogate": P("print('\\udcff')"),
    "stderr": P("import sys\nprint('out')\nprint('err', file=sys.stderr)"),
    "exit none": P("import sys\nprint(1)\nsys.exit()"),
    "exit zero": P("raise SystemExit(0)"),
    "exit 3": P("raise SystemExit(3)"),
    "exit 256": P("raise SystemExit(256)"),
    "exit -1": P("raise SystemExit(-1)"),
    "exit huge": P("raise SystemExit(10**30)"),
    "exit true": P("raise SystemExit(True)"),
    "exit text": P("import sys\nsys.exit('bye ü')"),
    "exit float": P("import sys\nsys.exit(1.5)"),
    "exit tuple": P("raise SystemExit(1, 2)"),
    "exit()": P("exit(4)"),
    "quit in function": P("def f():\n    quit('no')\nf()"),
    "os._exit": P("import os\nprint('lost')\nos._exit(5)"),
    "exit in thread": P("import sys, threading\nthreading.Thread(target=sys.exit).start()"),
    "exception": P("def f(x):\n    return 1 / x\nprint('before')\nf(0)"),
    "exception with notes": P(
        "try:\n    {}['a']\nexcept KeyError as e:\n    e.add_note('a note')\n"
        "    raise ValueError('chained') from e"
    ),
    "exception while handling": P("try:\n    1 / 0\nexcept ZeroDivisionError:\n    [][1]"),
    "exception group": P("raise ExceptionGroup('two', [ValueError(1), TypeError(2)])"),
    "exception of own": P(
        "class Mine(Exception):\n    def __str__(self):\n        print('str')\n"
        "        return 'mine'\nraise Mine(1)"
    ),
    "exception whose text fails": P(
        "class Bad(Exception):\n    def __str__(self):\n        raise TypeError\nraise Bad"
    ),
    "long recursion": P("def f(n):\n    return f(n + 1)\nf(0)"),
    "recursion 990 deep": P("def f(n):\n    return n and f(n - 1)\nprint(f(990))"),
    "recursion's depth": P(
        "d = 0\ndef f():\n    global d\n    d += 1\n    f()\ntry:\n    f()\n"
        "except RecursionError:\n    print(d)"
    ),
    "deep recursion": P(
        "import sys\nsys.setrecursionlimit(10**6)\ndef f(n):\n    return n and f(n - 1)\n"
        "print(f(50_000))"
    ),
    "excepthook": P(
        "import sys\nsys.excepthook = lambda t, v, b: print('hook', t.__name__, v)\n1 / 0"
    ),
    "excepthook that fails": P(
        "import sys\ndef hook(*_):\n    raise KeyError('k')\nsys.excepthook = hook\n1 / 0"
    ),
    "excepthook that exits": P(
        "import sys\nsys.excepthook = lambda *_: sys.exit(7)\n1 / 0"
    ),
    "syntax error": P("x = 1\ndef f(:\n    pass"),
    "indentation error": P("if 1:\nx = 2"),
    "unclosed": P("print((1, 2)"),
    "return outside": P("return 5"),
    "null byte": P("x = '''\ny"),
    "syntax warning": P("x = 1\nprint(x is 1)"),
    "bad escape": P("print('\\d')"),
    "deprecation": P("import warnings\nwarnings.warn('old', DeprecationWarning)"),
    "runtime syntax error": P("exec('1 +')"),
    "future": P("from __future__ import annotations\ndef f(x: y): pass\nprint(f.__annotations__)"),
    "atexit": P("import atexit\natexit.register(print, 'a')\natexit.register(print, 'b')"),
    "atexit that fails": P("import atexit\natexit.register(lambda: 1 / 0)\nprint('x')"),
    "atexit after exception": P("import atexit\natexit.register(print, 'end')\n1 / 0"),
    "del at end": P("class A:\n    def __del__(self):\n        print('del')\na = A()\nprint('x')"),
    "del in order": P(
        "class A:\n    def __init__(self, n):\n        self.n = n\n"
        "    def __del__(self):\n        print('del', self.n)\n"
        "a, b, c = A(1), A(2), A(3)\nc.me = c\nprint('x')"
    ),
    "del with globals": P(
        "import sys\nclass A:\n    def __del__(self):\n        print(name, sys is None)\n"
        "name = 'n'\na = A()"
    ),
    "weakref finalize": P(
        "import weakref\nclass A: pass\na = A()\nweakref.finalize(a, print, 'gone')\nprint('x')"
    ),
    "threads joined": P(
        "import threading, time\ndef f():\n    time.sleep(0.05)\n    print('thread')\n"
        "threading.Thread(target=f).start()\nprint('main')"
    ),
    "daemon threads": P(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True)"
        ".start()\nprint('main')"
    ),
    "thread that fails": P(
        "import threading\nt = threading.Thread(target=lambda: 1 / 0, name='T')\nt.start()\n"
        "t.join()\nprint('main')"
    ),
    "thread pool": P(
        "from concurrent.futures import ThreadPoolExecutor as T\nwith T(3) as t:\n"
        "    print(list(t.map(abs, [-1, -2])))"
    ),
    "asyncio": P(
        "import asyncio\nasync def f():\n    await asyncio.sleep(0.01)\n    return 5\n"
        "print(asyncio.run(f()))"
    ),
    "coroutine never awaited": P("async def f(): pass\nf()\nprint('x')"),
    "pickle": P(
        "import pickle\nclass A:\n    pass\nprint(type(pickle.loads(pickle.dumps(A()))))"
    ),
    "dataclass": P(
        "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int = 1\nprint(A())"
    ),
    "enum repr": P("import enum\nclass E(enum.Enum):\n    A = 1\nprint(E.A, repr(E.A), E)"),
    "inspect": P("import inspect\ndef f():\n    return 1\nprint(inspect.getsource(f))"),
    "quine": P("print(open(__file__).read())"),
    "doctest": P("def f():\n    '''\n    >>> f()\n    2\n    '''\n    return 1\n"
                 "import doctest\ndoctest.testmod()"),
    "unittest": P("import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n"
                  "        self.assertEqual(1, 1)\nr = unittest.main(exit=False).result\n"
                  "print(r.testsRun)"),
    "argparse": P("import argparse\np = argparse.ArgumentParser()\np.add_argument('n', type=int)\n"
                  "print(p.parse_args().n)", arguments=("x",)),
    "logging": P("import logging\nlogging.warning('careful')\nlogging.getLogger('a').info('no')"),
    "hash": P("print({'a', 'b', 'c', 'd'}, hash('x'))"),
    "stdout closed": P("import sys\nprint('x')\nsys.stdout.close()"),
    "stdout's descriptor closed": P("import os\nprint('x')\nos.close(1)"),
    "print replaced": P("print = None\nimport builtins\nbuiltins.print('x')"),
    "exec of source": P("exec(open('program.py').read().split('#')[0]) # once\nprint('x')"[6:-1]),
    "large output": P("for i in range(3000): print(i)"),
    "no newline at end": P("import sys\nsys.stdout.write('a')"),
    "files": P("import os\nopen('x', 'w').write('1')\nprint(os.getcwd(), sorted(os.listdir()))"),
    "temporary file": P(
        "import tempfile, os\nwith tempfile.TemporaryDirectory() as d:\n"
        "    print(os.path.dirname(d))"
    ),
    "signal": P("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)"),
    "abort": P("import os\nos.abort()"),
    "numpy": P("import numpy as np\nprint(np.arange(3) * 1.5, np.random.default_rng(1).random())"),
    "random": P("import random\nrandom.seed(1)\nprint(random.random())"),
    "byte order mark": P("\ufeffprint('x')"),
    "form feed": P("x = 1\n\x0cprint(x)\n1 / 0"),
    "environment": P("import os\nprint(os.environ.get('HOME'), os.environ.get('LANG'))"),
    "self in tracebacks": P(
        "import traceback\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    traceback.print_exc()"
    ),
}  # fmt: skip
"""By what each is about."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def by_python() -> dict[str, Ended]:
    """What the interpreter itself does with each of them."""
    ended = await asyncio.to_thread(run_by_python, list(PROGRAMS.values()), image=IMAGE)
    return dict(zip(PROGRAMS, ended, strict=True))


async def run_one(bench: Bench, program: ReferenceProgram, **fields: object) -> ProgramRun:
    """One program once, at level process."""
    body = {
        "program": {
            "code": program.code,
            "stdin": program.stdin,
            "arguments": list(program.arguments),
        },
        "isolation": "process",
        **fields,
    }
    request = RunRequest.model_validate(body)
    response = await bench.runtime.perform(RUN, request, caller=Caller("test"))
    return response.runs[0]


def exit_code_of(run: ProgramRun) -> int:
    """As ``subprocess`` tells it: minus the signal where one ended it."""
    return -signal.Signals[run.signal] if run.signal is not None else run.exit_code or 0


def without_addresses(text: str) -> str:
    """Where an object lies in memory, and how long tests took, differ between any two processes."""
    return re.sub(r"0x[0-9a-f]{6,}|in \d\.\d+s", "", text)


@pytest.mark.parametrize("name", PROGRAMS)
async def test_program_does_what_python_does(
    bench: Bench, by_python: dict[str, Ended], name: str
) -> None:
    """Stdout, stderr and exit code are those of ``python3 program.py`` in the same image."""
    run = await run_one(bench, PROGRAMS[name])
    right = by_python[name]
    assert run.stdout == right.stdout.decode("utf-8", "replace")
    assert without_addresses(run.stderr) == without_addresses(right.stderr.decode())
    assert exit_code_of(run) == right.exit_code
