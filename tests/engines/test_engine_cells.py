"""What cells of sessions give and leave, on every engine; how sessions end is elsewhere."""

from __future__ import annotations

import base64

import pytest
from harness.bench import Bench

from execbox.wire import JSON_DEPTH_MAX
from tests.engines.opened import opened

PNG = base64.b64encode(b"png").decode()
PYPLOT = """
import sys, types
class Figure:
    def savefig(self, buffer, **_):
        buffer.write(b"png")
class Undrawable(Exception):
    __bool__ = property(lambda self: 1 / 0)
class Broken:
    def savefig(self, buffer, **_):
        raise Undrawable("no such symbol: \\\\oops")
figures = {}
pyplot = sys.modules["matplotlib.pyplot"] = types.ModuleType("matplotlib.pyplot")
pyplot.get_fignums = lambda: list(figures)
pyplot.figure = figures.__getitem__
pyplot.close = lambda which: figures.clear()
"""
"""What a session calls of matplotlib, which not every machine has."""

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

COUNTS = """
import asyncio
n = 0
async def count():
    global n
    while True:
        await asyncio.sleep(0.02)
        n += 1
"""


async def test_cell_that_awaits_is_over_when_it_was_interrupted(any_bench: Bench) -> None:
    """Nothing of it goes on while a later cell waits, and what it does in its end is done."""
    async with opened(any_bench) as session:
        code = f"{COUNTS}try:\n    await count()\nfinally:\n    at_its_end = n"
        ended = await session.cell(code, wall_time_s=0.3)
        assert (ended.status, ended.limit, ended.session_lost) == ("timeout", "wall_time", False)
        assert ended.error is not None
        assert ended.error.type == "KeyboardInterrupt"
        later = await session.cell("await asyncio.sleep(0.2)\n(n == at_its_end, n > 0)")
        assert later.value is not None
        assert (later.value.repr, later.stderr) == ("(True, True)", "")


async def test_cell_that_stops_its_loop_is_over(any_bench: Bench) -> None:
    """As one that is interrupted: its error is told, and it does not go on later."""
    async with opened(any_bench) as session:
        ended = await session.cell(f"{COUNTS}asyncio.get_running_loop().stop()\nawait count()")
        assert ended.error is not None
        assert ended.error.type == "RuntimeError"
        assert await session.shown("await asyncio.sleep(0.1)\nn") == "0"


async def test_task_that_a_cell_began_goes_on_when_the_cell_is_interrupted(
    any_bench: Bench,
) -> None:
    """As in Jupyter: only the cell's own coroutine ends."""
    async with opened(any_bench) as session:
        code = f"{COUNTS}task = asyncio.create_task(count())\nawait asyncio.sleep(60)"
        assert (await session.cell(code, wall_time_s=0.3)).status == "timeout"
        shown = await session.shown("b = n\nawait asyncio.sleep(0.3)\n(n > b, task.done())")
        assert shown == "(True, False)"


async def test_cell_that_awaits_runs_in_the_loop_from_its_first_line(any_bench: Bench) -> None:
    """A task that it begins in one line can be awaited in its last one; one that awaits nothing
    runs in no loop, so that it may run one of its own."""
    async with opened(any_bench) as session:
        code = "import asyncio\ntask = asyncio.create_task(asyncio.sleep(0, 'slept'))\nawait task"
        assert await session.shown(code) == "'slept'"
        assert await session.shown("asyncio.run(asyncio.sleep(0, 'run'))") == "'run'"


async def test_figure_that_cannot_be_drawn_is_told_once_and_keeps_nothing_from_being_shown(
    any_bench: Bench,
) -> None:
    """Its error is that of the cell it was open in, beside the value and the figures that can."""
    async with opened(any_bench) as session:
        await session.cell(PYPLOT)
        drawn = await session.cell("figures |= {1: Broken(), 2: Figure(), 3: Broken()}\n5")
        assert drawn.status == "exception"
        assert drawn.error is not None
        assert (drawn.error.type, drawn.error.message) == ("Undrawable", "no such symbol: \\oops")
        assert drawn.value is not None
        assert (drawn.value.json_value, [each.base64 for each in drawn.value.media]) == (5, [PNG])
        assert await session.shown("_, figures") == "(5, {})"
        drawn = await session.cell("figures[1] = Broken()")
        assert (drawn.status, drawn.value) == ("exception", None)
        drawn = await session.cell(
            "Broken.savefig = lambda *_, **__: sys.exit(1)\nfigures[1] = Broken()"
        )
        assert drawn.error is not None
        assert drawn.error.type == "SystemExit"
        assert await session.shown("figures") == "{}"


