"""The registry of operations: what a request can ask for, each entry with everything it takes.

Routes, lines of a batch, the OpenAPI document and the runtime are made from it. A new operation is
its models in ``wire``, a module beside this one, and an entry here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from pydantic import BaseModel

from execbox.wire import (
    ExecuteAnswer,
    ExecuteLine,
    ExecuteRequest,
    ExecuteResponse,
    Execution,
    GenerateAnswer,
    GenerateLine,
    GenerateRequest,
    GenerateResponse,
    ProgramRun,
    RunAnswer,
    RunLine,
    RunRequest,
    RunResponse,
    VerifyAnswer,
    VerifyLine,
    VerifyRequest,
    VerifyResponse,
)
from execbox_service.operations import execute, generate, policy, run, verify
from execbox_service.operations.backend import Backend
from execbox_service.scheduling.caller import Caller
from execbox_service.settings import Settings

__all__ = ["EXECUTE", "GENERATE", "OPERATIONS", "RUN", "VERIFY", "Operation"]

RequestT = TypeVar("RequestT", bound=BaseModel)
ResponseT = TypeVar("ResponseT", bound=BaseModel)
_RequestT_contra = TypeVar("_RequestT_contra", bound=BaseModel, contravariant=True)
_ResponseT_co = TypeVar("_ResponseT_co", bound=BaseModel, covariant=True)


class Perform(Protocol[_RequestT_contra, _ResponseT_co]):
    """What runs an operation. Raises RequestFailed; cancelling it ends its work."""

    def __call__(
        self, backend: Backend, request: _RequestT_contra, /, *, caller: Caller
    ) -> Awaitable[_ResponseT_co]: ...


@dataclass(frozen=True)
class Operation(Generic[RequestT, ResponseT]):
    """One thing that a request can ask for."""

    name: str
    """Its path is ``/v1/NAME``, its lines in a batch have ``op`` NAME."""
    summary: str
    description: str
    """For the OpenAPI document: what a caller must know that the schema cannot say."""
    request: type[RequestT]
    response: type[ResponseT]
    line: type[RequestT]
    """``request`` as a line of a batch."""
    answer: type[ResponseT]
    """``response`` as a line of a batch's answer."""
    permitted: Callable[[RequestT, Settings], RequestT]
    """The request with what it left out filled in, within what the operator permits. Raises
    CallerMistake."""
    perform: Perform[RequestT, ResponseT]
    executions_of: Callable[[ResponseT], Sequence[Execution] | Sequence[ProgramRun]]
    """The executions that the log counts of an answer."""

    @property
    def path(self) -> str:
        return f"/v1/{self.name}"


EXECUTE: Final = Operation(
    name="execute",
    summary="Run one function on many calls",
    description="""Answers 200 whatever the code did: each call's own outcome is its `status`.

    The body must be strict JSON: no duplicate keys, no NaN, at most 64 levels. Limits that are
    left out take their defaults, lowered to this service's maxima where those are lower.
    """,
    request=ExecuteRequest,
    response=ExecuteResponse,
    line=ExecuteLine,
    answer=ExecuteAnswer,
    permitted=policy.permitted_calls,
    perform=execute.execute,
    executions_of=execute.executions_of,
)
GENERATE: Final = Operation(
    name="generate",
    summary="Sample a function's inputs and keep the pairs that hold",
    description="""The same request gives the same pairs. Every draw that gave none is counted by
    its reason, with the first example of each.
    """,
    request=GenerateRequest,
    response=GenerateResponse,
    line=GenerateLine,
    answer=GenerateAnswer,
    permitted=policy.permitted_draws,
    perform=generate.generate,
    executions_of=generate.executions_of,
)
VERIFY: Final = Operation(
    name="verify",
    summary="Say what predictions are worth",
    description="""A verdict and feedback for every item, in their order.

    An output prediction is compared with the known output, or with what the function gives for
    the input; an input prediction is run. Where this service fails at an item, its verdict is null
    and its error says so; the others are not affected.
    """,
    request=VerifyRequest,
    response=VerifyResponse,
    line=VerifyLine,
    answer=VerifyAnswer,
    permitted=policy.permitted_items,
    perform=verify.verify,
    executions_of=verify.executions_of,
)

RUN: Final = Operation(
    name="run",
    summary="Run a whole program, once per case",
    description="""The program is the main module, with stdin, arguments and files. Answers 200
    whatever it did: how each case ended is its `status`, and what its output is worth its
    `verdict`.
    """,
    request=RunRequest,
    response=RunResponse,
    line=RunLine,
    answer=RunAnswer,
    permitted=policy.permitted_cases,
    perform=run.run,
    executions_of=run.executions_of,
)

OPERATIONS: Final[Mapping[str, Operation[Any, Any]]] = {
    operation.name: operation for operation in (EXECUTE, GENERATE, VERIFY, RUN)
}
"""Every operation by name. Their types differ, so what takes one of them names its own."""
