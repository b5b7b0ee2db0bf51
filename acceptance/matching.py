"""Holding what executions gave against what was published; pure, and nothing is run here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from execbox.wire import Execution, Status


@dataclass(frozen=True)
class Outcome:
    """One published pair, executed."""

    published: Any
    execution: Execution

    @property
    def matches(self) -> bool:
        """Whether it ended ok and gave the published output."""
        execution = self.execution
        finite = execution.output_text is None
        ok = execution.status is Status.OK
        return ok and finite and same_value(execution.output, self.published)


def same_value(given: Any, published: Any) -> bool:
    """Whether two JSON values are equal: 1 and 1.0 are, true and 1 are not."""
    if isinstance(given, dict) and isinstance(published, dict):
        same_keys = given.keys() == published.keys()
        return same_keys and all(same_value(given[key], published[key]) for key in given)
    if isinstance(given, list) and isinstance(published, list):
        same_length = len(given) == len(published)
        return same_length and all(map(same_value, given, published))
    if isinstance(given, bool) or isinstance(published, bool):
        return given is published
    return bool(given == published)


@dataclass(frozen=True)
class Probe:
    """What was tried with a function whose outputs do not match, to find out why."""

    causes: tuple[str, ...] = ()
    """Causes of non-determinism, as the service names them, over all calls."""
    holds_in_one_process: bool = False
    """Whether the published outputs appear when all calls are made in one process, in order."""


def reason(outcomes: Sequence[Outcome], probe: Probe) -> str:
    """Why a function's outputs differ from the published ones, by the strongest evidence."""
    differing = [outcome for outcome in outcomes if not outcome.matches]
    first = next((o for o in differing if o.execution.status is not Status.OK), differing[0])
    if first.execution.status is not Status.OK:
        error = first.execution.error
        what = f": {error.type}: {error.message}" if error is not None else ""
        return f"{first.execution.status.value}{what}"
    if first.execution.output_text is not None:
        return "non-finite: NaN or an infinity is no value of strict JSON"
    if probe.causes:
        return f"not deterministic: {', '.join(probe.causes)}"
    if probe.holds_in_one_process:
        return "state kept between calls: outputs hold only if all calls share one process"
    if any("mutates_input" in outcome.execution.output_flags for outcome in differing):
        return "changes its arguments: the published input is not what it was called with"
    return "not found by the probes: read the code"
