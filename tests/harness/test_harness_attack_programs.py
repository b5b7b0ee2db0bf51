"""Attacks as whole programs: the source, and which ends are fitting."""

from __future__ import annotations

import pytest
from harness.attacks.as_program import program_fault, program_of, program_statuses
from harness.attacks.attack import Attack

from execbox.wire import ExecutionError, ProgramRun, ProgramStatus


def test_program_of_an_attack_calls_it_at_the_end() -> None:
    """With its arguments."""
    attack = Attack("a", "def main_solution(a, b): pass\n", ("ok",), arguments=([1], "x'"))
    assert program_of(attack).endswith('\n\nprint(main_solution([1], "x\'"))\n')


@pytest.mark.parametrize(
    ("statuses", "ends"),
    [
        (("ok",), {"ok", "exit_nonzero"}),
        (("exception",), {"exit_nonzero"}),
        (("timeout", "memory_exceeded"), {"timeout", "memory_exceeded"}),
        (("invalid_code",), {"invalid_code"}),
        (("output_too_large",), {"ok", "exit_nonzero", "output_too_large"}),
        (("no_result",), {"no_result", "exit_nonzero", "ok"}),
    ],
)
def test_ends_that_fit_as_a_program(statuses: tuple[str, ...], ends: set[str]) -> None:
    """A status of functions that programs do not have becomes what does the same."""
    assert program_statuses(Attack("a", "", statuses)) == ends


@pytest.mark.parametrize(
    ("run", "fault"),
    [
        (ProgramRun(status=ProgramStatus.TIMEOUT), None),
        (ProgramRun(status=ProgramStatus.OK), "status ok, not one of timeout"),
        (ProgramRun(status=ProgramStatus.TIMEOUT, stderr="12345"), "stderr is longer than 4 bytes"),
        (
            ProgramRun(
                status=ProgramStatus.TIMEOUT,
                error=ExecutionError(type="E", message="/usr/lib/execbox/x.py"),
            ),
            "the error mentions /usr/lib/execbox",
        ),
    ],
)
def test_fault_of_an_attack_run_as_a_program(run: ProgramRun, fault: str | None) -> None:
    """Its status, its size, and what it tells."""
    assert program_fault(run, Attack("a", "", ("timeout",)), stdout_bytes=4) == fault
