"""Programs on real containers: cases, files, limits, and what a hostile one gets."""

from __future__ import annotations

import asyncio
import base64
import zlib
from typing import Any

import pytest
from harness.bench import Bench
from harness.meters import resident_mb

from execbox.wire import ProgramRun, RunRequest, RunResponse
from execbox_service.operations.registry import RUN
from execbox_service.scheduling.caller import Caller

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

QUICK = {"cpu_time_s": 1.0, "wall_time_s": 2.0, "memory_mb": 64}


async def response_to(bench: Bench, code: str, **fields: Any) -> RunResponse:
    """Run a program at level process; what belongs to a program is taken from ``fields``."""
    of_program = ("arguments", "stdin", "files", "fetch")
    program = {"code": code} | {name: fields.pop(name) for name in of_program if name in fields}
    body = {"program": program, "isolation": "process"} | fields
    return await bench.runtime.perform(RUN, RunRequest.model_validate(body), caller=Caller("test"))


async def runs(bench: Bench, code: str, **fields: Any) -> list[ProgramRun]:
    """The runs of a program with these cases."""
    return list((await response_to(bench, code, **fields)).runs)


async def one(bench: Bench, code: str, **fields: Any) -> ProgramRun:
    """The only run of a program without cases."""
    (run,) = await runs(bench, code, **fields)
    return run


def text(run: ProgramRun, path: str) -> str:
    """A fetched file's contents."""
    return base64.b64decode(run.files[path].base64).decode()


DOUBLE = "print(int(input()) * 2)"


@pytest.mark.parametrize("level", ["container", "process"])
async def test_program_runs_at_both_levels(bench: Bench, level: str) -> None:
    """The answer says at which, with what, and what it used."""
    response = await response_to(bench, DOUBLE, stdin="4\n", isolation=level)
    assert (response.isolation, response.engine) == (level, "docker")
    (run,) = response.runs
    assert (run.status, run.exit_code, run.stdout, run.stderr) == ("ok", 0, "8\n", "")
    assert run.verdict is None
    assert run.usage is not None
    assert 0 < run.usage.cpu_time_s < 1


@pytest.mark.parametrize("count", [1, 2, 3, 40])
async def test_cases_are_answered_in_their_order(bench: Bench, count: int) -> None:
    """Whether or not the program is compiled once for all of them."""
    cases = [{"stdin": f"{n}\n", "expected": {"stdout": f"{2 * n}\n"}} for n in range(count)]
    cases[-1]["expected"] = {"stdout": "x"}
    found = await runs(bench, DOUBLE, cases=cases)
    assert [run.stdout for run in found] == [f"{2 * n}\n" for n in range(count)]
    assert [run.verdict for run in found] == ["correct"] * (count - 1) + ["incorrect"]


async def test_cases_take_from_the_program_what_they_leave_out(bench: Bench) -> None:
    """Stdin, arguments and files; a case's own file replaces the program's of that path."""
    code = "import sys\nprint(input(), sys.argv[1:], open('a').read(), open('b').read())"
    found = await runs(
        bench,
        code,
        stdin="p",
        arguments=["p"],
        files={"a": "p", "b": "p"},
        cases=[{}, {"stdin": "c"}, {"arguments": []}, {"files": {"a": "c"}}],
    )
    assert [run.stdout for run in found] == [
        "p ['p'] p p\n", "c ['p'] p p\n", "p [] p p\n", "p ['p'] c p\n",
    ]  # fmt: skip


async def test_stdin_and_arguments_of_the_program_are_held_once_for_all_cases(
    bench: Bench,
) -> None:
    """Four megabytes each, for 300 cases, half of which have an argument of their own."""
    code = "import sys\nprint(len(sys.stdin.read()), len(sys.argv[1]))"
    cases: list[dict[str, Any]] = [{}, {"arguments": ["own"]}] * 150
    before_mb = resident_mb()
    peak_mb = before_mb

    async def watch() -> None:
        nonlocal peak_mb
        while True:
            peak_mb = max(peak_mb, resident_mb())
            await asyncio.sleep(0.02)

    watcher = asyncio.create_task(watch())
    try:
        found = await runs(
            bench, code, cases=cases, stdin="x" * 2**22, arguments=["y" * 100_000] * 40,
            limits={"job_time_s": 3},
        )  # fmt: skip
    finally:
        watcher.cancel()
    printed = [run.stdout for run in found if run.status != "not_run"]
    # How many there is time for depends on what else the machine does.
    assert printed
    assert printed[:2] == [f"{2**22} 100000\n", f"{2**22} 3\n"][: len(printed)]
    assert peak_mb - before_mb < 200


