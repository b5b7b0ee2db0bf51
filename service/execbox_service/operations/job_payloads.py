"""Building jobs: the payloads a job process reads, and which packages to have ready for it.

The payload's keys are the contract with ``execbox_runner/job.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, Self

from execbox.wire import (
    Base64Content,
    Call,
    Conversion,
    Function,
    InputGenerator,
    Isolation,
    Limits,
    Profile,
    content_bytes,
)
from execbox_service.engines.container_spec import EXTRA_MEMORY_MB
from execbox_service.json_steps import LIGHT_MAX, ascii_text, is_light, small_ascii_text
from execbox_service.operations.package_guess import guess_packages
from execbox_service.sandboxes.driver import Attempt, Job, call_payload
from execbox_service.scheduling.offload import in_turns

__all__ = [
    "Jobs",
    "Measured",
    "Options",
    "Runnable",
    "attempt_of",
    "attempts_of",
    "function_jobs",
    "generator_jobs",
    "is_large_call",
]

_SMALL_CHARS: Final = LIGHT_MAX // 2
"""Of all sources of a job: the rest of its payload is small, too."""


class Runnable(Protocol):
    """What requests that run functions have in common."""

    @property
    def limits(self) -> Limits:
        """Of each execution."""

    @property
    def isolation(self) -> Isolation:
        """The level asked for."""

    @property
    def profile(self) -> Profile:
        """The system-call profile asked for."""

    @property
    def convert(self) -> Conversion:
        """How values without a JSON form are written."""


class Options(NamedTuple):
    """How the calls of a request are run: everything about its jobs but the code."""

    limits: Limits
    isolation: Isolation
    profile: Profile
    convert: Conversion
    imports: Mapping[str, str]
    """What the sandbox can import, and the distribution that each name is of."""
    varied: bool
    """Whether calls will be run under variation, in further interpreters."""

    @classmethod
    def of(cls, request: Runnable, *, imports: Mapping[str, str], varied: bool) -> Self:
        return cls(
            request.limits, request.isolation, request.profile, request.convert, imports, varied
        )


@dataclass(frozen=True)
class Measured:
    """What a check has the runner measure in the baseline: its payload key, and by which rule."""

    key: str
    rule: Mapping[str, object]


class Jobs(NamedTuple):
    """The job of the baseline, and that of every run after it, in which nothing is measured."""

    baseline: Job
    rerun: Job
    texts: Sequence[str]
    """The sources that the caller sent, expressions included."""


def function_jobs(
    function: Function,
    options: Options,
    *,
    measured: Sequence[Measured] = (),
    expressions: Sequence[str] = (),
) -> Jobs:
    """The jobs that call a function. ``expressions`` are those of its calls."""
    texts = [function.code, *expressions]
    return _jobs(_payload(function, options), options, texts=texts, measured=measured)


def generator_jobs(
    function: Function,
    generator: InputGenerator,
    options: Options,
    *,
    measured: Sequence[Measured] = (),
) -> Jobs:
    """The jobs that draw inputs: both sources in one namespace, the generator called."""
    payload = _payload(function, options) | {
        "generator_code": generator.code,
        "entry_point": generator.entry_point,
        "convert": "none",
    }
    return _jobs(payload, options, texts=[function.code, generator.code], measured=measured)


async def attempts_of(calls: Sequence[Call]) -> list[Attempt]:
    """Calls as the job reads them, in the baseline's surroundings."""
    if len(calls) == 1 and not is_large_call(calls[0]):
        return [_small_attempt_of(calls[0])]
    return await in_turns(_small_attempt_of, calls, is_large=is_large_call, large=attempt_of)


def attempt_of(call: Call) -> Attempt:
    """One call as the job reads it, in the baseline's surroundings."""
    return Attempt(call_payload(_asked_of(call)), stdin=_stdin_of(call))


def _small_attempt_of(call: Call) -> Attempt:
    return Attempt(small_ascii_text(_asked_of(call)), stdin=_stdin_of(call))


def _asked_of(call: Call) -> dict[str, object]:
    if call.kwargs is not None:
        return {"kwargs": call.kwargs}
    if call.args is not None:
        return {"args": call.args}
    return {"expression": call.expression}


def _stdin_of(call: Call) -> bytes | None:
    return None if call.stdin is None else content_bytes(call.stdin)


def is_large_call(call: Call) -> bool:
    """Whether working on what it is given takes so long that it is done beside the event loop."""
    given = call.args or call.kwargs or call.expression
    if call.stdin is None:
        return not is_light((given,))
    stdin = call.stdin.base64 if isinstance(call.stdin, Base64Content) else call.stdin
    return not is_light((given, stdin))


def _payload(function: Function, options: Options) -> dict[str, object]:
    return {
        "code": function.code,
        "entry_point": function.entry_point,
        "prelude": function.prelude,
        "convert": options.convert,
        "output_bytes": options.limits.output_bytes,
        "complexity": None,
    }


def _jobs(
    payload: dict[str, object],
    options: Options,
    *,
    texts: Sequence[str],
    measured: Sequence[Measured],
) -> Jobs:
    prelude = str(payload["prelude"])
    packages = guess_packages(texts, available=options.imports, prelude=prelude)
    extra_memory_mb = 0
    if packages and (options.varied or options.isolation == "process"):
        # In a further interpreter, where any of them is no part of Python.
        large = any(name.split(".")[0] in options.imports for name in packages)
        extra_memory_mb = EXTRA_MEMORY_MB if large else 0
    small = sum(map(len, texts)) < _SMALL_CHARS
    write = small_ascii_text if small else ascii_text
    rerun = Job(
        function_payload=write(payload),
        packages=packages,
        profile=options.profile,
        limits=options.limits,
        isolation=options.isolation,
        extra_memory_mb=extra_memory_mb,
    )
    if not measured:
        return Jobs(baseline=rerun, rerun=rerun, texts=texts)
    measuring = payload | {each.key: dict(each.rule) for each in measured}
    baseline = rerun._replace(function_payload=write(measuring))
    return Jobs(baseline=baseline, rerun=rerun, texts=texts)
