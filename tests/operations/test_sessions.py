"""Sessions on real containers: what lasts from cell to cell, what ends one, whose it is."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from harness.bench import Bench, containers_of, instance_of, started_bench

from execbox.wire import CellOutput, CellRequest, CellResponse, ErrorCode, SessionRequest
from execbox_service.failures import CallerMistake, Overloaded
from execbox_service.operations.sessions import Sessions
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.memory import Memory

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

OWN = Caller("test")
SHORT = {"cpu_time_s": 0.3, "wall_time_s": 0.6}


class Opened:
    """One session, and short ways to use it."""

    def __init__(self, sessions: Sessions, session_id: str) -> None:
        self.sessions = sessions
        self.id = session_id

    async def cell(self, code: str, **limits: float) -> CellResponse:
        request = CellRequest.model_validate({"code": code, "limits": limits})
        return await self.sessions.run(self.id, request, caller=OWN)

    async def shown(self, code: str) -> str | None:
        """What the last expression of a cell shows."""
        ended = await self.cell(code)
        assert ended.status == "ok", ended.error
        return ended.value.repr if ended.value is not None else None

    async def put(self, path: str, content: bytes) -> None:
        await self.sessions.put_file(self.id, path, content, caller=OWN)

    async def get(self, path: str) -> bytes:
        return await self.sessions.get_file(self.id, path, caller=OWN)


@asynccontextmanager
async def opened(bench: Bench, **fields: Any) -> AsyncIterator[Opened]:
    """A session that is ended afterwards, unless it has been."""
    sessions = bench.runtime.sessions
    info = await sessions.open(SessionRequest.model_validate(fields), caller=OWN)
    try:
        yield Opened(sessions, info.id)
    finally:
        try:
            await sessions.close(info.id, caller=OWN)
        except CallerMistake as gone:
            assert gone.code == "session_gone"  # noqa: PT017 - it may have ended by itself


# What lasts


async def test_cells_share_their_names(bench: Bench) -> None:
    """Variables, functions, imports and what the last expression was."""
    async with opened(bench) as session:
        assert await session.shown("import math\nx = 3\ndef double(n):\n    return n * 2") is None
        assert await session.shown("double(x) + math.floor(0.5)") == "6"
        assert await session.shown("_ + 1") == "7"
        assert await session.shown("None") is None
        assert await session.shown("x;") is None
        ended = await session.cell("print('out')\nimport sys\nprint('err', file=sys.stderr)\nx")
        assert (ended.stdout, ended.stderr, ended.cell) == ("out\n", "err\n", 6)
        assert ended.value is not None
        assert ended.value.json_value == 3


@pytest.mark.parametrize(
    ("code", "shown", "json_value"),
    [
        ("{'a': [1, 2.5, None]}", "{'a': [1, 2.5, None]}", {"a": [1, 2.5, None]}),
        ("{1, 2}", "{1, 2}", None),
        ("float('nan')", "nan", None),
        ("'x' * 30_000", None, "x" * 30_000),
        ("'\\ud800'", "'\\ud800'", None),
        ("await asyncio.sleep(0, 'slept')", "'slept'", "slept"),
        ("[n async for n in numbers()]", "[0, 1]", [0, 1]),
    ],
)
async def test_value_of_the_last_expression_is_shown(
    bench: Bench, code: str, shown: str | None, json_value: object
) -> None:
    """Its repr, cut where it is long, and itself where it is JSON; awaits work at the top level."""
    async with opened(bench) as session:
        await session.cell("import asyncio\nasync def numbers():\n    yield 0\n    yield 1")
        ended = await session.cell(code)
        assert ended.value is not None
        if shown is not None:
            assert ended.value.repr == shown
        else:
            assert len(ended.value.repr or "") == 20_001
        assert ended.value.json_value == json_value


async def test_errors_of_a_cell_leave_the_session_as_it_was(bench: Bench) -> None:
    """An exception, an exit and a syntax error are told with their line, and end nothing."""
    async with opened(bench) as session:
        raised = await session.cell("y = 1\n1 / 0")
        assert (raised.status, raised.session_lost) == ("exception", False)
        assert raised.error is not None
        assert (raised.error.type, raised.error.line) == ("ZeroDivisionError", 2)
        assert 'File "<cell 1>", line 2' in (raised.error.traceback or "")
        left = await session.cell("import sys\nsys.exit(3)")
        assert left.error is not None
        assert left.error.type == "SystemExit"
        wrong = await session.cell("def f(:")
        assert (wrong.status, wrong.error.line if wrong.error else 0) == ("invalid_code", 1)
        assert await session.shown("y") == "1"


async def test_figures_that_are_open_are_sent_as_png(bench: Bench) -> None:
    """Each once; a cell that draws nothing has none."""
    async with opened(bench, preload=["matplotlib"]) as session:
        drawn = await session.cell(
            "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.figure()\nplt.plot([2, 1]);",
            cpu_time_s=5,
        )
        assert drawn.status == "ok", drawn.error
        assert drawn.value is not None
        assert [each.type for each in drawn.value.media] == ["image/png"] * 2
        assert base64.b64decode(drawn.value.media[0].base64).startswith(b"\x89PNG")
        again = await session.cell("1")
        assert again.value is not None
        assert again.value.media == []


# Limits


@pytest.mark.parametrize(
    ("code", "limit"),
    [("while True: x += 1", "cpu_time"), ("import time\ntime.sleep(30)", "wall_time")],
)
async def test_cell_over_its_limit_is_interrupted_and_the_session_lives(
    bench: Bench, code: str, limit: str
) -> None:
    """It says where it was; what it had printed and set is there."""
    async with opened(bench) as session:
        await session.cell("x = 1")
        ended = await session.cell(f"print('begun')\ny = 2\n{code}", **SHORT)
        assert (ended.status, ended.limit, ended.session_lost) == ("timeout", limit, False)
        assert ended.stdout == "begun\n"
        assert ended.error is not None
        assert (ended.error.type, ended.error.line) in (
            ("KeyboardInterrupt", 3),
            ("KeyboardInterrupt", 4),
        )
        assert await session.shown("x > 0, y") == "(True, 2)"


@pytest.mark.parametrize(
    ("code", "status", "why"),
    [
        ("import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: x = 1",
         "timeout", "did not react"),
        (("def f():\n    while True: x = 1\nwhile True:\n    try: f()\n"
          "    except BaseException: pass"),
         "timeout", "did not react"),
        ("x = bytearray(10**9)\nx[::4096] = x[::4096]", "memory_exceeded", "memory_mb"),
        ("import os\nos._exit(0)", "no_result", "ended the session's process"),
        ("import os\nos.kill(os.getpid(), 9)", "no_result", "ended the session's process"),
        ("import os\nwhile True: os.write(3, b'x' * 65536)", "no_result", "its end is reported"),
        ("import os\nos.write(3, b'hello')", "no_result", "its end is reported"),
    ],
)  # fmt: skip
async def test_cell_that_ends_its_session_says_why(
    bench: Bench, code: str, status: str, why: str
) -> None:
    """The answer says that the session is lost, and the next request that it is gone, and why."""
    async with opened(bench, limits={"memory_mb": 128}) as session:
        ended = await session.cell(code, **SHORT)
        assert (ended.status, ended.session_lost) == (status, True)
        assert why in (ended.lost_reason or "")
        with pytest.raises(CallerMistake, match=why) as caught:
            await session.cell("1")
        assert (caught.value.code, caught.value.http_status) == ("session_gone", 410)


async def test_memory_is_of_the_whole_session(bench: Bench) -> None:
    """What cells keep adds up."""
    async with opened(bench, limits={"memory_mb": 128}) as session:
        await session.cell("kept = []")
        for _ in range(20):
            ended = await session.cell(
                "b = bytearray(20_000_000)\nb[::4096] = b[::4096]\nkept += [b]"
            )
            if ended.session_lost:
                break
        assert (ended.status, ended.session_lost) == ("memory_exceeded", True)
        assert ended.cell > 3


async def test_output_of_a_cell_is_cut_and_the_next_begins_anew(bench: Bench) -> None:
    """At just ``stdout_bytes`` nothing is cut."""
    async with opened(bench, limits={"stdout_bytes": 1000}) as session:
        whole = await session.cell("import sys\nsys.stdout.write('x' * 1000);")
        assert (len(whole.stdout), whole.truncated.stdout) == (1000, False)
        cut = await session.cell("sys.stdout.write('x' * 500_000);")
        assert (len(cut.stdout), cut.truncated.stdout) == (1000, True)
        assert (await session.cell("print('y')")).stdout == "y\n"


async def test_cells_limits_are_at_most_the_sessions(bench: Bench) -> None:
    """Just as much is permitted, more is refused with the numbers."""
    async with opened(bench, limits={"cpu_time_s": 2}) as session:
        assert (await session.cell("1", cpu_time_s=2)).status == "ok"
        with pytest.raises(CallerMistake, match=r"cpu_time_s: 2\.1 is above the session's own 2"):
            await session.cell("1", cpu_time_s=2.1)


@pytest.mark.parametrize("profile", ["default", "processes"])
async def test_nothing_of_a_session_runs_between_its_cells(bench: Bench, profile: str) -> None:
    """A thread that counts stands still, and so does a process, where there can be one."""
    async with opened(bench, profile=profile) as session:
        begin = (
            "import threading\nn = 0\ndef count():\n    global n\n    while True: n += 1\n"
            "threading.Thread(target=count, daemon=True).start()\n"
        )
        if profile == "processes":
            begin = (
                "import mmap, os\nm = mmap.mmap(-1, 8)\nif os.fork() == 0:\n"
                "    while True: m[0] = (m[0] + 1) % 251\n"
            )
        await session.cell(begin)
        code = "m[0]" if profile == "processes" else "n"
        waits = (
            f"import time\nbefore, ends = {code}, time.monotonic() + 3\n"
            f"while {code} == before and time.monotonic() < ends:\n    time.sleep(0.01)\n"
            f"moved = {code} != before"
        )
        await session.cell(waits)
        assert await session.shown("moved") == "True"
        used = "import time\ntime.process_time()"
        first = float(await session.shown(used) or 0)
        await asyncio.sleep(0.5)
        second = float(await session.shown(used) or 0)
        assert second - first < 0.25


async def test_first_cell_is_charged_for_nothing_but_itself(bench: Bench) -> None:
    """Starting the interpreter takes 30 ms and more of CPU time, and is not its time; the least of
    three, because a busy machine makes any one dearer."""
    used_s = []
    for _ in range(3):
        async with opened(bench) as session:
            used_s.append((await session.cell("1")).usage.cpu_time_s)
    assert min(used_s) < 0.015


# Files


async def test_files_go_in_and_come_out(bench: Bench) -> None:
    """Bytes as they are, in folders that are made, replaced where they are there."""
    async with opened(bench, files={"given/a.txt": "at the start"}) as session:
        assert await session.shown("open('given/a.txt').read()") == "'at the start'"
        data = bytes(range(256)) * 1000
        await session.put("deep/er/b.bin", data)
        assert await session.get("deep/er/b.bin") == data
        await session.put("deep/er/b.bin", b"")
        assert await session.get("deep/er/b.bin") == b""
        await session.cell("open('made [1]*?.txt', 'w').write('x')")
        assert await session.get("made [1]*?.txt") == b"x"


async def test_files_that_are_none_are_refused_with_the_reason(bench: Bench) -> None:
    """Links are neither read nor written through, and what is not there is missing."""
    async with opened(bench, limits={"files_bytes": 1000}) as session:
        await session.cell(
            "import os\nos.symlink('/etc/passwd', 'link')\nos.mkdir('folder')\n"
            "open('large', 'w').write('x' * 1001)\nopen('just', 'w').write('x' * 1000)"
        )
        assert len(await session.get("just")) == 1000
        for path, why in (("link", "symbolic link"), ("large", "1001 bytes")):
            with pytest.raises(CallerMistake, match=why):
                await session.get(path)
        for path in ("nothing", "folder", "folder/x"):
            with pytest.raises(CallerMistake) as caught:
                await session.get(path)
            assert (caught.value.code, caught.value.http_status) == ("session_file_missing", 404)
        for path in ("link", "folder"):
            with pytest.raises(CallerMistake, match="cannot be written"):
                await session.put(path, b"x")
        await session.put("b", b"x" * 1000)
        with pytest.raises(CallerMistake, match="1001 bytes"):
            await session.put("b", b"x" * 1001)
        assert await session.shown("len(open('b').read())") == "1000"


# Whose it is, and how long


async def test_session_belongs_to_its_key(bench: Bench) -> None:
    """To a different one it is as if it had never been, and ids are long."""
    async with opened(bench) as session:
        assert len(session.id) >= 32
        for ask in (
            lambda: bench.runtime.sessions.info(session.id, caller=Caller("other")),
            lambda: bench.runtime.sessions.close(session.id, caller=Caller("other")),
            lambda: bench.runtime.sessions.info("x" * 32, caller=OWN),
        ):
            with pytest.raises(CallerMistake, match="there is none of this id"):
                await ask()
        assert (await bench.runtime.sessions.info(session.id, caller=OWN)).cells == 0


async def test_sessions_end_when_their_time_is_over() -> None:
    """After ``idle_time_s`` without a cell, and after ``lifetime_s`` in any case; no container of
    them is left."""
    async with started_bench() as bench:
        async with opened(bench, idle_time_s=1) as idle, opened(bench, lifetime_s=2) as old:
            began_s = time.monotonic()
            while time.monotonic() - began_s < 1.5:
                await old.cell("1")
                await asyncio.sleep(0.1)
            with pytest.raises(CallerMistake, match="idle_time_s"):
                await idle.cell("1")
            await asyncio.sleep(1.2)
            with pytest.raises(CallerMistake, match="lifetime_s"):
                await old.cell("1")
        assert bench.runtime.sessions.count == 0
        deadline_s = time.monotonic() + 20
        while not bench.is_quiet(2):
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.05)
    assert containers_of(instance_of(bench.settings)) == []


async def test_sessions_are_so_many_of_a_key_and_so_many_in_all() -> None:
    """One more is a 429 that says so, and ending one makes room."""
    async with started_bench(key_session_count_max="1", session_count_max="2") as bench:
        sessions = bench.runtime.sessions
        first = await sessions.open(SessionRequest(), caller=Caller("a"))
        with pytest.raises(Overloaded, match="this key has 1 sessions"):
            await sessions.open(SessionRequest(), caller=Caller("a"))
        await sessions.open(SessionRequest(), caller=Caller("b"))
        with pytest.raises(Overloaded, match="the service has 2 sessions"):
            await sessions.open(SessionRequest(), caller=Caller("c"))
        await sessions.close(first.id, caller=Caller("a"))
        await sessions.open(SessionRequest(), caller=Caller("c"))


async def test_reasons_of_ended_sessions_are_kept_for_the_newest_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sessions can be begun and ended for ever: what is remembered of them does not grow."""
    monkeypatch.setattr("execbox_service.operations.session_table._REMEMBERED_MAX", 2)
    async with started_bench() as bench:
        sessions, caller = bench.runtime.sessions, Caller("a")
        ids = []
        for _ in range(3):
            ids.append((await sessions.open(SessionRequest(), caller=caller)).id)
            await sessions.close(ids[-1], caller=caller)
        told = []
        for session_id in ids:
            with pytest.raises(CallerMistake) as gone:
                await sessions.info(session_id, caller=caller)
            assert gone.value.code == "session_gone"
            told.append("it was ended by its own key" in gone.value.message)
        assert told == [False, True, True]


