"""``RunOptions``: the limits, checks and settings a function is run with, and where. No records.

``generate`` and ``certify`` take them. What a record says for itself is in ``record_function``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from execbox import wire
from execbox.dataset.files.json_lines import DatasetError
from execbox.errors import InvalidRequest

__all__ = ["RunOptions", "fastest_isolation", "settled_for"]

Complexity: TypeAlias = Literal["codeio"] | wire.ComplexityLimits | None

_JOB_TIME_MIN_S = 60.0
_JOB_TIME_MAX_S = 3600.0
_VARIED_FACTOR = 2
"""Runs under variation have twice the limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a function is run and what is checked.

    ``runs`` are the executions of each call that must agree, 2 to 10, and None leaves the
    determinism check out. ``prelude`` and ``convert`` are for records that name none of their own.
    ``isolation`` and ``concurrency`` None take the fastest the service permits and as many
    requests as keep all of its slots busy. Limits that do not set ``job_time_s`` leave as much as
    what is asked for can take, up to ``job_time_max_s``, which is the service's.
    """

    limits: wire.Limits = field(default_factory=wire.Limits)
    runs: int | None = 2
    complexity: Complexity = "codeio"
    prelude: wire.Prelude = "codeio"
    convert: wire.Conversion = "none"
    isolation: wire.Isolation | None = None
    concurrency: int | None = None
    job_time_max_s: float = _JOB_TIME_MAX_S

    def __post_init__(self) -> None:
        if self.concurrency is not None and self.concurrency < 1:
            raise DatasetError(f"concurrency must be 1 or more, not {self.concurrency}")
        try:
            _ = self.checks
        except InvalidRequest as error:
            raise DatasetError(f"runs must be 2 to 10, not {self.runs}") from error

    @property
    def checks(self) -> wire.Checks:
        """What the service is asked to check."""
        determinism = None if self.runs is None else wire.DeterminismCheck(runs=self.runs)
        return wire.Checks(determinism=determinism, complexity=self.complexity)

    def limits_for(self, call_count: int) -> wire.Limits:
        """The limits of a request for so many calls, with time for all of their runs."""
        if "job_time_s" in self.limits.model_fields_set:
            return self.limits
        run_count = 1 + _VARIED_FACTOR * ((self.runs or 1) - 1)
        needed_s = self.limits.cpu_time_s * run_count * call_count
        job_time_s = min(max(_JOB_TIME_MIN_S, needed_s), self.job_time_max_s)
        return self.limits.model_copy(update={"job_time_s": job_time_s})

    @property
    def settings(self) -> Mapping[str, object]:
        """What results depend on, for the run's settings file."""
        return {
            "limits": self.limits_for(0).model_dump(),
            "checks": self.checks.model_dump(),
            "prelude": self.prelude,
            "convert": self.convert,
        }


def settled_for(options: RunOptions, capabilities: wire.Capabilities) -> RunOptions:
    """Options with isolation and concurrency decided by what the service says it can do."""
    # Half as many again, so that no slot is idle while an answer is read.
    slots = capabilities.concurrency
    return replace(
        options,
        isolation=options.isolation or fastest_isolation(capabilities),
        concurrency=options.concurrency or slots + max(1, slots // 2),
        job_time_max_s=capabilities.limits_max.get("job_time_s", _JOB_TIME_MAX_S),
    )


def fastest_isolation(capabilities: wire.Capabilities) -> wire.Isolation:
    """The level that costs least, of those the service permits."""
    return "process" if "process" in capabilities.isolation else capabilities.isolation[0]
