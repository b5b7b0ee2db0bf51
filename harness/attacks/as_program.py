"""An attack as a whole program: the same code, called at the end of the file; its fitting ends.

Attacks are in the modules beside this one, those that are programs already in ``started``; running
one as a function is in ``attack.py``.
"""

from __future__ import annotations

import asyncio
from typing import Final

from execbox.wire import (
    Isolation,
    Limits,
    Profile,
    ProgramLimits,
    ProgramRun,
    RunRequest,
    Status,
)
from execbox_service.operations.registry import RUN
from execbox_service.scheduling.caller import Caller
from harness.attacks.attack import CANARY, LIMITS, SHOWN_CHARS, Attack, answer_fault
from harness.bench import Bench

_ENDS: Final = {
    "ok": ("ok", "exit_nonzero"),
    "exception": ("exit_nonzero",),
    # What a function returns is no value that anybody has to write down.
    "unserializable": ("ok", "exit_nonzero"),
    # A flood of the descriptor on which its end is reported is that status for programs, too.
    "output_too_large": ("ok", "exit_nonzero", "output_too_large"),
    "no_result": ("no_result", "exit_nonzero", "ok"),
}
"""A function's status, and how a program may end that does the same. What is printed at the end
may itself raise; ``os._exit(0)`` is a good end of a program and no result of a function."""


def program_of(attack: Attack) -> str:
    """Its source, and in Python a call that prints what it returns."""
    if attack.language != "python":
        return attack.code
    arguments = ", ".join(map(repr, attack.arguments))
    return f"{attack.code}\n\nprint(main_solution({arguments}))\n"


def program_statuses(attack: Attack) -> frozenset[str]:
    """How it may end as a program."""
    if attack.language != "python":
        return frozenset(attack.statuses)
    ends = {end for status in attack.statuses for end in _ENDS.get(status, (status,))}
    if "atexit" in attack.code:
        # A program's exit handlers are run, within its limits; a function's are not.
        ends.add("timeout")
    return frozenset(ends)


def program_fault(run: ProgramRun, attack: Attack, *, stdout_bytes: int) -> str | None:
    """What is wrong with one run of an attack; None where nothing is."""
    allowed = program_statuses(attack)
    if run.status.value not in allowed:
        return f"status {run.status.value}, not one of {', '.join(sorted(allowed))}"
    if attack.language != "python" and not attack.any_output and run.stdout != attack.output:
        return f"printed {run.stdout[:SHOWN_CHARS]!r}, not {attack.output!r}"
    return answer_fault(run, stdout_bytes=stdout_bytes)


def profile_of(attack: Attack) -> Profile:
    """The profile that its language needs."""
    return "default" if attack.language == "python" else "processes"


def program_limits(limits: Limits) -> ProgramLimits:
    """The same limits, for a program."""
    return ProgramLimits(**limits.model_dump())


async def run_attack_program(
    bench: Bench, attack: Attack, *, isolation: Isolation, limits: Limits = LIMITS
) -> None:
    """Run an attack as a program beside a canary and before one; both must be right."""
    key = f"attacker-{isolation}"
    request = RunRequest.model_validate(
        {
            "program": {"code": program_of(attack), "language": attack.language},
            "profile": profile_of(attack),
            "limits": program_limits(limits).model_dump(),
            "isolation": isolation,
        }
    )
    for _ in range(attack.repeat):
        answer, beside = await asyncio.gather(
            bench.runtime.perform(RUN, request, caller=Caller(key)),
            bench.call(CANARY, 4, isolation="process", principal="bystander"),
        )
        assert (beside.status, beside.output) == (Status.OK, 8)
        (run,) = answer.runs
        fault = program_fault(run, attack, stdout_bytes=limits.stdout_bytes)
        assert fault is None, f"{fault}: {run}"
    after = await bench.call(
        CANARY, 21, limits=limits.model_dump(), isolation=isolation, principal=key
    )
    assert (after.status, after.output) == (Status.OK, 42)
