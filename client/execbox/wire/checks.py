"""The checks of an execution that ended ok: what is asked for, and what was found.

Determinism, its certificate and its replay, and the object-size rule.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from execbox.wire.fields import JSON, Request, Response

__all__ = [
    "Certificate",
    "Checks",
    "Complexity",
    "ComplexityLimits",
    "Determinism",
    "DeterminismCheck",
    "Hint",
    "Replay",
    "ReplayResult",
    "Violation",
]


_NAMES_MAX = 1000
"""Of variations, packages or limits in one certificate; a service writes a few."""


def _few(value: object) -> object:
    # Before each is looked at, which takes long where there are a million.
    if isinstance(value, list | dict) and len(value) > _NAMES_MAX:
        raise ValueError(f"has {len(value)} entries, and may have {_NAMES_MAX}")
    return value


_Few = BeforeValidator(_few), Field(max_length=_NAMES_MAX)


class DeterminismCheck(Request):
    """Run each call that is ok again under variation, and compare."""

    runs: Annotated[int, Field(ge=2, le=10)] = Field(
        default=2, description="All executions of one call, the baseline included."
    )


class ComplexityLimits(Request):
    """The object-size rule; the defaults are the preset ``codeio`` (CodeI/O, arXiv 2502.07316)."""

    total_bytes: Annotated[int, Field(ge=1, le=2**40)] = Field(
        default=1024,
        description="Size of the whole object, as pympler.asizeof counts it, must be below this.",
    )
    container_items: Annotated[int, Field(ge=1, le=2**40)] = Field(
        default=20, description="A dict, list, tuple or set must have fewer members."
    )
    string_chars: Annotated[int, Field(ge=1, le=2**40)] = Field(
        default=100, description="A string must be shorter."
    )
    other_bytes: Annotated[int, Field(ge=1, le=2**40)] = Field(
        default=128,
        description="Size of any other object, as pympler.asizeof counts it, must be below this.",
    )


class Checks(Request):
    """What to check of each execution that ended ``ok``; null leaves a check out."""

    determinism: DeterminismCheck | None = None
    complexity: Literal["codeio"] | ComplexityLimits | None = None


class Certificate(Request):
    """The record that a pair is deterministic, and how that was checked.

    It may have been made by a newer service, and goes through clients into data sets: whatever else
    it says is kept.
    """

    model_config = ConfigDict(extra="allow")

    runs: int = Field(description="Executions compared, the baseline included.")
    variations: Annotated[list[str], *_Few] = Field(
        description="What differed between the runs: hash_seed, address_layout, clock, entropy, "
        "pid, cwd, timezone, locale."
    )
    seed: int | None = Field(description="Of the request; null where the input was given.")
    attempt: int | None = Field(description="Which draw of the input generator made the input.")
    engine: str
    image: str
    python: str
    packages: Annotated[dict[str, str], *_Few] = Field(
        description="Packages the function may have used."
    )
    limits: Annotated[dict[str, float], *_Few]
    execbox: str = Field(description="Version of the service that certified.")


class Replay(Request):
    """What one call gave when it was certified, to be held against what it gives now."""

    output: JSON
    certificate: Certificate | None = None


class Hint(Response):
    """A line of the source that reads something that can vary: explains, and decides nothing."""

    line: int
    name: str
    reads: str = Field(description="entropy, clock, timing, hash_seed or process_state.")


class Determinism(Response):
    """Whether the output held under variation, and if not, because of what."""

    deterministic: bool
    cause: Literal["hash_seed", "clock", "entropy", "timing", "process_state", "unknown"] | None = (
        None
    )
    outputs: list[JSON] = Field(
        default_factory=list,
        description="The distinct results seen, baseline first: the output where a run was ok, "
        "else an object with its status and error type.",
    )
    runs: int = Field(description="How many executions were compared, the baseline included.")
    hints: list[Hint] = Field(default_factory=list)


class Violation(Response):
    """One breach of the object-size rule."""

    path: str = Field(description='Begins with "input" or "output", such as output["a"][3].')
    rule: Literal["total_bytes", "container_items", "string_chars", "other_bytes"]
    measured: int
    limit: int


class Complexity(Response):
    """Whether input and output are within the object-size rule."""

    ok: bool
    violations: list[Violation] = Field(default_factory=list)


class ReplayResult(Response):
    """Whether a certified pair still holds, and what differs from when it was certified."""

    holds: bool
    drifted: list[str] = Field(
        default_factory=list,
        description='What changed, such as "output", "image", "python 3.11.2 to 3.11.9", '
        '"numpy 1.26.4 to 2.1.0".',
    )
