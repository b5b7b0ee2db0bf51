"""Every status, from every cause, on real containers."""

from __future__ import annotations

import pytest
from harness.bench import Bench

from execbox.wire import Status

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

QUICK = {"cpu_time_s": 0.5, "wall_time_s": 1.0, "memory_mb": 64}


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ("return 1 / 0", "ZeroDivisionError", "division by zero"),
        ("raise SystemExit(3)", "SystemExit", "3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", ""),
        ("raise MemoryError", "MemoryError", ""),
        ("import sys; sys.exit('bye')", "SystemExit", "bye"),
        ("return main_solution()", "RecursionError", "maximum recursion depth exceeded"),
        ("import nowhere_at_all", "ModuleNotFoundError", "No module named 'nowhere_at_all'"),
        ("class Odd(BaseException): pass\n    raise Odd('x')", "Odd", "x"),
        ("open('/etc/passwd', 'w')", "OSError", "[Errno 30] Read-only file system"),
    ],
)
async def test_status_of_raise_is_exception(
    bench: Bench, body: str, kind: str, message: str
) -> None:
    """Whatever is raised is an exception with its real type and text."""
    ended = await bench.call(f"def main_solution():\n    {body}\n", isolation="process")
    assert ended.status is Status.EXCEPTION
    assert ended.error is not None
    assert ended.error.type == kind
    assert ended.error.message.startswith(message)
    assert (ended.output, ended.exit_code, ended.signal, ended.limit) == (None, 0, None, None)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("def main_solution(:\n", "SyntaxError"),
        ("def main_solution():\nreturn 1\n", "IndentationError"),
        ("def other():\n    return 1\n", "NameError"),
        ("main_solution = 3\n", "TypeError"),
        ("x = " + "(" * 2000 + ")" * 2000 + "\ndef main_solution(): pass\n", "MemoryError|SyntaxE"),
        ("def main_solution():\n    return " + "-" * 100_000 + "1\n", "MemoryError|RecursionE"),
        ("def main_solution():\n    x = 1; nonlocal x\n", "SyntaxError"),
        ("# -*- coding: no-such-codec -*-\ndef main_solution(): pass\n1 +", "SyntaxError"),
    ],
)
async def test_status_of_unusable_source_is_invalid_code(
    bench: Bench, code: str, kind: str
) -> None:
    """Source that does not compile, or has no callable entry point, is a status of its own."""
    ended = await bench.call(code, isolation="process")
    assert ended.status is Status.INVALID_CODE
    assert ended.error is not None
    assert ended.error.type.startswith(tuple(kind.split("|")))
    assert ended.output is None


async def test_status_of_bad_expression_is_invalid_code(bench: Bench) -> None:
    """An expression that does not compile is the code's fault as well, and names itself."""
    response = await bench.request(
        "def main_solution(x): return x", [{"expression": "main_solution(("}], isolation="process"
    )
    (ended,) = response.executions
    assert ended.status is Status.INVALID_CODE
    assert ended.error is not None
    assert "<expression>" in str(ended.error.traceback)


@pytest.mark.parametrize(
    ("body", "exit_code", "signal"),
    [
        ("import os; os._exit(0)", 0, None),
        ("import os; os._exit(7)", 7, None),
        ("import os; os._exit(70)", 70, None),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", None, "SIGKILL"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", None, "SIGTERM"),
        ("import ctypes; ctypes.string_at(0)", None, "SIGSEGV"),
        ("import os; os.abort()", None, "SIGABRT"),
        ("import os; os.write(3, b'xbx1'); os._exit(0)", 0, None),
        ("import os; os.close(3); return 1", None, None),
    ],
)
async def test_status_of_death_without_frame_is_no_result(
    bench: Bench, body: str, exit_code: int | None, signal: str | None
) -> None:
    """A process that ends without one whole frame has no result, whatever its exit code."""
    ended = await bench.call(f"def main_solution():\n    {body}\n", isolation="process")
    assert ended.status is Status.NO_RESULT
    if "os.close" not in body:
        assert (ended.exit_code, ended.signal) == (exit_code, signal)
    assert (ended.output, ended.error) == (None, None)


async def test_status_of_exit_after_frame_is_no_result(bench: Bench) -> None:
    """A whole frame does not count when the process then ends with an exit code that is not 0."""
    code = """
import json, os, struct
def main_solution():
    header = json.dumps({"status": "ok", "flags": [], "error": None, "violations": None,
                         "output_bytes": 1}).encode()
    os.write(3, struct.pack("!4sI", b"xbx1", len(header)) + header + b"1")
    os._exit(EXIT)
"""
    bad = await bench.call(code.replace("EXIT", "1"), isolation="process")
    good = await bench.call(code.replace("EXIT", "0"), isolation="process")
    assert (bad.status, bad.exit_code) == (Status.NO_RESULT, 1)
    assert (good.status, good.output) == (Status.OK, 1)


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        ("while True: pass", "cpu_time"),
        ("return sum(range(10**14))", "cpu_time"),
        ("return len(str(pow(7, 10**9)))", "cpu_time"),
        ("import re; return re.match('(a+)+$', 'a' * 40 + 'b')", "cpu_time"),
        ("import time; time.sleep(60)", "wall_time"),
        ("import threading; threading.Event().wait(60)", "wall_time"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", "wall_time"),
    ],
)
async def test_status_of_using_up_time_is_timeout(bench: Bench, body: str, limit: str) -> None:
    """Both time limits end an execution and say which of them it was."""
    ended = await bench.call(f"def main_solution():\n    {body}\n", limits=QUICK)
    assert (ended.status, ended.limit) == (Status.TIMEOUT, limit)
    assert ended.signal is None
    assert ended.usage is not None
    if limit == "cpu_time":
        assert 0.5 <= ended.usage.cpu_time_s < 0.8
    else:
        assert 1.0 <= ended.usage.wall_time_s < 2.5


