"""Public functions made into programs, and the reasons for what differs."""

from __future__ import annotations

import pytest
from acceptance.programs import (
    ADDRESSES,
    ITSELF,
    LIMIT,
    NOT_FOUND,
    REFUSED,
    SAME,
    Compared,
    ended_of,
    program_of,
    report_of,
    why,
)
from harness.corpus_files import CodeioFunction
from harness.reference_python import Ended

from execbox.wire import ProgramRun, ProgramStatus

FUNCTION = CodeioFunction(7, "def f(a):\n    return a", "f", (({"a": "it's\n"}, 1),) * 5)


def compared(ours: Ended | None, right: Ended, *, status: str = "ok") -> Compared:
    return Compared(FUNCTION, program_of(FUNCTION), ours, status, right)


def test_program_of_a_function_prints_its_first_calls() -> None:
    """In a main block; the arguments are read from JSON, as the corpus has them."""
    lines = program_of(FUNCTION).code.splitlines()
    assert lines[:4] == [
        *("def f(a):", "    return a", ""),
        'if __name__ == "__main__":',
    ]
    assert lines[5:] == ["""    print(f(**json_of_calls.loads('{"a": "it\\'s\\\\n"}')))"""] * 3


@pytest.mark.parametrize(
    ("run", "ended"),
    [
        (ProgramRun(status=ProgramStatus.OK, exit_code=0, stdout="é"), Ended("é".encode(), b"", 0)),
        (
            ProgramRun(status=ProgramStatus.EXIT_NONZERO, exit_code=3, stdout_base64="/w=="),
            Ended(b"\xff", b"", 3),
        ),
        (ProgramRun(status=ProgramStatus.NO_RESULT, signal="SIGSEGV"), Ended(b"", b"", -11)),
    ],
)
def test_run_is_told_as_a_process_is(run: ProgramRun, ended: Ended) -> None:
    """Bytes, and minus the signal."""
    assert ended_of(run) == ended


ONE, OTHER = Ended(b"1\n", b"", 0), Ended(b"2\n", b"", 0)
FORKLESS = Ended(b"", b"PermissionError: [Errno 1] Operation not permitted\n", 1)
HERE, THERE = Ended(b"<A at 0x7f0011>\n", b"", 0), Ended(b"<A at 0x7f0022>\n", b"", 0)


@pytest.mark.parametrize(
    ("of", "probes", "reason"),
    [
        (compared(ONE, ONE), (), SAME),
        (compared(ONE, OTHER), (OTHER, ONE), ITSELF),
        (compared(ONE, OTHER), (OTHER, OTHER), NOT_FOUND),
        (compared(FORKLESS, OTHER), (OTHER, OTHER), REFUSED),
        (compared(HERE, THERE), (THERE, THERE), ADDRESSES),
        (compared(ONE, OTHER, status="timeout"), (OTHER, OTHER), LIMIT),
        (compared(None, OTHER, status="the service is gone"), (OTHER, OTHER), NOT_FOUND),
    ],
)
def test_why_programs_differ(of: Compared, probes: tuple[Ended, ...], reason: str) -> None:
    """What python3 itself does twice in two ways is no fault of ours; an answer that never came
    is never explained away."""
    assert why(of, probes) == reason


def test_report_has_a_row_for_each_program_that_differs() -> None:
    """And counts of all."""
    text = report_of(
        [(compared(ONE, ONE), SAME), (compared(ONE, OTHER), NOT_FOUND)], "on two cores"
    )
    assert "| stdout | 1 of 2 |" in text
    assert "| 7 | stdout | ok | not found | b'1' / b'2' |" in text
