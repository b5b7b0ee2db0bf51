"""Attacks as whole programs: the source, and which ends are fitting."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.attacks import started
from harness.attacks.as_program import program_fault, program_of, program_statuses
from harness.attacks.attack import Attack
from harness.attacks.started import started_attacks

from execbox.wire import ExecutionError, Language, ProgramRun, ProgramStatus


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


@pytest.mark.parametrize(
    ("stdout", "fault"),
    [
        ("refused\n", None),
        ("worked: mount\nrefused\n", "printed 'worked: mount\\nrefused\\n', not 'refused\\n'"),
        ("", "printed '', not 'refused\\n'"),
    ],
)
def test_probe_in_a_language_is_held_to_what_it_prints(stdout: str, fault: str | None) -> None:
    """Whatever worked that must not, and a probe that did not come to its end, are faults."""
    attack = Attack("a", "true", ("ok",), output="refused\n", language="bash")
    run = ProgramRun(status=ProgramStatus.OK, exit_code=0, stdout=stdout)
    assert program_fault(run, attack, stdout_bytes=100) == fault
    assert program_of(attack) == "true"
    assert program_statuses(attack) == {"ok"}


@pytest.mark.parametrize(("language", "count_min"), [("bash", 25), ("cpp", 25)])
def test_started_attacks_are_whole_programs_with_names_of_their_own(
    language: Language, count_min: int
) -> None:
    """What they include is in them, because nothing else is sent."""
    attacks = started_attacks(language)
    assert len({attack.name for attack in attacks}) == len(attacks) >= count_min
    assert not [each.name for each in attacks if "probe.h" in each.code or "probe.sh" in each.code]
    known = {status.value for status in ProgramStatus}
    assert {status for each in attacks for status in each.statuses} <= known


def test_started_attack_whose_first_lines_say_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attack without an end that it must have would hold whatever came."""
    (tmp_path / "a.sh").write_text("true\n", "utf-8")
    monkeypatch.setattr(started, "PROGRAMS", tmp_path)
    with pytest.raises(ValueError, match="do not say how it may end"):
        started_attacks("bash")
