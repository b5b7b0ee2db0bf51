"""What of the runner is gone through inside real sandboxes, for the figures of ``make test``.

The runner's files are mounted with a tracer in front of them, and a folder that the tracer writes
to. Nothing else about these sandboxes differs. coverage.py itself stays outside: what runs in a
sandbox has the standard library only.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import coverage
import pytest

from execbox.wire import CellRequest, GenerateRequest, RunRequest, SessionRequest
from execbox_service.operations.generate import generate
from execbox_service.operations.run import run
from execbox_service.operations.session_room import OwnSessionRoom
from execbox_service.operations.sessions import Sessions
from execbox_service.scheduling.caller import Caller
from tests.weakened import RUNNER, Edits, Weakened, edited_runner, weakened

pytestmark = pytest.mark.docker

ROOT = RUNNER.parents[1]
DATA = ROOT / ".coverage"
DOCSTRING_END = 'Start at ``supervisor.py``.\n"""\n'
TRACER = """
import json as _json, os as _os, signal as _signal, sys as _sys

_seen, _here = {}, _os.path.dirname(__file__)
_open, _write, _close, _replace, _exit = _os.open, _os.write, _os.close, _os.replace, _os._exit
_dumps, _interpreter = _json.dumps, _os.urandom(8).hex()


def _trace(frame, event, argument):
    code = frame.f_code
    if not code.co_filename.startswith(_here):
        return None
    steps = _seen.setdefault(code.co_filename[len(_here) + 1 :], set())
    outside = last = -code.co_firstlineno

    def in_frame(frame, event, argument):
        nonlocal last
        if event == "line":
            steps.add((last, frame.f_lineno))
            last = frame.f_lineno
        elif event == "return":
            steps.add((last, outside))
        return in_frame

    return in_frame


def _save(*_):
    name = f"/coverage/{_interpreter}-{_os.getpid()}"
    text = _dumps({file: sorted(steps) for file, steps in list(_seen.items())})
    descriptor = _open(name + ".new", _os.O_WRONLY | _os.O_CREAT | _os.O_TRUNC, 0o644)
    _write(descriptor, text.encode())
    _close(descriptor)
    _replace(name + ".new", name + ".json")


def _save_and_exit(code):
    _sys.settrace(None)
    try:
        _save()
    finally:
        _exit(code)


_os._exit = _save_and_exit
_signal.signal(_signal.SIGALRM, _save)
_signal.setitimer(_signal.ITIMER_REAL, 0.2, 0.2)  # Forked processes do not have it.
_sys.settrace(_trace)
"""
EDITS: Edits = {"__init__.py": ((DOCSTRING_END, DOCSTRING_END + TRACER),)}
FULL_CHECKS = {"determinism": {"runs": 3}, "complexity": "codeio"}
CALLER = Caller("test")
LIMITS = {"cpu_time_s": 0.5, "wall_time_s": 1, "memory_mb": 64}