async def test_idle_sessions_hold_no_slot(bench: Bench) -> None:
    """With more of them than there are slots, functions still run."""
    async with opened(bench), opened(bench), opened(bench):
        ended = await bench.call("def main_solution():\n    return 1", isolation="process")
        assert ended.output == 1


async def test_cells_of_one_session_run_one_after_another(bench: Bench) -> None:
    """In the order in which they were sent, whoever waits for them."""
    async with opened(bench) as session:
        await session.cell("seen = []")
        code = "import time\nseen.append({n})\ntime.sleep(0.05)\nseen[-1]"
        cells = [session.cell(code.format(n=n)) for n in range(5)]
        ended = await asyncio.gather(*cells)
        assert [each.value.repr for each in ended if each.value] == ["0", "1", "2", "3", "4"]


async def test_cell_whose_caller_goes_away_runs_to_its_end(bench: Bench) -> None:
    """And the session can be used after it."""
    async with opened(bench) as session:
        task = asyncio.create_task(session.cell("import time\ntime.sleep(0.3)\nx = 5"))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await session.shown("x") == "5"


# Output as it comes


Lines = list[tuple[float, CellOutput | CellResponse]]


async def looked_at(session: Opened, code: str, *, pause_s: float = 0, **limits: float) -> Lines:
    """The lines of a streamed cell, each with when it came; its reader pauses after each."""
    request = CellRequest.model_validate({"code": code, "limits": limits, "stream": True})
    began_s = time.monotonic()
    lines: Lines = []
    async for line in session.sessions.stream(session.id, request, caller=OWN):
        lines.append((time.monotonic() - began_s, line))
        await asyncio.sleep(pause_s)
    return lines