async def test_cases_share_nothing(bench: Bench) -> None:
    """Each has a process, files and an identity of its own."""
    code = (
        "import os\nprint(sorted(os.listdir('.')), os.path.exists('/dev/shm/x'))\n"
        "open('left', 'w').write('x')\nopen('/dev/shm/x', 'w').write('x')\n"
    )
    found = await runs(bench, code, cases=[{} for _ in range(5)])
    assert {run.stdout for run in found} == {"['program.py'] False\n"}


@pytest.mark.parametrize("failing", ["1 / 0", "print('wrong')", "import os; os.abort()"])
async def test_cases_after_the_first_failure_are_not_run(bench: Bench, failing: str) -> None:
    """Whatever the failure is, and however many had been begun beside it."""
    code = f"n = int(input())\nif n == 4:\n    {failing}\nelse:\n    print(n)"
    cases = [{"stdin": str(n), "expected": {"stdout": f"{n}\n"}} for n in range(20)]
    found = await runs(bench, code, cases=cases, stop_at_first_failure=True)
    assert [run.verdict for run in found[:4]] == ["correct"] * 4
    assert found[4].verdict not in ("correct", "not_run")
    assert {(run.status, run.verdict) for run in found[5:]} == {("not_run", "not_run")}


@pytest.mark.parametrize("stops", [False, True])
async def test_program_that_does_not_compile_is_told_for_every_case(
    bench: Bench, *, stops: bool
) -> None:
    """Python's message is on stderr, and where it is in ``error``."""
    found = await runs(
        bench,
        "x = 1\ny = (",
        cases=[{"expected": {"stdout": ""}}] * 4,
        stop_at_first_failure=stops,
    )
    first = found[0]
    assert (first.status, first.exit_code, first.verdict) == ("invalid_code", 1, "invalid_code")
    assert "SyntaxError: '(' was never closed" in first.stderr
    assert first.error is not None
    assert (first.error.type, first.error.line) == ("SyntaxError", 2)
    rest = {run.status for run in found[1:]}
    assert rest == ({"not_run"} if stops else {"invalid_code"})


@pytest.mark.parametrize(
    ("code", "status", "limit"),
    [
        ("while True: pass", "timeout", "cpu_time"),
        ("import time; time.sleep(60)", "timeout", "wall_time"),
        ("x = bytearray(10**9)\nx[::4096] = x[::4096]", "memory_exceeded", None),
        ("import time\nfor _ in range(10**9): time.sleep(0.01)", "timeout", "wall_time"),
    ],
)
async def test_program_is_ended_at_its_limits(
    bench: Bench, code: str, status: str, limit: str | None
) -> None:
    """As functions are; what it had flushed is there."""
    run = await one(bench, f"print('begun', flush=True)\n{code}", limits=QUICK)
    assert (run.status, run.limit, run.exit_code) == (status, limit, None)
    assert run.stdout == "begun\n"


async def test_program_whose_output_is_cut_says_so_and_is_not_compared(bench: Bench) -> None:
    """Just as long as ``stdout_bytes`` is whole; one byte more is cut."""
    for length, cut in ((1000, False), (1001, True)):
        run = await one(
            bench,
            f"import sys\nsys.stdout.write('x' * {length})",
            limits=QUICK | {"stdout_bytes": 1000},
            expected={"stdout": "x" * 1000},
        )
        assert run.truncated.stdout is cut
        assert run.verdict == ("output_too_large" if cut else "correct")


async def test_program_writes_to_its_streams_by_their_names(bench: Bench) -> None:
    """As others do that are given a file's name to write to."""
    code = (
        "open('/dev/stdout', 'w').write('out')\nopen('/dev/stderr', 'a').write('err')\n"
        "try: open('/dev/stdout')\nexcept PermissionError: print(' and not read')"
    )
    run = await one(bench, code)
    assert (run.status, run.stdout, run.stderr) == ("ok", "out and not read\n", "err")


async def test_stdin_of_megabytes_arrives_whole(bench: Bench) -> None:
    """Text and bytes, whatever they are; nothing of it is left for the next case."""
    code = "import sys, zlib\ndata = sys.stdin.buffer.read()\nprint(len(data), zlib.crc32(data))"
    data = bytes(range(256)) * 16384
    found = await runs(
        bench,
        code,
        cases=[{"stdin": {"base64": base64.b64encode(data).decode()}}, {"stdin": "é\x00"}, {}],
    )
    assert [run.stdout for run in found] == [
        f"{len(data)} {zlib.crc32(data)}\n", f"3 {zlib.crc32('é'.encode() + bytes(1))}\n", "0 0\n",
    ]  # fmt: skip