CODES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("def main_solution(): return {'a': [1, 2.5, None, True, 'x', (1,)]}", {"checks": FULL_CHECKS}),
    ("import random\ndef main_solution(): return random.random()", {"checks": FULL_CHECKS}),
    ("import time\ndef main_solution(): return time.time()", {"checks": FULL_CHECKS}),
    ("import numpy as np\ndef main_solution(): return np.arange(3)", {"convert": "codeio"}),
    ("from decimal import Decimal\ndef main_solution(): return [{1}, b'a', Decimal(1)]", {}),
    (
        "from decimal import Decimal\ndef main_solution(): return [{1}, b'a', Decimal(1)]",
        {"convert": "codeio"},
    ),
    ("def main_solution(): return float('nan')", {}),
    ("def main_solution(): return 'x' * 2000", {"limits": LIMITS | {"output_bytes": 100}}),
    ("def main_solution(): return list(range(100))", {"checks": FULL_CHECKS}),
    ("def main_solution():\n    def f(n):\n        return f(n + 1)\n    return f(0)", {}),
    ("def main_solution():\n    raise ValueError('a') from KeyError('b')", {}),
    ("def main_solution(:", {}),
    ("def another(): pass", {}),
    ("def main_solution():\n    print('a' * 100000)\n    return 1", {}),
    ("def main_solution():\n    while True: pass", {"limits": LIMITS}),
    ("import time\ndef main_solution(): time.sleep(9)", {"limits": LIMITS}),
    ("def main_solution(): return len(bytearray(10**9))", {"limits": LIMITS}),
    ("import os\ndef main_solution(): os._exit(3)", {}),
    ("def main_solution():\n    open('/tmp/a', 'w').write('b')\n    return 1", {}),
    (
        "import subprocess\ndef main_solution():\n    subprocess.Popen(['sleep', '9'])\n",
        {"profile": "processes"},
    ),
)
"""One for each way that an execution can go."""
GENERATE: dict[str, Any] = {
    "function": {"code": "def main_solution(n): return n", "prelude": "codeio"},
    "input_generator": {
        # Fixed at the top level, so that all draws are one until several are made in a process.
        "code": "import random\nrandom.seed(1)\n"
        "def input_generator(): return {'n': random.randint(0, 9)}"
    },
    "count": 3,
    "attempts": 9,
    "isolation": "process",
}
PROGRAM: dict[str, Any] = {
    "program": {
        "code": "import sys, helper\nopen('made', 'w').write(input())\nsys.exit(helper.code)",
        "stdin": "read",
        "files": {"helper.py": "code = 3"},
        "fetch": ["*"],
    },
    "cases": [{}] * 3,
    "isolation": "process",
}
WITHOUT_COMPILER: dict[str, Any] = {
    "program": {"code": "int main() {}", "language": "cpp"},
    "profile": "processes",
    "isolation": "process",
}
"""What becomes a different program writes nothing of what it went through, unless it cannot."""
CELLS = (
    "import sys\nx = [1, 2]\nx",
    "1 / 0",
    "def f(:",
    "await __import__('asyncio').sleep(0)",
    "while True: pass",
    # A session is ended with its container, and what it went through is written at an exit.
    "__import__('os')._exit(0)",
)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Where jobs of any user may write what they went through."""
    folder = tmp_path / "coverage"
    folder.mkdir()
    for path in (folder, *tmp_path.parents[:2], tmp_path):
        path.chmod(0o1777)
    return folder


async def go_through(sandboxes: Weakened) -> list[str]:
    """Every way, and what each ended as."""
    statuses = []
    for code, fields in CODES:
        execution = await sandboxes.call(code, **fields)
        statuses.append(str(execution.status.value))
    request = GenerateRequest.model_validate(GENERATE)
    answer = await generate(sandboxes.backend, request, caller=CALLER)
    assert len(answer.pairs) == 3
    program = RunRequest.model_validate(PROGRAM)
    answered = await run(sandboxes.backend, program, caller=CALLER)
    statuses += [str(each.status.value) for each in answered.runs]
    facts = replace(sandboxes.backend.facts, languages=("python", "cpp"))
    mistaken = replace(sandboxes.backend, facts=facts)
    compiled = RunRequest.model_validate(WITHOUT_COMPILER)
    answered = await run(mistaken, compiled, caller=CALLER)
    statuses += [str(each.status.value) for each in answered.runs]
    return statuses + await go_through_cells(sandboxes)


async def go_through_cells(sandboxes: Weakened) -> list[str]:
    """A session from its first cell to its end, and what each cell ended as."""
    sessions = Sessions(sandboxes.backend, OwnSessionRoom(count_max=1, key_count_max=1))
    info = await sessions.open(SessionRequest.model_validate({"limits": LIMITS}), caller=CALLER)
    statuses = []
    for code in CELLS:
        ended = await sessions.run(info.id, CellRequest(code=code), caller=CALLER)
        statuses.append(str(ended.status.value))
    assert ended.session_lost
    return statuses


def steps_of(folder: Path) -> dict[str, set[tuple[int, int]]]:
    """What all processes of all sandboxes went through, by file of the runner."""
    found: dict[str, set[tuple[int, int]]] = {}
    for path in folder.glob("*.json"):
        for name, steps in json.loads(path.read_text("utf-8")).items():
            found.setdefault(name, set()).update((start, end) for start, end in steps)
    return found


async def test_runner_is_gone_through_in_real_sandboxes(written: Path) -> None:
    """Every module of it, in each of its three kinds of process; and the lines are measured."""
    with edited_runner(EDITS) as runner:
        binds = [f"{runner}:/usr/lib/execbox/execbox_runner:ro", f"{written}:/coverage:rw"]
        async with weakened(options={"Binds": binds}) as sandboxes:
            statuses = await go_through(sandboxes)
    assert set(statuses) >= {
        *("ok", "exception", "exit_nonzero", "invalid_code", "compile_error"),
        *("timeout", "memory_exceeded", "no_result"),
    }
    found = steps_of(written)
    del found["__init__.py"]
    modules = {path.name for path in RUNNER.glob("*.py")} - {"__init__.py"}
    assert modules - found.keys() == set()
    if coverage.Coverage.current() is not None:
        data = coverage.CoverageData(basename=str(DATA / "data.runner"))
        data.add_arcs({f"sandbox-image/execbox_runner/{name}": found[name] for name in modules})
        data.write()