def whole(lines: Lines) -> CellResponse:
    """The cell at their end, which has what the lines before it have."""
    *pieces, (_, cell) = lines
    assert isinstance(cell, CellResponse)
    outputs = [piece for _, piece in pieces if isinstance(piece, CellOutput)]
    assert len(outputs) == len(pieces)
    assert "".join(piece.stdout or "" for piece in outputs) == cell.stdout
    assert "".join(piece.stderr or "" for piece in outputs) == cell.stderr
    return cell


async def test_output_is_seen_while_its_cell_runs(bench: Bench) -> None:
    """Line by line on stdout, and stderr beside it; the cell at the end is whole."""
    async with opened(bench) as session:
        code = (
            "import sys, time\nprint('one')\ntime.sleep(0.4)\nprint('two', file=sys.stderr)\n"
            "time.sleep(0.4)\nprint('three')\n5"
        )
        lines = await looked_at(session, code)
        cell = whole(lines)
        assert (cell.stdout, cell.stderr) == ("one\nthree\n", "two\n")
        assert cell.value is not None
        assert cell.value.repr == "5"
        assert [line.stdout or line.stderr for _, line in lines[:2]] == ["one\n", "two\n"]
        first_s, second_s = lines[0][0], lines[1][0]
        assert first_s + 0.3 < second_s < lines[-1][0] - 0.3


