"""Building jobs: the payloads a job process reads, and which packages to have ready for it.

The payload's keys are the contract with ``execbox_runner/job.py``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from execbox.wire import (
    Call,
    ComplexityLimits,
    Function,
    InputGenerator,
    Isolation,
    Limits,
    Profile,
)
from execbox_service.failures import CallerMistake
from execbox_service.operations.package_guess import guess_packages
from execbox_service.sandboxes.driver import Job, call_payload

_MEASURING_PACKAGE = "pympler.asizeof"
EXTRA_MEMORY_MB = 256
"""What further interpreters may hold, with scipy in each of them: those of a determinism check,
and those that a container of level ``process`` keeps for the jobs to come."""


@dataclass(frozen=True)
class Terms:
    """How the calls of a request are run: everything about a job but its code."""

    limits: Limits
    isolation: Isolation
    profile: Profile
    convert: Literal["none", "codeio"]
    principal: str
    imports: Mapping[str, str]
    varied: bool
    """Whether calls will be run under variation, in further interpreters."""


def function_job(
    function: Function,
    terms: Terms,
    *,
    complexity: ComplexityLimits | None,
    expressions: list[str] | None = None,
) -> Job:
    """The job that calls a function."""
    texts = [function.code, *(expressions or [])]
    return _job(_payload(function, terms, complexity), texts, function, terms, complexity)


def generator_job(
    function: Function,
    generator: InputGenerator,
    terms: Terms,
    *,
    complexity: ComplexityLimits | None,
) -> Job:
    """The job that draws inputs: both sources in one namespace, the generator called."""
    payload = _payload(function, terms, complexity) | {
        "generator_code": generator.code,
        "entry_point": generator.entry_point,
        "convert": "none",
    }
    return _job(payload, [function.code, generator.code], function, terms, complexity)


def without_measuring(job: Job) -> Job:
    """The same job without the size check, which only the baseline needs."""
    payload = json.loads(job.function_payload) | {"complexity": None}
    return dataclasses.replace(
        job,
        function_payload=_encoded(payload),
        packages=tuple(name for name in job.packages if name != _MEASURING_PACKAGE),
    )


def payload_of(call: Call) -> bytes:
    """A call as the job reads it."""
    (name,) = call.model_fields_set
    return call_payload({name: getattr(call, name)})


def complexity_limits(
    chosen: Literal["codeio"] | ComplexityLimits | None, *, imports: Mapping[str, str]
) -> ComplexityLimits | None:
    """The limits that a request's ``checks.complexity`` means.

    Raises CallerMistake where the sandbox has nothing to measure with: run without it, the check
    would look like an exception of the user's code.
    """
    if chosen is not None and _MEASURING_PACKAGE.partition(".")[0] not in imports:
        raise CallerMistake(
            "check_unavailable",
            "checks.complexity: the Python of this service's sandboxes has no pympler, which "
            "measures sizes; send null, or ask the operator to install it there",
        )
    return ComplexityLimits() if chosen == "codeio" else chosen


def _payload(
    function: Function, terms: Terms, complexity: ComplexityLimits | None
) -> dict[str, object]:
    return {
        "code": function.code,
        "entry_point": function.entry_point,
        "prelude": function.prelude,
        "convert": terms.convert,
        "output_bytes": terms.limits.output_bytes,
        "complexity": complexity.model_dump() if complexity is not None else None,
    }


def _job(
    payload: dict[str, object],
    texts: list[str],
    function: Function,
    terms: Terms,
    complexity: ComplexityLimits | None,
) -> Job:
    packages = guess_packages(texts, available=frozenset(terms.imports), prelude=function.prelude)
    large = any(name.split(".")[0] in terms.imports for name in packages)
    several = terms.varied or terms.isolation == "process"
    extra_memory_mb = EXTRA_MEMORY_MB if large and several else 0
    if complexity is not None:
        packages = tuple(sorted({*packages, _MEASURING_PACKAGE}))
    return Job(
        function_payload=_encoded(payload),
        packages=packages,
        profile=terms.profile,
        limits=terms.limits,
        isolation=terms.isolation,
        principal=terms.principal,
        extra_memory_mb=extra_memory_mb,
    )


def _encoded(payload: dict[str, object]) -> bytes:
    return json.dumps(payload, separators=(",", ":")).encode()
