"""What every engine must do with programs and sessions, in one suite; functions have their own."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

import pytest
from harness.bench import Bench

from execbox.wire import CellOutput, CellRequest, ProgramRun, RunRequest
from execbox_service.failures import CallerMistake
from execbox_service.operations.registry import RUN
from tests.engines.opened import OWN, opened

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

SHORT = {"cpu_time_s": 0.3, "wall_time_s": 0.6}
COUNTING = (
    "import threading\nn = 0\ndef count():\n    global n\n    while True: n += 1\n"
    "threading.Thread(target=count, daemon=True).start()"
)
PROGRAMS: dict[str, tuple[str, dict[str, Any], str, str | None]] = {
    "ok": ("print('x')", {}, "ok", None),
    "exception": ("1 / 0", {}, "exit_nonzero", "ZeroDivisionError"),
    "exit": ("raise SystemExit(3)", {}, "exit_nonzero", None),
    "syntax": ("def (", {}, "invalid_code", "SyntaxError"),
    "signal": ("import ctypes\nctypes.string_at(1)", {}, "no_result", None),
    "cpu-time": ("while True: pass", SHORT, "timeout", None),
    "wall-time": ("import time\ntime.sleep(60)", SHORT, "timeout", None),
    "memory": ("bytearray(512 << 20)", {"memory_mb": 64}, "memory_exceeded", None),
}
"""A program, its limits, and how it must end: its status, and the type of its error."""


async def run(bench: Bench, code: str, **fields: Any) -> list[ProgramRun]:
    """The runs of a program at the quickest level, unless ``fields`` say otherwise."""
    of_program = ("arguments", "stdin", "files", "fetch")
    program = {"code": code} | {name: fields.pop(name) for name in of_program if name in fields}
    body = {"program": program, "isolation": "process"} | fields
    answer = await bench.runtime.perform(RUN, RunRequest.model_validate(body), caller=OWN)
    return list(answer.runs)


@pytest.mark.parametrize("name", PROGRAMS)
async def test_program_ends_as_it_must_and_the_next_is_unharmed(
    any_bench: Bench, name: str
) -> None:
    """Its status is the same on every engine."""
    code, limits, status, error = PROGRAMS[name]
    (ended,) = await run(any_bench, code, limits=limits)
    assert (ended.status, ended.error.type if ended.error else None) == (status, error)
    (after,) = await run(any_bench, "print(6 * 7)")
    assert (after.status, after.stdout) == ("ok", "42\n")


async def test_program_has_its_stdin_arguments_and_files(any_bench: Bench) -> None:
    """Each case its own, and what it writes is fetched."""
    code = (
        "import sys\nn = int(input()) * int(open('d/a').read())\n"
        "open('out', 'w').write(sys.argv[1])\nprint(n)"
    )
    cases = [{"stdin": "2\n", "expected": {"stdout": "6\n"}}, {"stdin": "3", "arguments": ["b"]}]
    first, second = await run(
        any_bench, code, arguments=["a"], files={"d/a": "3"}, fetch=["out"], cases=cases
    )
    assert (first.stdout, first.verdict, second.stdout) == ("6\n", "correct", "9\n")
    fetched = [base64.b64decode(each.files["out"].base64) for each in (first, second)]
    assert fetched == [b"a", b"b"]


async def test_program_may_start_processes_where_it_is_allowed(any_bench: Bench) -> None:
    """And only there."""
    code = "import subprocess\nprint(subprocess.run(['/bin/echo', 'hi']).returncode)"
    (allowed,) = await run(any_bench, code, profile="processes")
    assert (allowed.status, allowed.stdout) == ("ok", "hi\n0\n")
    (refused,) = await run(any_bench, code)
    assert (refused.status, refused.stdout) == ("exit_nonzero", "")


async def test_session_keeps_variables_and_files(any_bench: Bench) -> None:
    """From cell to cell, errors between them included; files go in and come out."""
    async with opened(any_bench, files={"a": "1 2"}) as session:
        assert await session.shown("x = open('a').read().split()\nlen(x)") == "2"
        assert (await session.cell("1 / 0")).status == "exception"
        await any_bench.runtime.sessions.put_file(session.id, "b", b"3", caller=OWN)
        assert await session.shown("x + [open('b').read()]") == "['1', '2', '3']"
        await session.cell("open('c', 'wb').write(bytes(range(256)))")
        content = await any_bench.runtime.sessions.get_file(session.id, "c", caller=OWN)
        assert content == bytes(range(256))


async def test_session_has_no_file_whose_name_is_reserved(any_bench: Bench) -> None:
    """What would be a program's own source is a file as any: given, put, got."""
    sessions = any_bench.runtime.sessions
    async with opened(any_bench, files={"program.py": "x = 1"}) as session:
        assert await session.shown("import program\nprogram.x") == "1"
        assert await sessions.get_file(session.id, "program.py", caller=OWN) == b"x = 1"
        await sessions.put_file(session.id, "program.py", b"x = 2", caller=OWN)
        assert await session.shown("open('program.py').read()") == "'x = 2'"


async def test_cell_over_its_limit_is_interrupted_and_its_session_lives(any_bench: Bench) -> None:
    """As Ctrl-C does it; its variables are there afterwards."""
    async with opened(any_bench) as session:
        await session.cell("x = 1")
        ended = await session.cell("while True: x += 1", cpu_time_s=0.3)
        assert (ended.status, ended.limit, ended.session_lost) == ("timeout", "cpu_time", False)
        assert ended.usage.cpu_time_s < 0.8
        assert await session.shown("x > 1") == "True"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("import os\nos._exit(0)", "no_result"),
        ("bytearray(512 << 20)", "memory_exceeded"),
    ],
)
async def test_cell_that_ends_its_session_is_told_and_no_other_is_harmed(
    any_bench: Bench, code: str, status: str
) -> None:
    """The session is gone, with its reason, and never an empty one in its place."""
    async with opened(any_bench) as other, opened(any_bench, limits={"memory_mb": 64}) as session:
        await other.cell("x = 1")
        ended = await session.cell(code, **SHORT)
        assert (ended.status, ended.session_lost) == (status, True)
        with pytest.raises(CallerMistake, match=ended.lost_reason):
            await session.cell("1")
        assert await other.shown("x") == "1"


async def test_idle_session_takes_no_processor_and_no_slot(any_bench: Bench) -> None:
    """Its threads stand still between cells, and functions run meanwhile."""
    async with opened(any_bench) as session:
        await session.cell(f"{COUNTING}\nbefore = None")
        await session.cell("before = n")
        ended = await any_bench.call("def main_solution(): return 1")
        assert ended.output == 1
        await asyncio.sleep(0.3)
        assert int(await session.shown("n - before") or 0) < 10**6


async def test_output_of_a_cell_is_seen_as_it_comes_and_one_that_is_left_is_interrupted(
    any_bench: Bench,
) -> None:
    """Before the cell has ended; then the session goes on."""
    async with opened(any_bench) as session:
        code = "import time\nprint('seen')\ntime.sleep(60)"
        request = CellRequest(code=code, stream=True)
        began_s = time.monotonic()
        lines = any_bench.runtime.sessions.stream(session.id, request, caller=OWN)
        assert await anext(lines) == CellOutput(stdout="seen\n")
        await lines.aclose()
        assert await session.shown("1 + 1") == "2"
        assert time.monotonic() - began_s < 5