async def test_status_of_module_level_loop_is_timeout(bench: Bench) -> None:
    """Limits hold while the module is being run, before anything is called."""
    ended = await bench.call("while True: pass\ndef main_solution(): pass\n", limits=QUICK)
    assert (ended.status, ended.limit) == (Status.TIMEOUT, "cpu_time")


@pytest.mark.parametrize(
    "body",
    [
        "x = bytearray(300 * 2**20); return len(x)",
        "kept = []\n    while True: kept.append(bytearray(2**20))",
        (
            "kept = []\n    while True:\n        try: kept.append(bytearray(2**20))\n"
            "        except MemoryError: pass"
        ),
        "import mmap; m = mmap.mmap(-1, 300 * 2**20); m.write(b'x' * (300 * 2**20)); return 1",
        "import os\n    for _ in range(300): os.write(os.memfd_create('x'), b'x' * 2**20)",
    ],
)
async def test_status_of_too_much_memory_is_memory_exceeded(bench: Bench, body: str) -> None:
    """However memory is taken, the kernel's OOM killer is the evidence, also for memfd and mmap."""
    ended = await bench.call(
        f"def main_solution():\n    {body}\n", limits=QUICK | {"cpu_time_s": 5}
    )
    assert ended.status is Status.MEMORY_EXCEEDED
    assert ended.signal == "SIGKILL"
    assert ended.output is None


async def test_status_of_long_output_is_output_too_large(bench: Bench) -> None:
    """An output over its limit says how long it was and what the limit is."""
    ended = await bench.call(
        "def main_solution(): return 'é' * 50", limits={"output_bytes": 101}, isolation="process"
    )
    assert ended.status is Status.OUTPUT_TOO_LARGE
    assert ended.error is not None
    assert "102 bytes" in ended.error.message
    assert "101" in ended.error.message


async def test_status_of_exponential_output_is_bounded(bench: Bench) -> None:
    """A small object with an endless JSON text is refused in time, without building the text."""
    code = (
        "def main_solution():\n    a = ['lol']\n    for _ in range(40): a = [a] * 10\n    return a"
    )
    ended = await bench.call(code, limits={"cpu_time_s": 5, "memory_mb": 64})
    assert ended.status is Status.OUTPUT_TOO_LARGE


@pytest.mark.parametrize(
    "result",
    ["{1}", "b'x'", "object()", "lambda: 1", "1j", "(i for i in [1])", "[..., 1]", "{(1,): 1}"],
)
async def test_status_of_value_without_json_form_is_unserializable(
    bench: Bench, result: str
) -> None:
    """What JSON cannot say is refused by name, not turned into something else."""
    ended = await bench.call(f"def main_solution(): return {result}", isolation="process")
    assert ended.status is Status.UNSERIALIZABLE
    assert ended.error is not None
    assert ended.error.message
    assert ended.output is None


async def test_status_after_job_time_is_not_run(bench: Bench) -> None:
    """Calls whose turn comes after the job's time are not run and get no verdict."""
    code = "import time\ndef main_solution(x):\n    time.sleep(0.45)\n    return x\n"
    executions = await bench.calls(code, *([n] for n in range(8)), limits={"job_time_s": 1.0})
    statuses = [execution.status for execution in executions]
    ran = statuses.count(Status.OK)
    assert 2 <= ran <= 5
    assert statuses == [Status.OK] * ran + [Status.NOT_RUN] * (8 - ran)
    assert executions[-1].usage is None


async def test_executions_keep_the_order_of_calls_whatever_they_do(bench: Bench) -> None:
    """One job may end in every way there is, call by call, and each call keeps its place."""
    code = """
import os, time
def main_solution(how):
    if how == "raise": raise ValueError(how)
    if how == "exit": os._exit(1)
    if how == "spin":
        while True: pass
    if how == "sleep": time.sleep(60)
    if how == "eat": return len(bytearray(400 * 2**20))
    if how == "set": return {1}
    if how == "long": return "x" * 2000
    return how
"""
    hows = ["ok", "eat", "raise", "ok", "exit", "eat", "spin", "sleep", "set", "long", "ok"]
    executions = await bench.calls(
        code, *([how] for how in hows), limits=QUICK | {"output_bytes": 1000}
    )
    expected = {
        "ok": "ok",
        "raise": "exception",
        "exit": "no_result",
        "spin": "timeout",
        "sleep": "timeout",
        "eat": "memory_exceeded",
        "set": "unserializable",
        "long": "output_too_large",
    }
    assert [execution.status for execution in executions] == [expected[how] for how in hows]


async def test_usage_comes_from_the_kernel(bench: Bench) -> None:
    """Times and memory are what the process used, whatever it does to its own clocks."""
    code = """
import resource, time
def main_solution():
    time.process_time = time.time = time.perf_counter = lambda: 0.0
    resource.getrusage = None
    block = bytearray(60 * 2**20)
    total = 0
    while total < 3_000_000: total += 1
    return len(block)
"""
    ended = await bench.call(code)
    assert ended.usage is not None
    assert 0.02 < ended.usage.cpu_time_s < 5
    assert ended.usage.wall_time_s >= ended.usage.cpu_time_s * 0.9
    assert 60 * 2**20 < ended.usage.peak_memory_bytes < 200 * 2**20
