"""From what came out of a container to how a program's run ended, and its verdict."""

from __future__ import annotations

import json
from typing import Any

import pytest

from execbox.wire import ExpectedStdout, Language, Limits, ProgramRun
from execbox_service.judge import program_outcome
from execbox_service.runner_frames import Measured, Result
from tests.fake_engine import measured, report_frame

LIMITS = Limits(cpu_time_s=1.0, stdout_bytes=10)
ERROR = {"type": "ValueError", "message": "m", "traceback": None, "line": 3}
RAISED = report_frame(b"", status="exception", error=ERROR)
NOT_COMPILED = report_frame(b"", status="invalid_code", error=ERROR)
OK = report_frame(b"")


def judged(
    frame: bytes = OK,
    *,
    stdout: bytes = b"",
    files: bytes | None = None,
    language: Language = "python",
    **fields: Any,
) -> ProgramRun:
    """The run of such a result under ``LIMITS``; ``files`` as a sandbox sends what was fetched."""
    header = {"sizes": (len(frame), len(stdout), 0)} | measured(0, **fields)
    result = Result(Measured.model_validate(header), frame, stdout, b"", files or b"")
    return program_outcome.judge(
        result, limits=LIMITS, language=language, fetched=files is not None
    )


@pytest.mark.parametrize(
    ("fields", "frame", "status"),
    [
        ({}, OK, "ok"),
        ({}, b"", "ok"),
        ({}, b"garbage", "ok"),
        ({}, NOT_COMPILED, "ok"),
        ({"exit_code": 1}, RAISED, "exit_nonzero"),
        ({"exit_code": 1}, b"", "exit_nonzero"),
        ({"exit_code": 255}, OK, "exit_nonzero"),
        ({"exit_code": 1}, NOT_COMPILED, "invalid_code"),
        ({"exit_code": None, "signal": 11}, b"", "no_result"),
        ({"exit_code": None, "signal": 9}, OK, "no_result"),
        ({"killed": "cpu_time", "exit_code": None, "signal": 9}, b"", "timeout"),
        ({"cpu_time_ns": 1_000_000_001}, OK, "timeout"),
        ({"killed": "wall_time", "exit_code": None, "signal": 9}, b"", "timeout"),
        ({"killed": "result_bytes", "exit_code": None, "signal": 9}, b"", "output_too_large"),
        ({"oom_kill_count": 1, "exit_code": 0}, OK, "memory_exceeded"),
        ({"oom_kill_count": 1, "killed": "cpu_time"}, b"", "memory_exceeded"),
    ],
)
def test_run_has_the_first_status_that_applies(
    fields: dict[str, Any], frame: bytes, status: str
) -> None:
    """Kernel evidence first, then how the process ended; a program's word only tells why."""
    assert judged(frame, **fields).status == status


@pytest.mark.parametrize(
    ("language", "exit_code", "signal"),
    [
        ("bash", 139, "SIGSEGV"),
        ("bash", 137, "SIGKILL"),
        ("bash", 128, None),
        ("bash", 255, None),
        ("bash", 3, None),
        ("cpp", 139, None),
        ("python", 139, None),
    ],
)
def test_exit_code_of_a_shell_names_the_signal_that_it_stands_for(
    language: Language, exit_code: int, signal: str | None
) -> None:
    """A shell has no other way to say which signal ended what it started."""
    run = judged(b"", exit_code=exit_code, language=language)
    assert (run.status, run.exit_code, run.signal) == ("exit_nonzero", exit_code, signal)


def test_run_that_raised_says_what() -> None:
    """Type, message and line come from the job's report, and only where it did not end ok."""
    error = judged(RAISED, exit_code=1).error
    assert error is not None
    assert (error.type, error.message, error.line) == ("ValueError", "m", 3)
    assert judged(RAISED, exit_code=0).error is None


@pytest.mark.parametrize(
    ("fields", "stdout", "verdict"),
    [
        ({}, b"8\n", "correct"),
        ({}, b"9\n", "incorrect"),
        ({}, b"\xff", "incorrect"),
        ({}, "\ufffd".encode(), "incorrect"),
        ({"stdout_truncated": True}, b"8\n", "output_too_large"),
        ({}, b"8\n" * 9, "output_too_large"),
        ({"exit_code": 1}, b"8\n", "exit_nonzero"),
        ({"killed": "wall_time"}, b"8\n", "timeout"),
    ],
)
def test_run_is_worth_its_status_or_whether_it_printed_what_was_expected(
    fields: dict[str, Any], stdout: bytes, verdict: str
) -> None:
    """What was cut off is not compared, and what did not end ok is not correct."""
    run = judged(stdout=stdout, **fields)
    assert run.verdict is None
    assert program_outcome.with_verdict(run, None).verdict is None
    assert program_outcome.with_verdict(run, ExpectedStdout(stdout="8\n")).verdict == verdict


def test_run_whose_stdout_is_no_text_carries_its_bytes() -> None:
    """U+FFFD stands for what is no UTF-8, so the bytes are there as well."""
    run = judged(stdout=b"a\xff")
    assert (run.stdout, run.stdout_base64) == ("a\ufffd", "Yf8=")
    assert judged(stdout=b"a").stdout_base64 is None
    # Cut off within a character; where nothing was cut off, the program printed a part of one.
    part = "aé".encode()[:-1]
    assert judged(stdout=part, stdout_truncated=True).stdout_base64 is None
    assert judged(stdout=b"\xff" + part, stdout_truncated=True).stdout_base64 is not None
    run = judged(stdout=part)
    assert (run.stdout, run.stdout_base64) == ("a\ufffd", "YcM=")
    as_shown = ExpectedStdout(stdout=run.stdout)
    assert program_outcome.with_verdict(run, as_shown).verdict == "incorrect"


def blob(sizes: object, left_out: object = (), *, data: bytes = b"") -> bytes:
    """What a sandbox sends of files."""
    header = json.dumps({"sizes": sizes, "left_out": left_out}).encode()
    return len(header).to_bytes(4) + header + data


def test_run_carries_the_files_that_were_fetched() -> None:
    """With their sizes, and the reason for each that is left out."""
    run = judged(files=blob({"a": 2, "b/c": 0}, [["l", "it is a symbolic link"]], data=b"xy"))
    assert {path: (each.base64, each.size_bytes) for path, each in run.files.items()} == {
        "a": ("eHk=", 2),
        "b/c": ("", 0),
    }
    assert [(each.path, each.reason) for each in run.files_left_out] == [
        ("l", "it is a symbolic link")
    ]


@pytest.mark.parametrize(
    "files",
    [
        b"",
        b"\x00\x00",
        b"\xff\xff\xff\xff{}",
        blob({"a": 2}, data=b"x"),
        blob({"a": 2}, data=b"xyz"),
        blob({"a": -1}, data=b""),
        blob({"a": -1, "b": 1}, data=b""),
        blob({"a": "x"}),
        blob([]),
        blob({}, [["a"]]),
        blob({}, 5),
        b"\x00\x00\x00\x02[]",
        (10_000).to_bytes(4) + b"[" * 10_000,
    ],
)
def test_run_whose_files_do_not_add_up_has_none(files: bytes) -> None:
    """A broken answer, and one that was cut short, say so and carry no bytes."""
    run = judged(files=files)
    assert run.files == {}
    assert [each.path for each in run.files_left_out] == [""]