@pytest.mark.parametrize("limit", [90, 5000])
async def test_recursion_limit_that_a_cell_sets_lasts(any_bench: Bench, limit: int) -> None:
    """Over exceptions too, of which the lower one leaves room to tell."""
    async with opened(any_bench) as session:
        await session.cell(f"import sys\nsys.setrecursionlimit({limit})")
        raised = await session.cell("def f():\n    return f()\nf()")
        assert raised.error is not None
        assert (raised.error.type, raised.error.line) == ("RecursionError", 2)
        assert await session.shown("sys.getrecursionlimit()") == str(limit)


async def test_digits_that_a_cell_permits_integers_last(any_bench: Bench) -> None:
    """Also where its value was written as JSON, in which integers have no more than usual."""
    async with opened(any_bench) as session:
        shown = await session.cell("import sys\nsys.set_int_max_str_digits(0)\n10**5000")
        assert shown.value is not None
        assert (len(shown.value.repr or ""), shown.value.json_value) == (5001, None)
        assert await session.shown("len(str(10**5000))") == "5001"


@pytest.mark.parametrize(
    ("child", "exit_code", "stderr"),
    [
        ("pass", 0, None),
        ("sys.exit(7)", 7, None),
        ("sys.exit('no')", 1, "no"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero"),
    ],
)
async def test_process_that_a_cell_forks_ends_with_the_cell(
    any_bench: Bench, child: str, exit_code: int, stderr: str | None
) -> None:
    """It is no second session: what it sets is gone, and later cells run once."""
    async with opened(any_bench, profile="processes") as session:
        await session.cell("import os, sys\nx = 1\nprint('before')")
        forks = f"pid = os.fork()\nif not pid:\n    x = 2\n    print('in it')\n    {child}\n"
        waits = "os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if pid else 'not shown'"
        ended = await session.cell(forks + waits)
        assert ended.value is not None
        assert (ended.value.json_value, ended.stdout) == (exit_code, "in it\n")
        assert (ended.stderr.splitlines()[-1] if ended.stderr else None) == stderr
        await session.cell("open('ran', 'a').write('once')")
        assert await session.shown("(x, open('ran').read())") == "(1, 'once')"


@pytest.mark.parametrize(
    "code",
    [
        "os.system('sleep 60')",
        "subprocess.run(['sleep', '60'])",
        "os.system('sleep 60')\nos.system('sleep 60')",
        "os.system('sleep 60')\nwhile True: pass",
    ],
)
async def test_cell_that_waits_for_a_process_is_interrupted_and_its_session_lives(
    any_bench: Bench, code: str
) -> None:
    """What it waits for is interrupted, too, as Ctrl-C does it."""
    async with opened(any_bench, profile="processes") as session:
        await session.cell("import os, subprocess\nx = 1")
        ended = await session.cell(code, wall_time_s=0.3)
        assert (ended.status, ended.session_lost) == ("timeout", False)
        assert await session.shown("x") == "1"


async def test_value_nested_as_deep_as_json_may_be_is_shown(any_bench: Bench) -> None:
    """And one level more has no JSON, but its repr."""
    async with opened(any_bench) as session:
        for levels, is_shown in ((JSON_DEPTH_MAX, True), (JSON_DEPTH_MAX + 1, False)):
            code = f"x = []\nfor _ in range({levels} - 1): x = [x]\nx"
            ended = await session.cell(code)
            assert (ended.status, ended.error) == ("ok", None)
            assert ended.value is not None
            assert ended.value.repr == "[" * levels + "]" * levels
            assert (ended.value.json_value is not None) is is_shown


async def test_future_that_a_cell_imports_holds_from_its_own_last_expression_on(
    any_bench: Bench,
) -> None:
    """As at Python's prompt; a cell that cannot be compiled changes nothing."""
    async with opened(any_bench) as session:
        define = "exec('def f(a: Undefined): pass')"
        assert (await session.cell(define)).status == "exception"
        future = "from __future__ import annotations\n"
        assert (await session.cell(f"{future}def f(:")).status == "invalid_code"
        assert (await session.cell(define)).status == "exception"
        assert (await session.cell(future + define)).status == "ok"
        assert await session.shown("def g(a: Undefined): pass\ng.__annotations__") == (
            "{'a': 'Undefined'}"
        )
