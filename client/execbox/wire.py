"""The schema of the HTTP API: requests, responses and closed vocabularies. Does no work.

The service and the client both import this module, so a field exists in one place only.
Requests forbid unknown fields and are strict about types (``true`` and ``"10"`` are not numbers);
responses ignore unknown fields, so that an older client can read a newer service.

Quantities carry their unit in the name: ``_s`` seconds, ``_mb`` mebibytes, ``_bytes`` bytes,
``_count`` how many.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable
from enum import StrEnum
from string import Template
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    model_validator,
)

__all__ = [
    "BATCH_ANSWERS",
    "BATCH_LINES",
    "BODY_BYTES_MAX",
    "CALLS_MAX",
    "JSON_DEPTH_MAX",
    "BatchAnswer",
    "BatchLine",
    "Call",
    "Capabilities",
    "Certificate",
    "Checks",
    "Complexity",
    "ComplexityLimits",
    "Conversion",
    "Determinism",
    "DeterminismCheck",
    "ErrorBody",
    "ErrorResponse",
    "ExecuteAnswer",
    "ExecuteLine",
    "ExecuteRequest",
    "ExecuteResponse",
    "Execution",
    "ExecutionError",
    "FailedAnswer",
    "FeedbackTemplates",
    "Function",
    "GenerateAnswer",
    "GenerateLine",
    "GenerateRequest",
    "GenerateResponse",
    "Health",
    "Hint",
    "InputGenerator",
    "Isolation",
    "Limits",
    "OutputFlag",
    "Pair",
    "Profile",
    "Readiness",
    "RejectedExample",
    "Replay",
    "ReplayResult",
    "Status",
    "Tolerance",
    "Truncated",
    "Usage",
    "Verdict",
    "VerifiedItem",
    "VerifyAnswer",
    "VerifyItem",
    "VerifyLine",
    "VerifyRequest",
    "VerifyResponse",
    "Violation",
]

BODY_BYTES_MAX = 16 * 1024 * 1024
"""Largest request body, counted before anything is parsed."""
CALLS_MAX = 10_000
"""Most calls in one job; longer work belongs in several requests or a batch."""
JSON_DEPTH_MAX = 64
"""Deepest nesting of arrays and objects, in a request body and in an output alike."""

JSON: TypeAlias = Any
"""A JSON value as Python's json module decodes it. Not checked here: the strict decoder has."""

Isolation: TypeAlias = Literal["container", "process"]
"""``container``: a fresh container for this job. ``process``: one shared by one API key's jobs."""
Profile: TypeAlias = Literal["default", "processes"]
"""``default``: one process, no exec, no socket. ``processes``: fork and exec, if permitted."""
OutputFlag: TypeAlias = Literal["non_finite", "mutates_input"]
Conversion: TypeAlias = Literal["none", "codeio"]


class Status(StrEnum):
    """How one execution ended: always about the code, never about the service.

    Where several apply, the first of this order wins: ``memory_exceeded``, ``timeout``,
    ``no_result``, then what the job itself reported.
    """

    OK = "ok"
    """It returned a value that is strict JSON within ``output_bytes``."""
    EXCEPTION = "exception"
    """It raised. SystemExit, KeyboardInterrupt and an uncaught MemoryError included."""
    TIMEOUT = "timeout"
    """It used up ``cpu_time_s``, or ``wall_time_s`` not counting time spent waiting for a core."""
    MEMORY_EXCEEDED = "memory_exceeded"
    """The kernel's OOM killer ended it."""
    OUTPUT_TOO_LARGE = "output_too_large"
    """The JSON text of the returned value is longer than ``output_bytes``."""
    UNSERIALIZABLE = "unserializable"
    """The returned value has no strict JSON form."""
    NO_RESULT = "no_result"
    """The process ended by itself without reporting: a crash, ``os._exit``, a signal."""
    INVALID_CODE = "invalid_code"
    """The source or the expression does not compile, or defines no such callable entry point."""
    NOT_RUN = "not_run"
    """The job's time (``job_time_s``) was over before this call's turn. No verdict."""


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL characters (U+0000)")
    return text