@pytest.mark.parametrize(
    ("code", "lines_max"),
    [
        ("import os\nfor n in range(20_000): os.write(1, b'x')", 60),
        ("for n in range(20_000): print('€', end='', flush=n % 7 == 0)", 60),
        ("import os\nfor byte in '€ü😀'.encode() * 500: os.write(1, bytes([byte]))", 60),
        ("import os\nos.write(1, b'a' + bytes([0xe2, 0x82]))\nos.write(2, b'\\xff')", 4),
        ("print('x' * 10**6)\nprint('€' * 10**6)", 12),
        ("", 0),
    ],
)
async def test_lines_are_few_and_together_are_the_output(
    bench: Bench, code: str, lines_max: int
) -> None:
    """However it is divided when it is written, also within a character, and beyond its limit."""
    async with opened(bench) as session:
        lines = await looked_at(session, code)
        cell = whole(lines)
        assert cell.status == "ok", cell.error
        assert len(lines) - 1 <= lines_max
        assert len(cell.stdout.encode()) <= 65536
        assert cell.truncated.stdout is ("10**6" in code)


async def test_reader_that_is_slow_holds_up_neither_its_cell_nor_a_slot(bench: Bench) -> None:
    """What it does not take stays in the sandbox, and comes as fewer and larger lines."""
    async with opened(bench) as session:
        code = "import time\nfor n in range(40):\n    print(n)\n    time.sleep(0.01)"
        # A reader that held its cell up would take this pause for each of 40 lines.
        reading = asyncio.create_task(looked_at(session, code, pause_s=0.6))
        await asyncio.sleep(0.2)
        began_s = time.monotonic()
        assert await session.shown("1") == "1"
        assert time.monotonic() - began_s < 5
        lines = await reading
        assert len(lines) <= 4
        assert whole(lines).usage.wall_time_s < 1