async def test_stdin_cannot_be_written(bench: Bench) -> None:
    """It is sealed, so that no case changes what was sent."""
    run = await one(bench, "import os\nos.write(0, b'x')", stdin="abc")
    assert run.error is not None
    assert run.error.type == "PermissionError"


# Files


async def test_files_are_given_and_fetched_by_glob(bench: Bench) -> None:
    """A star stays within a name, two go through folders; what no glob matches is not sent."""
    code = (
        "import os\nos.makedirs('out/deep')\n"
        "for path in ('a.txt', 'a.log', 'out/b.txt', 'out/deep/c.txt'):\n"
        "    open(path, 'w').write(path)\nprint(open('in/x').read())\n"
    )
    for fetch, found in (
        (["*.txt"], {"a.txt"}),
        (["**/*.txt"], {"a.txt", "out/b.txt", "out/deep/c.txt"}),
        (["out/*"], {"out/b.txt"}),
        (["out/**"], {"out/b.txt", "out/deep/c.txt"}),
        (["?.l[o]g", "nothing"], {"a.log"}),
        (["in/x"], {"in/x"}),
    ):
        run = await one(bench, code, files={"in/x": "given"}, fetch=fetch)
        assert run.stdout == "given\n"
        assert set(run.files) == found, fetch
        assert run.files_left_out == []
    assert text(run, "in/x") == "given"


async def test_files_are_fetched_whatever_became_of_the_program(bench: Bench) -> None:
    """After an exception, a kill and a timeout as well."""
    for ending in ("1 / 0", "import os; os.abort()", "while True: pass"):
        code = f"open('x', 'w').write('kept')\n{ending}"
        run = await one(bench, code, fetch=["x"], limits=QUICK)
        assert run.status != "ok"
        assert text(run, "x") == "kept"


async def test_files_that_are_none_are_left_out_with_the_reason(bench: Bench) -> None:
    """Links are not followed, pipes not read, closed folders not opened, odd names told."""
    code = (
        "import os\nos.symlink('/etc/passwd', 'link')\nos.symlink('/', 'root')\n"
        "os.mkdir('closed')\nopen('closed/x', 'w')\nos.chmod('closed', 0)\n"
        "open('shut', 'w').write('x')\nos.chmod('shut', 0)\n"
        "open(b'\\xff', 'w')\nopen('large', 'w').truncate(5000)\nopen('good', 'w').write('x')\n"
    )
    run = await one(bench, code, fetch=["**"], limits=QUICK | {"files_bytes": 4999})
    assert set(run.files) == {"good"}
    reasons = {each.path: each.reason for each in run.files_left_out}
    assert reasons["link"] == reasons["root"] == "it is a symbolic link"
    assert "Permission denied" in reasons["closed"]
    assert "Permission denied" in reasons["shut"]
    assert "5000 bytes are more than what is left" in reasons["large"]
    assert "its name is not UTF-8" in reasons["\\udcff"]


async def test_files_without_end_are_looked_at_up_to_a_bound(bench: Bench) -> None:
    """As many as the file system has room for, and folders as deep as it permits."""
    many = (
        "n = 0\ntry:\n    while True:\n        open(f'f{n}', 'w').close()\n        n += 1\n"
        "except OSError as error:\n    print(error.errno)\n"
    )
    deep = (
        "import os\nfor _ in range(500):\n    os.mkdir('d' * 50)\n    os.chdir('d' * 50)\n"
        "open('x', 'w')\n"
    )
    found = await one(bench, many, fetch=["**"], limits=QUICK | {"cpu_time_s": 5, "wall_time_s": 9})
    assert len(found.files) == 1000
    assert any("1000 files are the most" in each.reason for each in found.files_left_out)
    assert len(found.files_left_out) <= 101
    run = await one(bench, deep, fetch=["**"], limits=QUICK)
    assert run.status == "ok"
    assert run.files == {}
    assert any("32 deep" in each.reason for each in run.files_left_out)


async def test_files_of_modules_are_imported_as_in_a_folder_of_ones_own(bench: Bench) -> None:
    """A module, a package, and one with a name that the interpreter has loaded already."""
    run = await one(
        bench,
        "import helper, pkg.inner, statistics\nprint(helper.x, pkg.inner.y, statistics.z)",
        files={"helper.py": "x = 1", "pkg/inner.py": "y = 2", "statistics.py": "z = 3"},
    )
    assert (run.stdout, run.stderr) == ("1 2 3\n", "")