def _identifier(text: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise ValueError("must be a Python identifier, such as main_solution")
    return text


def _real_number(value: object) -> object:
    # pydantic's strict mode lets a bool through where a float is asked for; the contract does not.
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


Text = Annotated[str, AfterValidator(_no_nul)]
Identifier = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_identifier)]
Seconds = Annotated[float, BeforeValidator(_real_number), Field(allow_inf_nan=False)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Response(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Function(_Request):
    """Python source and the name of its entry point."""

    code: Text = Field(description="Python 3.11 source. Runs as a module that is not __main__.")
    entry_point: Identifier = "main_solution"
    prelude: Literal["none", "codeio"] = Field(
        default="none",
        description="codeio binds the names LeetCode-style code takes for granted before the "
        "source runs: typing, collections, itertools, functools, math, heapq, bisect, operator, "
        "re, string, random, copy, datetime, json, and numpy as np.",
    )


def _exactly_one_of(*names: str) -> Callable[[dict[str, Any]], None]:
    """What a JSON schema can say of fields of which one is given, and is not null."""

    def describe(schema: dict[str, Any]) -> None:
        for name in names:
            described = schema["properties"][name]
            described.pop("default")
            for each in described.pop("anyOf", ()):
                if each["type"] != "null":
                    described.update(each)
        schema["oneOf"] = [{"required": [name]} for name in names]

    return describe


class Call(_Request):
    """One set of arguments: exactly one of ``kwargs``, ``args`` and ``expression``."""

    model_config = ConfigDict(json_schema_extra=_exactly_one_of("kwargs", "args", "expression"))

    kwargs: dict[str, JSON] | None = Field(default=None, description="Keyword arguments.")
    args: list[JSON] | None = Field(default=None, description="Positional arguments.")
    expression: Text | None = Field(
        default=None,
        description="A Python expression evaluated in the function's namespace, inside the job.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [
            name for name in ("kwargs", "args", "expression") if getattr(self, name) is not None
        ]
        if len(given) != 1 or self.model_fields_set != set(given):
            raise ValueError(
                "give exactly one of kwargs (object), args (array), expression (string)"
            )
        return self


class Limits(_Request):
    """What one execution may use. The operator may lower the maxima that stand here."""

    cpu_time_s: Annotated[Seconds, Field(ge=0.01, le=60)] = 5.0
    wall_time_s: Annotated[Seconds, Field(ge=0.05, le=120)] = 10.0
    memory_mb: Annotated[int, Field(ge=16, le=4096)] = 512
    output_bytes: Annotated[int, Field(ge=1, le=16 * 1024 * 1024)] = 1024 * 1024
    stdout_bytes: Annotated[int, Field(ge=0, le=1024 * 1024)] = Field(
        default=64 * 1024, description="Holds for stdout and for stderr, each."
    )
    job_time_s: Annotated[Seconds, Field(ge=1, le=3600)] = Field(
        default=300.0,
        description="For the whole job, from its first execution; calls after it are not_run.",
    )


class DeterminismCheck(_Request):
    """Run each call that is ok again under variation, and compare."""

    runs: Annotated[int, Field(ge=2, le=10)] = Field(
        default=2, description="All executions of one call, the baseline included."
    )


class ComplexityLimits(_Request):
    """The object-size rule; the defaults are the preset ``codeio`` (CodeI/O, arXiv 2502.07316)."""

    total_bytes: Annotated[int, Field(ge=1, le=2**40)] = Field(
        default=1024, description="pympler.asizeof of the whole object must be below this."
    )
    container_items: Annotated[int, Field(ge=1, le=2**40)] = Field(
        default=20, description="A dict, list, tuple or set must have fewer members."
    )
    string_chars: Annotated[int, Field(ge=1, le=2**40)] = Field(
        default=100, description="A string must be shorter."
    )
    other_bytes: Annotated[int, Field(ge=1, le=2**40)] = Field(
        default=128, description="pympler.asizeof of any other object must be below this."
    )


class Checks(_Request):
    """What to check of each execution that ended ``ok``; null leaves a check out."""

    determinism: DeterminismCheck | None = None
    complexity: Literal["codeio"] | ComplexityLimits | None = None


class Certificate(_Request):
    """The record that a pair is deterministic, and how that was checked."""

    runs: int = Field(description="Executions compared, the baseline included.")
    variations: list[str] = Field(
        description="What differed between the runs: hash_seed, address_layout, clock, entropy, "
        "pid, cwd, timezone, locale."
    )
    seed: int | None = Field(description="Of the request; null where the input was given.")
    attempt: int | None = Field(description="Which draw of the input generator made the input.")
    engine: str
    image: str
    python: str
    packages: dict[str, str] = Field(description="Packages the function may have used.")
    limits: dict[str, float]
    execbox: str = Field(description="Version of the service that certified.")


class Replay(_Request):
    """What one call gave when it was certified, to be held against what it gives now."""

    output: JSON
    certificate: Certificate | None = None


class ExecuteRequest(_Request):
    """Body of ``POST /v1/execute``: one function and the calls to make of it."""

    function: Function
    calls: Annotated[list[Call], Field(min_length=1, max_length=CALLS_MAX)]
    limits: Limits = Limits()
    checks: Checks = Checks()
    isolation: Isolation = "container"
    profile: Profile = "default"
    convert: Conversion = Field(
        default="none",
        description="codeio turns sets, bytes, Decimal, numpy scalars and arrays into JSON; "
        "none answers unserializable for them.",
    )
    replay: list[Replay] | None = Field(
        default=None,
        description="One entry per call: each execution then says whether it still gives that "
        "output, and what has changed since it was certified.",
    )

    @model_validator(mode="after")
    def _one_replay_per_call(self) -> Self:
        if self.replay is not None and len(self.replay) != len(self.calls):
            raise ValueError(
                f"replay has {len(self.replay)} entries for {len(self.calls)} calls; give one each"
            )
        return self


class ExecutionError(_Response):
    """What the user's code raised, or why its result is not usable."""

    type: str = Field(description="The exception's real type, such as ZeroDivisionError.")
    message: str
    traceback: str | None = Field(default=None, description="Frames of the user's code only.")
    line: int | None = Field(default=None, description="Line of the source, from 1.")


class Truncated(_Response):
    """Which streams were longer than ``stdout_bytes``; the rest was read and thrown away."""

    stdout: bool = False
    stderr: bool = False


class Usage(_Response):
    """What one execution used, as the kernel measured it from outside the job."""

    cpu_time_s: float = Field(description="User and system time of every thread.")
    wall_time_s: float = Field(description="From the fork to the end, waiting for a core included.")
    peak_memory_bytes: int = Field(
        description="Peak resident set of the process, interpreter and loaded packages included."
    )


class Hint(_Response):
    """A line of the source that reads something that can vary: explains, and decides nothing."""

    line: int
    name: str
    reads: str = Field(description="entropy, clock, timing, hash_seed or process_state.")


class Determinism(_Response):
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


class Violation(_Response):
    """One breach of the object-size rule."""

    path: str = Field(description='Begins with "input" or "output", such as output["a"][3].')
    rule: Literal["total_bytes", "container_items", "string_chars", "other_bytes"]
    measured: int
    limit: int


class Complexity(_Response):
    """Whether input and output are within the object-size rule."""

    ok: bool
    violations: list[Violation] = Field(default_factory=list)


class ReplayResult(_Response):
    """Whether a certified pair still holds, and what differs from when it was certified."""

    holds: bool
    drifted: list[str] = Field(
        default_factory=list,
        description='What changed, such as "output", "image", "python 3.11.2 to 3.11.9", '
        '"numpy 1.26.4 to 2.1.0".',
    )


class Execution(_Response):
    """One call's outcome. ``output`` is null unless ``status`` is ``ok``."""

    status: Status
    output: JSON = None
    output_text: str | None = Field(
        default=None,
        description="Only with non_finite: the value as Python's json writes it (NaN, Infinity).",
    )
    output_flags: list[OutputFlag] = Field(default_factory=list)
    error: ExecutionError | None = None
    limit: Literal["cpu_time", "wall_time"] | None = Field(
        default=None, description="With timeout: which limit was reached."
    )
    signal: str | None = Field(default=None, description="Name such as SIGSEGV, if one ended it.")
    exit_code: int | None = None
    stdout: str = ""
    stderr: str = ""
    truncated: Truncated = Truncated()
    usage: Usage | None = Field(default=None, description="Null for not_run.")
    determinism: Determinism | None = None
    complexity: Complexity | None = None
    replay: ReplayResult | None = None


class ExecuteResponse(_Response):
    """Answer of ``POST /v1/execute``: one execution per call, in the order of the calls."""

    executions: list[SerializeAsAny[Execution]]
    isolation: Isolation
    engine: str
    image: str = Field(description="Id of the sandbox image, which docker run accepts.")
    queue_time_s: float = Field(description="Waiting for a free slot, before the first execution.")
    certificate: Certificate | None = Field(
        default=None,
        description="With checks.determinism: of each execution found deterministic, but that its "
        "own determinism.runs may be more.",
    )


class InputGenerator(_Request):
    """Python source of a function without parameters that returns one input, an object."""

    code: Text = Field(description="Shares one namespace with the function's code.")
    entry_point: Identifier = "input_generator"


class GenerateRequest(_Request):
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
        "time or memory it may counts five. Null: never before attempts.",
    )
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    limits: Limits = Limits()
    checks: Checks = Checks(determinism=DeterminismCheck(), complexity="codeio")
    isolation: Isolation = "container"
    profile: Profile = "default"
    convert: Conversion = "none"


class Pair(_Response):
    """An input and the output it gave, with the record of how that was checked."""

    input: JSON
    output: JSON
    certificate: Certificate | None = Field(
        default=None, description="Null where the determinism check was left out."
    )


class RejectedExample(_Response):
    """The first draw that was rejected for a reason."""

    attempt: int
    input: JSON = None
    output: JSON = None
    error: ExecutionError | None = None
    determinism: Determinism | None = None
    violations: list[Violation] = Field(default_factory=list)


class GenerateResponse(_Response):
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
    stopped: Literal["count", "attempts", "given_up", "job_time", "invalid_code"] = Field(
        description="Why it ended: enough pairs, no draws left, too many without a pair, no time "
        "left, source unusable."
    )
    isolation: Isolation
    engine: str
    image: str
    queue_time_s: float


class Verdict(StrEnum):
    """What a prediction was worth: or the status of an execution that is not ok."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    NO_ANSWER = "no_answer"
    """No answer could be extracted from the response."""
    EXCEPTION = "exception"
    TIMEOUT = "timeout"
    MEMORY_EXCEEDED = "memory_exceeded"
    OUTPUT_TOO_LARGE = "output_too_large"
    UNSERIALIZABLE = "unserializable"
    NO_RESULT = "no_result"
    INVALID_CODE = "invalid_code"
    NOT_RUN = "not_run"


class Tolerance(_Request):
    """Numbers are equal within either bound: ``|a - b| <= max(rel * max(|a|, |b|), abs)``."""

    rel: Annotated[Seconds, Field(ge=0, le=1)] = 1e-6
    abs: Annotated[Seconds, Field(ge=0)] = 0.0


class VerifyItem(_Request):
    """One prediction to check. Exactly one of ``prediction`` and ``response`` is given.

    ``kind`` input: the prediction is an input, run to see whether it gives ``output``.
    ``kind`` output: the prediction is compared with ``output``, or, where that is absent, with
    what the function gives for ``input``.
    """

    model_config = ConfigDict(json_schema_extra=_exactly_one_of("prediction", "response"))

    id: Annotated[str, Field(max_length=1000)]
    function: Function | None = Field(
        default=None, description="Needed unless an output prediction has a known output."
    )
    kind: Literal["input", "output"]
    prediction: JSON = Field(default=None, description="The bare value; never unwrapped.")
    response: str | None = Field(
        default=None, description="A model's text; the answer is extracted from it."
    )
    input: JSON = None
    output: JSON = None
    comparator: Literal["codeio", "exact", "tolerance"] = "codeio"
    tolerance: Tolerance | None = None
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        given = self.model_fields_set
        if self.tolerance is not None and self.comparator != "tolerance":
            raise ValueError("tolerance is given, so comparator must be tolerance")
        if ("prediction" in given) == ("response" in given) or (
            "response" in given and self.response is None
        ):
            raise ValueError("give exactly one of prediction (JSON) and response (text)")
        if self.kind == "input" and "output" not in given:
            raise ValueError("an input prediction is checked against output, which is missing")
        if self.kind == "output" and not {"output", "input"} & given:
            raise ValueError("an output prediction needs output, or input to run the function on")
        if self.function is None and (self.kind == "input" or "output" not in given):
            raise ValueError("function is missing: this item can be checked by running it only")
        return self


def _template_of(*variables: str) -> AfterValidator:
    known = frozenset(variables) | _FEEDBACK_VARIABLES

    def check(text: str | None) -> str | None:
        if text is None:
            return None
        template = Template(text)
        if not template.is_valid():
            raise ValueError("has a $ that begins no variable; write $$ for a dollar sign")
        unknown = sorted(set(template.get_identifiers()) - known)
        if unknown:
            raise ValueError(
                f"${unknown[0][:60]} is no variable of this template; known here: "
                + ", ".join(f"${name}" for name in sorted(known))
            )
        return text

    return AfterValidator(check)


_FEEDBACK_VARIABLES = frozenset({"kind", "prediction", "input", "expected"})
_Template = Annotated[str | None, Field(default=None, max_length=4000)]


class FeedbackTemplates(_Request):
    """Text in place of the service's own, by what it is feedback on; null keeps the service's.

    ``$name`` or ``${name}`` is replaced by a variable, ``$$`` by a dollar sign. Every template has
    ``$kind`` (input or output), ``$prediction``, ``$input`` (what the function is run on) and
    ``$expected`` (the output it should give, or gives), as JSON text that is cut where it is long.
    """

    correct: Annotated[_Template, _template_of("output")] = None
    wrong_output: Annotated[_Template, _template_of()] = None
    infeasible_input: Annotated[_Template, _template_of("output")] = Field(
        default=None, description="$output is what the function gives on the predicted input."
    )
    exception: Annotated[
        _Template, _template_of("exception_type", "message", "line_number", "line", "place")
    ] = Field(
        default=None,
        description="$line is the line of the source that raised, $line_number its number, $place "
        "both in parentheses, or nothing where it is not known.",
    )
    timeout: Annotated[_Template, _template_of("limit")] = Field(
        default=None, description='$limit is such as "5 seconds of CPU time".'
    )
    memory_exceeded: Annotated[_Template, _template_of("memory_mb")] = None
    output_too_large: Annotated[_Template, _template_of("output_bytes")] = None
    unserializable: Annotated[_Template, _template_of("message")] = None
    no_result: Annotated[_Template, _template_of("ending")] = Field(
        default=None, description='$ending is such as "signal SIGSEGV".'
    )
    invalid_code: Annotated[
        _Template, _template_of("exception_type", "message", "line_number", "line", "place")
    ] = None
    no_answer: Annotated[_Template, _template_of("reason")] = Field(
        default=None, description="$reason says what is missing from the response."
    )


class VerifyRequest(_Request):
    """Body of ``POST /v1/verify``. Items that share function and limits are run together."""

    items: Annotated[list[VerifyItem], Field(min_length=1, max_length=CALLS_MAX)]
    isolation: Isolation = "container"
    profile: Profile = "default"
    convert: Conversion = Field(
        default="none", description="As for execute: how values that are no JSON become JSON."
    )
    feedback_templates: FeedbackTemplates = FeedbackTemplates()


class VerifiedItem(_Response):
    """What one prediction was worth. ``verdict`` is null only where ``error`` says why."""

    id: str
    verdict: Verdict | None
    feedback: str | None = Field(
        default=None, description="Text for a model's next turn; null without verdict or not_run."
    )
    extracted: JSON = Field(
        default=None, description="The prediction as it was understood; null with no_answer."
    )
    executed_output: JSON = Field(
        default=None, description="What the function gave, where it was run and ended ok."
    )
    execution: Execution | None = Field(default=None, description="Null where nothing was run.")
    error: ErrorBody | None = None


class VerifyResponse(_Response):
    """Answer of ``POST /v1/verify``: one entry per item, in their order."""

    items: list[VerifiedItem]
    isolation: Isolation
    engine: str
    image: str


class ErrorBody(_Response):
    """Why there is no result: the caller's mistake (4xx) or our failure (429, 503)."""

    code: str
    message: str
    detail: JSON = None
    retryable: bool


class ErrorResponse(_Response):
    """The one shape of every answer that is not a success."""

    error: ErrorBody


class Health(_Response):
    """Answer of ``GET /healthz``: the process is alive."""

    status: Literal["ok"] = "ok"


class Readiness(_Response):
    """Answer of ``GET /readyz``: 200 when executions can run, 503 with the reason when not."""

    ready: bool
    reason: str | None = None


class Capabilities(_Response):
    """Answer of ``GET /v1/capabilities``: what this service permits and runs."""

    version: str
    engine: str
    image: str
    python: str = Field(description="Version of the interpreter that runs functions.")
    packages: dict[str, str] = Field(description="Importable distributions and their versions.")
    isolation: list[Isolation] = Field(description="Permitted levels, the default first.")
    profiles: list[Profile]
    concurrency: int = Field(description="Executions that run at once.")
    limits_default: dict[str, float]
    limits_max: dict[str, float]
    calls_max: int = CALLS_MAX
    body_bytes_max: int = BODY_BYTES_MAX
    json_depth_max: int = JSON_DEPTH_MAX
    key_concurrency_max: int | None = Field(
        default=None, description="Requests of one API key under way at once; null for no limit."
    )
    key_rate_per_s: float | None = Field(
        default=None, description="Requests of one API key a second; null for no limit."
    )
    key_burst_count: int | None = Field(
        default=None, description="Of these, how many at once after a pause."
    )
    weaker_than_docker: list[str] = Field(
        default_factory=list, description="What this engine protects less well than Docker."
    )


# Batches: one line a request, one line an answer


LineId: TypeAlias = Annotated[str, Field(max_length=1000)]
"""The caller's name for a line; answers come in any order and carry it."""


class ExecuteLine(ExecuteRequest):
    """A line of ``POST /v1/batch``: the body of ``/v1/execute``, and whose answer it gets."""

    id: LineId
    op: Literal["execute"]


class GenerateLine(GenerateRequest):
    """A line of ``POST /v1/batch``: the body of ``/v1/generate``, and whose answer it gets."""

    id: LineId
    op: Literal["generate"]


class VerifyLine(VerifyRequest):
    """A line of ``POST /v1/batch``: the body of ``/v1/verify``, and whose answer it gets."""

    id: LineId
    op: Literal["verify"]


BatchLine: TypeAlias = ExecuteLine | GenerateLine | VerifyLine
BATCH_LINES: dict[str, type[BatchLine]] = {
    "execute": ExecuteLine,
    "generate": GenerateLine,
    "verify": VerifyLine,
}
"""What a line of each ``op`` is."""


class ExecuteAnswer(ExecuteResponse):
    """The answer line of an ``ExecuteLine``."""

    id: str
    op: Literal["execute"] = "execute"


class GenerateAnswer(GenerateResponse):
    """The answer line of a ``GenerateLine``."""

    id: str
    op: Literal["generate"] = "generate"


class VerifyAnswer(VerifyResponse):
    """The answer line of a ``VerifyLine``."""

    id: str
    op: Literal["verify"] = "verify"


class FailedAnswer(_Response):
    """The answer line of a line that has no result."""

    id: str | None = Field(default=None, description="Left out where the line has none.")
    op: str | None = Field(default=None, description="Left out where the line has none.")
    line: int | None = Field(default=None, description="Its number in the request, from 1.")
    error: ErrorBody


BatchAnswer: TypeAlias = ExecuteAnswer | GenerateAnswer | VerifyAnswer | FailedAnswer
BATCH_ANSWERS: dict[str, type[ExecuteAnswer | GenerateAnswer | VerifyAnswer]] = {
    "execute": ExecuteAnswer,
    "generate": GenerateAnswer,
    "verify": VerifyAnswer,
}
"""What a line with a result is, by its ``op``; one with ``error`` is a ``FailedAnswer``."""
