"""What is run and within which bounds: a function, one call of it, its limits."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from execbox.wire.fields import JSON, EntryPoint, Request, Seconds, Text, exactly_one_of
from execbox.wire.vocabularies import Prelude

__all__ = [
    "Call",
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


def _as_list(value: object) -> object:
    # Of Python's callers; from JSON only lists come.
    return list(value) if isinstance(value, tuple) else value


class Call(Request):
    """One set of arguments: exactly one of ``kwargs``, ``args`` and ``expression``."""

    model_config = ConfigDict(json_schema_extra=exactly_one_of("kwargs", "args", "expression"))

    kwargs: dict[str, JSON] | None = Field(default=None, description="Keyword arguments.")
    args: Annotated[list[JSON], BeforeValidator(_as_list)] | None = Field(
        default=None, description="Positional arguments."
    )
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


class Limits(Request):
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
    job_time_s: Annotated[Seconds, Field(ge=1, le=3600)] = Field(
        default=300.0,
        description="Seconds for the whole job, from its first execution; calls after it are "
        "not_run.",
    )
