"""What is run and within which bounds: a function, one call of it, its limits."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, Field, PlainValidator, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from execbox.wire.content import Content
from execbox.wire.fields import JSON, EntryPoint, Request, Seconds, Text, exactly_one_of
from execbox.wire.vocabularies import Prelude

__all__ = [
    "Call",
    "ExecutionLimits",
    "Function",
    "Limits",
]


class Function(Request):
    """Python source and the name of its entry point."""

    code: Text = Field(description="Python 3.11 source. Runs as a module that is not __main__.")
    entry_point: EntryPoint = "main_solution"
    prelude: Prelude = Field(
        default="none",
        description="codeio binds the names LeetCode-style code takes for granted before the "
        "source runs: typing, collections, itertools, functools, math, heapq, bisect, operator, "
        "re, string, random, copy, datetime, json, and numpy as np.",
    )


_COPIED_AT_ONCE = 100_000


def _arguments_by_name(value: object) -> dict[str, JSON]:
    # By pydantic's own validator, a million of them took 0.6 s in one step, and the service stood
    # still meanwhile (measured).
    if not isinstance(value, dict):
        raise PydanticCustomError("dict_type", "Input should be a valid dictionary")
    for name in value:
        if not isinstance(name, str):
            raise ValueError(f"names of arguments are strings; {name!r:.60} is none")
    return dict(value)


def _arguments_in_order(value: object) -> list[JSON]:
    # Tuples are of Python's callers; from JSON only lists come.
    if not isinstance(value, list | tuple):
        raise PydanticCustomError("list_type", "Input should be a valid list")
    copy: list[JSON] = []
    # Millions of them in one step take too long as well.
    for start in range(0, len(value), _COPIED_AT_ONCE):
        copy += value[start : start + _COPIED_AT_ONCE]
    return copy


_ByName = Annotated[
    dict[str, JSON],
    PlainValidator(_arguments_by_name),
    WithJsonSchema({"type": "object", "additionalProperties": True}),
]
_InOrder = Annotated[
    list[JSON],
    PlainValidator(_arguments_in_order),
    WithJsonSchema({"type": "array", "items": {}}),
]


class Call(Request):
    """One set of arguments: exactly one of ``kwargs``, ``args`` and ``expression``; and stdin."""

    model_config = ConfigDict(json_schema_extra=exactly_one_of("kwargs", "args", "expression"))

    kwargs: _ByName | None = Field(default=None, description="Keyword arguments.")
    args: _InOrder | None = Field(default=None, description="Positional arguments.")
    expression: Text | None = Field(
        default=None,
        description="A Python expression evaluated in the function's namespace, inside the job.",
    )
    stdin: Content | None = Field(
        default=None,
        description="What is read through input(), sys.stdin and open(0); null is an empty stdin.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [
            name for name in ("kwargs", "args", "expression") if getattr(self, name) is not None
        ]
        if len(given) != 1 or self.model_fields_set - {"stdin"} != set(given):
            raise ValueError(
                "give exactly one of kwargs (object), args (array), expression (string)"
            )
        return self


class ExecutionLimits(Request):
    """What one execution may use. The operator may lower the maxima that stand here."""

    cpu_time_s: Annotated[Seconds, Field(ge=0.01, le=60)] = Field(
        default=5.0, description="Seconds of CPU time, of all threads; this one decides."
    )
    wall_time_s: Annotated[Seconds, Field(ge=0.05, le=120)] = Field(
        default=10.0, description="Seconds that pass, waits for a core not counted."
    )
    memory_mb: Annotated[int, Field(ge=16, le=4096)] = Field(
        default=512, description="Mebibytes of memory."
    )
    output_bytes: Annotated[int, Field(ge=1, le=16 * 1024 * 1024)] = Field(
        default=1024 * 1024, description="The longest output, as JSON text."
    )
    stdout_bytes: Annotated[int, Field(ge=0, le=1024 * 1024)] = Field(
        default=64 * 1024, description="What is kept of stdout and of stderr, each."
    )


class Limits(ExecutionLimits):
    """What a job may use: each of its executions, and all of them together."""

    job_time_s: Annotated[Seconds, Field(ge=1, le=3600)] = Field(
        default=300.0,
        description="Seconds for the whole job, from its first execution; calls after it are "
        "not_run.",
    )
