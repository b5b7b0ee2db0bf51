"""From what a compiler's sandbox gave to a program, or to why there is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from execbox_service.judge import compile_outcome
from execbox_service.judge.compile_outcome import Compiled, CompileLimits
from execbox_service.runner_frames import Measured, Result
from tests.fake_engine import measured

LIMITS = CompileLimits(
    cpu_time_s=1.0, wall_time_s=2.0, memory_mb=512, stderr_bytes=100_000, program_bytes=9
)
NAME = ".execbox-compiled"


def fetched(sizes: dict[str, int], left_out: list[list[str]], data: bytes) -> bytes:
    """What a sandbox sends of files."""
    header = json.dumps({"sizes": sizes, "left_out": left_out}).encode()
    return len(header).to_bytes(4) + header + data


def judged(stderr: str = "", *, files: bytes = b"", **fields: Any) -> Compiled:
    """What compiling ``program.cpp`` under ``LIMITS`` gave."""
    header = {"sizes": (0, 0, len(stderr.encode()))} | measured(0, **fields)
    result = Result(Measured.model_validate(header), b"", b"", stderr.encode(), files)
    return compile_outcome.judge(result, limits=LIMITS, source_name="program.cpp")


def test_program_is_the_file_that_the_compiler_left() -> None:
    """With what the compiler said and used, and no failure."""
    gave = judged("warned", files=fetched({NAME: 3}, [], b"ELF"))
    assert (gave.executable, gave.failure) == (b"ELF", None)
    assert (gave.compilation.stderr, gave.compilation.truncated) == ("warned", False)
    assert gave.compilation.usage is not None
    assert gave.compilation.usage.cpu_time_s == 0.002


@pytest.mark.parametrize(
    ("fields", "kind", "says"),
    [
        ({"oom_kill_count": 1, "exit_code": 1}, "CompileMemoryExceeded", "512 MiB"),
        ({"killed": "cpu_time", "exit_code": None}, "CompileTimeout", "1 s of CPU time"),
        ({"cpu_time_ns": 1_000_000_001}, "CompileTimeout", "1 s of CPU time"),
        ({"killed": "wall_time", "exit_code": None}, "CompileTimeout", "after 2 s"),
        ({"killed": "hard_stop", "exit_code": None}, "CompileTimeout", "after 2 s"),
        ({"exit_code": None, "signal": 11}, "CompileError", "ended by SIGSEGV"),
        ({"exit_code": 1}, "CompileError", "said nothing"),
        ({"files": fetched({}, [[NAME, "too large"]], b"")}, "CompiledTooLarge", "9 bytes"),
        ({"files": fetched({}, [], b"")}, "CompiledTooLarge", "9 bytes"),
        ({"files": b"garbage"}, "CompiledTooLarge", "9 bytes"),
        ({"files": b""}, "CompiledTooLarge", "9 bytes"),
    ],
)
def test_source_without_a_program_is_a_compile_error_that_says_why(
    fields: dict[str, Any], kind: str, says: str
) -> None:
    """Whatever it was: the compiler is as much the caller's as the source is."""
    gave = judged(**fields)
    assert gave.executable is None
    assert gave.failure is not None
    assert gave.failure.status == "compile_error"
    assert gave.failure.error is not None
    assert gave.failure.error.type == kind
    assert says in gave.failure.error.message
    assert gave.failure.usage == gave.compilation.usage


PLACE = "program.cpp:3:5: error: expected"


@pytest.mark.parametrize(
    ("stderr", "line", "message"),
    [
        (f"{PLACE}\n   3 | x", 3, f"{PLACE}\n   3 | x"),
        (f"program.cpp: In function f:\n{PLACE}", 3, PLACE),
        (
            f"program.cpp:1:1: warning: w\n{PLACE}\nlib.h:9:1: error: e",
            3,
            f"{PLACE}\nlib.h:9:1: error: e",
        ),
        ("program.cpp:7:10: fatal error: no.h: No such file", 7, None),
        ("lib.h:8:1: error: e\nprogram.cpp:4:2: error: e", 4, None),
        ("lib.h:8:1: error: e", None, None),
        ("my program.cpp:8:1: error: e", None, None),
        ("program.cpp:99999999999:1: error: e", None, None),
        ("ld: undefined reference to `main'\ncollect2: error: ld returned 1", None, None),
        ("x" * 5000, None, "x" * 4000),
    ],
)
def test_error_has_the_compilers_text_from_its_first_error_on_and_the_line(
    stderr: str, line: int | None, message: str | None
) -> None:
    """All of the text is on stderr; the line is of the source's own file."""
    failure = judged(stderr, exit_code=1).failure
    assert failure is not None
    assert failure.stderr == stderr
    assert failure.exit_code == 1
    assert failure.error is not None
    assert failure.error.line == line
    assert failure.error.message == (message or stderr)


def test_container_lost_to_the_compilers_memory_is_a_compile_error() -> None:
    """As where the kernel ended the compiler alone."""
    gave = compile_outcome.memory_exceeded(wall_time_s=1.5, limits=LIMITS)
    assert gave.failure is not None
    assert gave.failure.status == "compile_error"
    assert gave.failure.error is not None
    assert gave.failure.error.type == "CompileMemoryExceeded"
