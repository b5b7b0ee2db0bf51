"""A call's stdin on real containers: how a function reads it, and that it is that call's alone."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from harness.bench import Bench

from execbox.wire import Execution, Status

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

TEXT = "3 4\r\nä\n\nlast"
READ_ALL = "import sys\ndef main_solution(): return sys.stdin.read()\n"


async def read(bench: Bench, code: str, stdin: object, **fields: Any) -> Execution:
    """One call without arguments at the level that is quickest."""
    call = {"args": [], "stdin": stdin}
    response = await bench.request(code, [call], **({"isolation": "process"} | fields))
    return response.executions[0]


@pytest.mark.parametrize(
    ("body", "output"),
    [
        ("return sys.stdin.read()", TEXT),
        ("return [input(), input(), input(), input()]", ["3 4\r", "ä", "", "last"]),
        ("return [input(), sys.stdin.readline(), sys.stdin.read()]", ["3 4\r", "ä\n", "\nlast"]),
        ("return list(sys.stdin)", ["3 4\r\n", "ä\n", "\n", "last"]),
        ("return sys.stdin.buffer.read().decode()", TEXT),
        ("return open(0, newline='').read()", TEXT),
        ("return open(0).read()", TEXT.replace("\r", "")),
        ("return open('/dev/stdin', 'rb').read().decode()", TEXT),
        ("return os.read(0, 100).decode()", TEXT),
        ("return list(fileinput.input())", ["3 4\r\n", "ä\n", "\n", "last"]),
        ("return [sys.stdin.isatty(), sys.stdin.encoding]", [False, "utf-8"]),
        ("return [*map(int, input('how many? ').split())]", [3, 4]),
        ("sys.stdin.read(); return sys.stdin.read()", ""),
    ],
)
async def test_stdin_is_read_in_every_way_that_python_has(
    bench: Bench, body: str, output: object
) -> None:
    """Text, bytes, lines and the descriptor itself; nothing is added and nothing changed."""
    code = f"import fileinput, os, sys\nsys.argv = ['x']\ndef main_solution():\n    {body}\n"
    ended = await read(bench, code, TEXT)
    assert (ended.status, ended.output) == (Status.OK, output), ended.error


async def test_stdin_at_its_end_is_an_eof_error_of_the_function(bench: Bench) -> None:
    """As where there is none: reading on is the function's own mistake."""
    code = "def main_solution():\n    return [input(), input()]\n"
    for stdin, line in (("one line\n", 2), ("", 2), (None, 2)):
        ended = await read(bench, code, stdin)
        assert ended.error is not None
        assert (ended.status, ended.error.type, ended.error.line) == (
            *(Status.EXCEPTION, "EOFError"),
            line,
        )


@pytest.mark.parametrize("isolation", ["process", "container"])
async def test_stdin_is_each_calls_own(bench: Bench, isolation: str) -> None:
    """What one call has left unread is not the next one's, and one without has an empty one."""
    stdins: list[object] = ["first\n" * 1000, None, "third\n", "", {"base64": "Zm91cnRoCg=="}]
    calls = [{"args": [], "stdin": stdin} for stdin in stdins] + [{"args": []}]
    code = "import sys\ndef main_solution(): return sys.stdin.readline()\n"
    response = await bench.request(code, calls, isolation=isolation)
    outputs = [ended.output for ended in response.executions]
    assert outputs == ["first\n", "", "third\n", "", "fourth\n", ""]


async def test_stdin_may_be_any_bytes(bench: Bench) -> None:
    """All 256 of them, and read as text as an interpreter reads its stdin."""
    data = bytes(range(256))
    stdin = {"base64": b64encode(data).decode()}
    code = "import sys\ndef main_solution(): return list(sys.stdin.buffer.read())\n"
    assert (await read(bench, code, stdin)).output == list(data)
    code = READ_ALL.replace(".read()", ".read().encode(errors='surrogateescape').hex()")
    assert (await read(bench, code, stdin)).output == data.hex()


async def test_stdin_of_megabytes_comes_whole(bench: Bench) -> None:
    """As much as a request can hold."""
    code = "import sys\ndef main_solution(): return sum(map(int, sys.stdin))\n"
    ended = await read(bench, code, "7\n" * 4_000_000, limits={"cpu_time_s": 30})
    assert ended.output == 28_000_000


async def test_stdin_is_the_same_in_every_run_of_the_determinism_check(bench: Bench) -> None:
    """Variations change what is around a call, and not what it is given."""
    checks = {"determinism": {"runs": 4}, "complexity": "codeio"}
    ended = await read(bench, READ_ALL, "some words\n", checks=checks)
    assert ended.output == "some words\n"
    assert ended.determinism is not None
    assert (ended.determinism.deterministic, ended.determinism.runs) == (True, 4)
    random = "import random, sys\ndef main_solution(): return input() + str(random.random())\n"
    ended = await read(bench, random, "x", checks=checks)
    assert ended.determinism is not None
    assert (ended.determinism.deterministic, ended.determinism.cause) == (False, "entropy")


async def test_stdin_cannot_be_written_or_changed(bench: Bench) -> None:
    """It is sealed: what a function does to it reaches nobody."""
    code = (
        "import os\n"
        "def main_solution():\n"
        "    refused = []\n"
        "    for change in (lambda: os.write(0, b'x'), lambda: os.ftruncate(0, 0)):\n"
        "        try:\n"
        "            change()\n"
        "        except OSError as error:\n"
        "            refused.append(error.errno)\n"
        "    return [len(refused), input()]\n"
    )
    assert (await read(bench, code, "kept\n")).output == [2, "kept"]


async def test_stdin_is_no_argument(bench: Bench) -> None:
    """It is not measured as input, and the flag about changed arguments is about arguments."""
    code = "import sys\ndef main_solution(x):\n    return len(sys.stdin.read()) + len(x)\n"
    calls: list[dict[str, Any]] = [
        {"args": [[1]], "stdin": "a" * 5000},
        {"expression": "input()", "stdin": "said\n"},
    ]
    response = await bench.request(
        code, calls, isolation="process", checks={"complexity": "codeio"}
    )
    first, second = response.executions
    assert (first.output, first.output_flags) == (5001, [])
    assert first.complexity is not None
    assert first.complexity.ok
    assert second.output == "said"
