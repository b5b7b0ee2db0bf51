"""What is reported of an exception: type, message, line, and frames of the user's sources only."""

from __future__ import annotations

import pytest
from harness.bench import Bench

from execbox.wire import Execution, ExecutionError, Status

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]


def error_of(execution: Execution) -> ExecutionError:
    """The report of an execution that raised."""
    assert execution.status is Status.EXCEPTION
    assert execution.error is not None
    return execution.error


async def test_error_traceback_shows_the_users_frames_with_their_lines(bench: Bench) -> None:
    """Frames, source lines and the line number are those of the code that was sent."""
    code = "def inner(x):\n    return 1 / x\n\ndef main_solution(x):\n    return inner(x)\n"
    error = error_of(await bench.call(code, 0, isolation="process"))
    assert error.line == 2
    assert error.traceback == (
        "Traceback (most recent call last):\n"
        '  File "solution.py", line 5, in main_solution\n'
        "    return inner(x)\n"
        '  File "solution.py", line 2, in inner\n'
        "    return 1 / x\n"
        "ZeroDivisionError: division by zero"
    )


@pytest.mark.parametrize(
    "body",
    [
        "import json; json.loads('{')",
        "import statistics; statistics.mean([])",
        "sorted([1, 'a'])",
        "import numpy; numpy.zeros(3).reshape(2)",
        "import dataclasses; dataclasses.fields(3)",
        "raise ValueError('x') from KeyError('y')",
        "import numpy; numpy.random.default_rng(1).choice(0, size=1)",
    ],
)
async def test_error_traceback_has_no_frame_or_path_of_ours(bench: Bench, body: str) -> None:
    """Neither our frames nor those of libraries, nor any path, reach the report."""
    error = error_of(await bench.call(f"def main_solution():\n    {body}\n", isolation="process"))
    assert error.traceback is not None
    assert error.line == 2
    files = [line for line in error.traceback.splitlines() if line.lstrip().startswith("File ")]
    assert files
    assert all('File "solution.py"' in line for line in files)
    assert "/usr" not in error.traceback
    assert "execbox" not in error.traceback


@pytest.mark.parametrize(
    "mark",
    ["\x0c", "\x0b", "\x85", "\u2028", "\u2029", "\x1c", "\x1d", "\x1e", "\r", "\r\n", "\ufeff"],
)
async def test_error_quotes_the_line_that_python_numbers(bench: Bench, mark: str) -> None:
    """Wherever ``str.splitlines`` would also end a line; and a mark at the start is no text."""
    start = mark if mark in "\x0c\r\n\ufeff" else ""
    code = f"{start}SEP = '''a{mark}b'''  # {'' if mark.isspace() and start else mark}\n"
    code += "def main_solution(x):\n    return 1 / x\n"
    error = error_of(await bench.call(code, 0, isolation="process"))
    number = code.replace("\r\n", "\n").replace("\r", "\n").count("\n")
    assert error.line == number
    assert error.traceback is not None
    assert f"line {number}, in main_solution\n    return 1 / x\n" in error.traceback


async def test_error_traceback_shows_code_that_exec_runs(bench: Bench) -> None:
    """As Python does: with the name it was compiled under, and the source where it can be had."""
    code = (
        "def main_solution():\n"
        "    inner = compile('def f(x):\\n    return 1 / x\\n', 'made.py', 'exec')\n"
        "    names = {}\n"
        "    exec(inner, names)\n"
        "    exec('f(0)', names)\n"
    )
    error = error_of(await bench.call(code, isolation="process"))
    assert error.line == 5
    assert error.traceback == (
        "Traceback (most recent call last):\n"
        '  File "solution.py", line 5, in main_solution\n'
        "    exec('f(0)', names)\n"
        '  File "<string>", line 1, in <module>\n'
        '  File "made.py", line 2, in f\n'
        "ZeroDivisionError: division by zero"
    )


async def test_error_line_is_the_innermost_of_the_source_however_deep_exec_goes(
    bench: Bench,
) -> None:
    """Frames that are left out for their number do not change which line is named."""
    code = (
        "def down(n):\n"
        "    if n: return down(n - 1)\n"
        "    exec('def g(n): return 1 / n if n < 1 else g(n - 1)\\ng(30)', {})\n"
        "def main_solution(): down(15)\n"
    )
    error = error_of(await bench.call(code, isolation="process"))
    assert error.line == 3


@pytest.mark.parametrize(
    "name", ["'/usr/lib/x.py'", "'a\\nb'", "'x' * 10**6", "'\\ud800'", "''", "'a\\0b'", "'/tmp/x'"]
)
async def test_error_in_code_of_a_hostile_name_is_bounded_and_true(bench: Bench, name: str) -> None:
    """A file name is one line and short, and looking for its source breaks nothing."""
    code = (
        "def main_solution():\n"
        "    inner = compile('1 / 0', 'plain', 'exec')\n"
        f"    exec(inner.replace(co_filename={name}))\n"
    )
    error = error_of(await bench.call(code, isolation="process"))
    assert (error.type, error.line) == ("ZeroDivisionError", 3)
    assert error.traceback is not None
    assert len(error.traceback) < 1000
    lines = error.traceback.split("\n")
    assert all(line.startswith(("  ", "Traceback", "ZeroDivision")) for line in lines)