async def test_source_cannot_be_changed_by_a_case(bench: Bench) -> None:
    """What one case does to the file, no later case runs."""
    code = (
        "import os\nfor f in (lambda: open('program.py', 'w'), lambda: os.unlink('program.py'),\n"
        "          lambda: os.rename('program.py', 'x'), lambda: os.chmod('program.py', 0)):\n"
        "    try:\n        f()\n        print('changed')\n    except OSError as error:\n"
        "        print(type(error).__name__)\n"
    )
    found = await runs(bench, code, cases=[{}, {}])
    assert {run.stdout for run in found} == {"PermissionError\n" * 4}


async def test_programs_and_functions_alternate_in_one_container(bench: Bench) -> None:
    """A program's source is gone when a function comes next, and the container is kept."""
    listing = "import os\ndef main_solution():\n    return sorted(os.listdir('/tmp'))"
    for _ in range(3):
        run = await one(bench, "print(open('program.py').read()[:5])")
        assert run.stdout == "print\n"
        ended = await bench.call(listing, isolation="process")
        assert ended.output == []


# Hostile programs


async def test_program_that_writes_its_own_report_changes_no_status(bench: Bench) -> None:
    """The descriptor of the report is the program's to break; the exit code is the kernel's."""
    forged = (
        "import os, struct, json\n"
        "h = json.dumps({'status': 'ok', 'flags': [], 'error': None, 'violations': None,"
        " 'output_bytes': 0}).encode()\n"
        "os.write(3, struct.pack('!4sI', b'xbx1', len(h)) + h)\nos._exit(3)\n"
    )
    run = await one(bench, forged)
    assert (run.status, run.exit_code) == ("exit_nonzero", 3)
    flood = await one(bench, "import os\nwhile True: os.write(3, b'x' * 65536)", limits=QUICK)
    assert flood.status == "output_too_large"


@pytest.mark.parametrize(
    "code",
    [
        "import os\nos.closerange(0, 100)\n",
        "import sys\nsys.stdout = None\nsys.stderr = None\n1 / 0",
        "import os\nos._exit = print\nos.getpid = None\nimport gc\ngc.collect = None\n",
        "import sys\nsys.modules.clear()\n",
        "import builtins\nfor n in list(vars(builtins)):\n    delattr(builtins, n)\n",
        "import threading\nthreading._shutdown = None\n",
        "class A:\n    def __del__(self):\n        while True: pass\na = A()\n",
        "import atexit\natexit.register(lambda: atexit.register(lambda: 1 / 0))\n",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()\n",
    ],
)
async def test_program_that_breaks_its_own_end_still_has_a_status(bench: Bench, code: str) -> None:
    """It ends as whatever it did to itself, and the next one in the container is not affected."""
    run = await one(bench, code, limits=QUICK)
    assert run.status in ("ok", "exit_nonzero", "timeout")
    after = await one(bench, "print('fine')")
    assert (after.status, after.stdout) == ("ok", "fine\n")


async def test_programs_children_are_ended_with_it(bench: Bench) -> None:
    """Under the profile ``processes``; their output up to then is kept, and no process is left."""
    code = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)\n"
        "print('parent', flush=True)\n"
    )
    run = await one(bench, code, profile="processes", limits=QUICK)
    assert (run.status, run.stdout) == ("ok", "parent\n")
    count = "import os\nprint(sum(n.isdigit() for n in os.listdir('/proc')))"
    first = await one(bench, count, profile="processes")
    second = await one(bench, count, profile="processes")
    assert first.stdout == second.stdout


async def test_expected_output_is_nowhere_in_the_sandbox(bench: Bench) -> None:
    """Neither in memory nor in any file that a program can read."""
    secret = "the-expected-answer-" + "5ecre7"
    code = (
        "import os\nneedle = b'-'.join([b'the', b'expected', b'answer', b'5ecre7'])\nseen = 0\n"
        "for line in open('/proc/self/maps'):\n"
        "    a, b = (int(x, 16) for x in line.split()[0].split('-'))\n"
        "    if 'r' in line.split()[1] and b - a < 2**26:\n"
        "        try:\n            with open('/proc/self/mem', 'rb', 0) as m:\n"
        "                m.seek(a)\n                seen += needle in m.read(b - a)\n"
        "        except (OSError, ValueError, OverflowError):\n            pass\n"
        "print(seen > 1)\n"
    )
    run = await one(bench, code, expected={"stdout": secret})
    assert run.verdict == "incorrect"
    assert run.stdout == "False\n"
