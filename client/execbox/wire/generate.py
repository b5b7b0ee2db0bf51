"""``POST /v1/generate``: its request, the pairs, and the account of the draws that gave none."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from execbox.wire import html_view
from execbox.wire.checks import Certificate, Checks, Determinism, DeterminismCheck, Violation
from execbox.wire.execute import ExecutionError
from execbox.wire.fields import CALLS_MAX, JSON, EntryPoint, Request, Response, Text
from execbox.wire.functions import Function, Limits
from execbox.wire.vocabularies import Conversion, Isolation, Profile, Stopped

__all__ = [
    "GenerateRequest",
    "GenerateResponse",
    "InputGenerator",
    "Pair",
    "RejectedExample",
]


class InputGenerator(Request):
    """Python source of a function that returns one input, an object.

    It is called without arguments or, if it requires exactly one, with a ``random.Random`` that is
    seeded for the draw.
    """

    code: Text = Field(description="Shares one namespace with the function's code.")
    entry_point: EntryPoint = "input_generator"


class GenerateRequest(Request):
    """Body of ``POST /v1/generate``: sample inputs, run them, keep the pairs that hold.

    The same request gives the same pairs, on every container and after every restart.
    """

    function: Function
    input_generator: InputGenerator
    count: Annotated[int, Field(ge=1, le=1000)] = Field(default=10, description="Pairs wanted.")
    attempts: Annotated[int, Field(ge=1, le=CALLS_MAX)] = Field(
        default=1000, description="Draws at most; an attempt that is rejected counts."
    )
    give_up_after: Annotated[int, Field(ge=1, le=CALLS_MAX)] | None = Field(
        default=None,
        description="Draws in a row without a pair after which to stop; one that took all the "
        "time or memory it may counts ten. Null: never before attempts.",
    )
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    limits: Limits = Limits()
    checks: Checks = Checks(determinism=DeterminismCheck(), complexity="codeio")
    isolation: Isolation = "container"
    profile: Profile = "default"
    convert: Conversion = "none"


class Pair(Response):
    """An input and the output it gave, with the record of how that was checked."""

    input: JSON
    output: JSON
    certificate: Certificate | None = Field(
        default=None, description="Null where the determinism check was left out."
    )


class RejectedExample(Response):
    """The first draw that was rejected for a reason."""

    attempt: int
    input: JSON = None
    output: JSON = None
    error: ExecutionError | None = None
    determinism: Determinism | None = None
    violations: list[Violation] = Field(default_factory=list)


class GenerateResponse(Response):
    """Answer of ``POST /v1/generate``: the pairs, and an account of every draw that gave none."""

    pairs: list[Pair]
    rejected: dict[str, int] = Field(
        description="Draws by reason: duplicate_input, invalid_input (no JSON object), "
        "input_complexity, output_complexity, none_output, non_finite, non_deterministic, "
        "generator_exception, generator_timeout and so on where the generator failed, else the "
        "status of the execution."
    )
    examples: dict[str, RejectedExample]
    attempts: int = Field(description="Draws made.")
    stopped: Stopped = Field(
        description="Why it ended: enough pairs, no draws left, too many without a pair, no time "
        "left, source unusable."
    )
    isolation: Isolation
    engine: str
    image: str
    queue_time_s: float

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        return html_view.generate_html(self)