@pytest.mark.parametrize(
    ("code", "then"),
    [
        ("n = 0\nwhile True:\n    n += 1\n    if n % 10**5 == 1: print(n)", True),
        ("import time\nprint()\ntime.sleep(60)", True),
        (
            "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint()\nwhile 1: 1",
            False,
        ),
    ],
)
async def test_reader_that_goes_away_interrupts_its_cell(
    bench: Bench, code: str, then: bool
) -> None:
    """Long before its limits; the session lives, unless the cell does not react."""
    async with opened(bench) as session:
        request = CellRequest.model_validate({"code": code, "stream": True})
        lines = session.sessions.stream(session.id, request, caller=OWN)
        await anext(lines)
        began_s = time.monotonic()
        await lines.aclose()
        if then:
            assert await session.shown("21 * 2") == "42"
        else:
            with pytest.raises(CallerMistake, match="its caller had gone"):
                await session.cell("1")
        assert time.monotonic() - began_s < 4


async def test_reader_that_goes_away_before_its_cells_turn_has_it_not_begun(bench: Bench) -> None:
    """Nothing of it is run, and what was sent after it is."""
    async with opened(bench) as session:
        before = asyncio.create_task(session.cell("import time\ntime.sleep(0.4)\nx = 1"))
        await asyncio.sleep(0.1)
        reading = asyncio.create_task(looked_at(session, "x = 2"))
        await asyncio.sleep(0.1)
        reading.cancel()
        await before
        assert await session.shown("x") == "1"
        assert (await session.cell("1")).cell == 3