async def test_error_that_a_later_step_of_the_compiler_finds_quotes_its_line(bench: Bench) -> None:
    """The parser knows the text of a line; what comes after it would look into a file."""
    code = "def main_solution():\n    x = 1; nonlocal x\n"
    ended = await bench.call(code, isolation="process")
    assert ended.error is not None
    assert ended.error.line == 2
    assert "    x = 1; nonlocal x\n" in str(ended.error.traceback)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("```python\ndef main_solution(): return 1\n```\n", "markdown fences"),
        ("Here it is:\n```\ndef main_solution(): return 1\n```\n", "markdown fences"),
        ("def solve(n): return n\ndef more(n): return n\n", "it defines solve, more: name one"),
        ("class Solution:\n    def two(self): return 2\n", "it defines Solution.two: name one"),
        ("", "defines no main_solution"),
    ],
)
async def test_error_of_unusable_source_says_what_to_do(bench: Bench, code: str, says: str) -> None:
    """Fences around it, another name, a class: what was found is named."""
    ended = await bench.call(code, isolation="process")
    assert ended.error is not None
    assert ended.status is Status.INVALID_CODE
    assert says in ended.error.message


async def test_error_of_a_class_with_several_methods_is_bounded_text(bench: Bench) -> None:
    """What a class calls its methods is its own choice, and a message is sent as UTF-8."""
    code = "names = ('a' * 10**6, 'b\\ud800')\n"
    code += "main_solution = type('S', (), {name: lambda self: 0 for name in names})\n"
    ended = await bench.call(code, isolation="process")
    assert ended.error is not None
    assert ended.status is Status.INVALID_CODE
    assert "the entry point main_solution is a class with 2 public methods" in ended.error.message
    assert len(ended.error.message) <= 4000


async def test_error_in_a_constructor_is_an_exception_at_its_line(bench: Bench) -> None:
    """The entry point's instance is made by code of the user's, and blamed as such."""
    code = "class Solution:\n    def __init__(self):\n        self.n = 1 // 0\n"
    code += "    def two(self): return 2\n"
    error = error_of(await bench.call(code, entry_point="Solution.two", isolation="process"))
    assert (error.type, error.line) == ("ZeroDivisionError", 3)
    assert "line 3, in __init__" in str(error.traceback)


async def test_error_in_an_expression_names_it_and_has_no_source_line(bench: Bench) -> None:
    """Frames of the expression are shown as such; ``line`` is of the source or absent."""
    response = await bench.request(
        "def main_solution(x): return x", [{"expression": "main_solution(1) + 'a'"}]
    )
    error = error_of(response.executions[0])
    assert error.line is None
    assert 'File "<expression>", line 1, in <module>\n    main_solution(1)' in str(error.traceback)


async def test_error_of_endless_recursion_is_short(bench: Bench) -> None:
    """A thousand frames are reported as the first and the last of them."""
    error = error_of(await bench.call("def main_solution(): return main_solution()"))
    assert error.type == "RecursionError"
    assert len(str(error.traceback)) < 5000
    assert "frames omitted" in str(error.traceback)


@pytest.mark.parametrize(
    ("definition", "kind", "message"),
    [
        ("class E(Exception):\n    def __str__(self): raise KeyError", "E", "<no message:"),
        ("class E(Exception):\n    def __str__(self): return 5", "E", "<no message:"),
        ("class E(Exception):\n    def __str__(self): return 'x' * 10**7", "E", "xxxx"),
        (
            "class E(BaseException):\n    def __str__(self): return '\\ud800\\x00'",
            "E",
            "\\ud800\x00",
        ),
        ("class E(Exception):\n    __class__ = ValueError", "E", ""),
        ("E = type('Ü' * 1000, (Exception,), {})", "Ü" * 200, ""),
        ("class M(type):\n    __name__ = 'Fake'\nclass E(Exception, metaclass=M): pass", "E", ""),
        ("class E(Exception):\n    __traceback__ = property(lambda s: 1 / 0)", "E", ""),
    ],
)
async def test_error_of_a_hostile_exception_is_bounded_and_true(
    bench: Bench, definition: str, kind: str, message: str
) -> None:
    """Whatever an exception says of itself, type and text are real, short, and valid UTF-8."""
    code = f"{definition}\ndef main_solution(): raise E\n"
    error = error_of(await bench.call(code, isolation="process"))
    assert error.type == kind
    assert error.message.startswith(message)
    assert len(error.message) <= 4000
    error.model_dump_json().encode("utf-8")


async def test_error_with_endless_str_is_a_timeout(bench: Bench) -> None:
    """Rendering an exception runs under the limits, too."""
    code = (
        "class E(Exception):\n    def __str__(self):\n        while True: pass\n"
        "def main_solution(): raise E\n"
    )
    ended = await bench.call(code, limits={"cpu_time_s": 0.3})
    assert ended.status is Status.TIMEOUT


async def test_error_with_a_long_chain_of_causes_is_short(bench: Bench) -> None:
    """Of a chain of a hundred thousand causes only the last exception is reported."""
    code = (
        "def main_solution():\n    e = None\n    for i in range(10**5):\n"
        "        n = ValueError('x' * 1000)\n        n.__cause__ = e\n        e = n\n    raise e\n"
    )
    error = error_of(await bench.call(code))
    assert len(error.message) == 1000
    assert len(str(error.traceback)) < 2000
