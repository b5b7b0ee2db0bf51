"""Every attack program as something to send, and an answer to it held against what it may be.

The programs are in ``harness/attacks`` and, where present, ``../shared/attacks``. Sending is done
by ``attacks.py`` and ``soak_work.py``; nothing here runs one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from harness.attacks.as_cell import cell_fault
from harness.attacks.as_program import program_fault
from harness.attacks.attack import LIMITS, Attack, outcome_fault, presentation_fault
from harness.attacks.lists import (
    CLASSES,
    DESCRIBED,
    SIGNALS,
    attack_of,
    limits_of,
    shared_records,
)
from harness.attacks.started import started_attacks

from execbox import wire

FAULT_CHARS = 2000
"""As much is kept of an answer that is wrong."""


Kind = Literal["function", "program", "cell"]


Ended = wire.Execution | wire.ProgramRun | wire.CellResponse


@dataclass(frozen=True)
class Target:
    """An attack, its name in tables, the limits it is written for, and as what it is sent."""

    id: str
    group: str
    title: str
    attack: Attack
    limits: wire.Limits
    kind: Kind = "function"


@dataclass(frozen=True)
class Came:
    """What came of one piece of work; ``fault`` says what was wrong with it, if anything."""

    name: str
    isolation: str
    status: str
    fault: str | None = None
    answer: str = ""


def all_targets() -> list[Target]:
    """Every attack of the shared folder where it is present, and ours."""
    shared = [
        Target(record["id"], record["group"], record["title"], attack_of(record), limits_of(record))
        for record in shared_records()
    ]
    return shared + [
        Target(f"{group}-{number:02}", group, attack.name, attack, LIMITS)
        for group, attacks in CLASSES.items()
        for number, attack in enumerate(attacks, start=1)
    ]


STARTED_LANGUAGES: tuple[wire.Language, ...] = ("bash", "cpp")


def started_targets() -> list[Target]:
    """Those in bash and C++, which are programs and nothing else."""
    return [
        Target(f"{language}-{number:02}", language, attack.name, attack, LIMITS, kind="program")
        for language in STARTED_LANGUAGES
        for number, attack in enumerate(started_attacks(language), start=1)
    ]


def as_programs(targets: list[Target]) -> list[Target]:
    """The same code as whole programs, which call it at their end."""
    return [replace(each, id=f"{each.id}-program", kind="program") for each in targets]


def as_cells(targets: list[Target]) -> list[Target]:
    """The same code as cells of a session each, whose last expression calls it."""
    return [replace(each, id=f"{each.id}-cell", kind="cell") for each in targets]


def judged(target: Target, execution: Ended, *, isolation: str) -> Came:
    """Hold one execution of an attack against what it may have been."""
    if isinstance(execution, wire.CellResponse):
        fault = cell_fault(execution, target.attack, stdout_bytes=target.limits.stdout_bytes)
    elif isinstance(execution, wire.ProgramRun):
        fault = program_fault(execution, target.attack, stdout_bytes=target.limits.stdout_bytes)
    else:
        fault = _function_fault(target, execution)
    return Came(
        f"{target.id} {target.title}",
        isolation,
        execution.status.value,
        fault,
        execution.model_dump_json()[:FAULT_CHARS] if fault else "",
    )


def _function_fault(target: Target, execution: wire.Execution) -> str | None:
    fault = outcome_fault(execution, target.attack) or presentation_fault(
        execution, stdout_bytes=target.limits.stdout_bytes
    )
    if fault is None and target.id in SIGNALS and execution.signal not in SIGNALS[target.id]:
        fault = f"signal {execution.signal}"
    described = DESCRIBED.get(target.id)
    if fault is None and execution.status is wire.Status.OK and described is not None:
        fault = None if described(execution) else "not the output described"
    return fault