async def test_cell_that_cannot_be_run_is_refused_in_its_stream_as_well(bench: Bench) -> None:
    """With the same failure, before any line."""
    async with opened(bench) as session:
        await session.sessions.close(session.id, caller=OWN)
        with pytest.raises(CallerMistake, match="its own key"):
            await looked_at(session, "1")


async def test_cell_is_counted_in_the_memory_of_its_key_while_it_runs(bench: Bench) -> None:
    """What it may give back while it runs, and what it gave until its caller has it."""
    memory = Memory(bytes_max=64 * 2**20, several_keys=False)
    async with opened(bench, limits={"output_bytes": 8 * 2**20}) as session:
        with memory.hold("test") as hold:
            request = CellRequest(code="import time\ntime.sleep(0.3)\n'x' * 2**20")
            caller = replace(OWN, hold=hold)
            task = asyncio.create_task(session.sessions.run(session.id, request, caller=caller))
            await asyncio.sleep(0.2)
            assert memory.held_bytes >= 16 * 2**20
            await task
            assert 2 * 2**20 <= memory.held_bytes <= 8 * 2**20
        assert memory.held_bytes == 0


async def test_cell_that_would_not_fit_is_refused_before_it_runs(bench: Bench) -> None:
    """It can then be sent again: nothing of it has been run."""
    memory = Memory(bytes_max=4 * 2**20, several_keys=False)
    async with opened(bench) as session:
        other = memory.hold("test")
        other.grow(3 * 2**20, too_large=ErrorCode.BODY_TOO_LARGE, what="a body")
        with memory.hold("test") as hold:
            caller, request = replace(OWN, hold=hold), CellRequest(code="x = 1")
            with pytest.raises(Overloaded, match="as much memory"):
                await session.sessions.run(session.id, request, caller=caller)
            with pytest.raises(Overloaded, match="as much memory"):
                await anext(session.sessions.stream(session.id, request, caller=caller))
        assert (await session.cell("x")).status == "exception"
        assert memory.held_bytes == 3 * 2**20


# Hostile cells


@pytest.mark.parametrize(
    "code",
    [
        "print = None\nimport builtins\nbuiltins.print = None\nbuiltins.repr = None",
        "import sys\nsys.stdout = sys.stderr = None",
        "import sys\nsys.stdout.close()",
        "import os\nos.close(1)\nos.close(2)",
        "import sys\nsys.modules.clear()",
        "class A:\n    def __repr__(self):\n        raise ValueError\nA()",
        "class A:\n    def __repr__(self):\n        return 5\nA()",
        "import threading\nthreading.Thread(target=lambda: 1 / 0).start()",
        "import gc\ngc.disable()\nimport signal\nsignal.alarm(1)\nsignal.alarm(0)",
        "import linecache\nlinecache.cache = None",
        "globals().clear()",
    ],
)
async def test_cell_that_breaks_its_own_interpreter_breaks_no_other_session(
    bench: Bench, code: str
) -> None:
    """It has an honest status, and a session of the same key is as it was."""
    async with opened(bench) as victim, opened(bench) as session:
        await victim.cell("x = 1")
        ended = await session.cell(code, **SHORT)
        assert ended.status in ("ok", "exception", "no_result", "timeout")
        try:
            await session.cell("1", **SHORT)
        except CallerMistake as gone:
            assert gone.code == "session_gone"  # noqa: PT017 - it may have ended itself
        assert await victim.shown("x") == "1"
