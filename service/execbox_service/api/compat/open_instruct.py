"""open-instruct's contract (AI2): ``/test_program``, ``/test_program_stdio`` and ``/health``.

Spoken by the code verifiers of open-instruct's RLVR training. Translation only:

======================== ==========================================================================
theirs                   here
======================== ==========================================================================
``program``, ``tests``   a call for each assert, in a process of its own: the program, then the
                         assert in its names. As there, it is not ``__main__``
``tests`` of ``_stdio``  a case of ``/v1/run`` each, compared here, line by line: the same but for
                         white space around them, or the same numbers. The program has the names and
                         the recursion limit that it has there
``max_execution_time``   ``wall_time_s``, and as much ``cpu_time_s``, of each test; of ``_stdio``
                         rounded up to whole seconds
``results``              1 where the assert was reached and held, or the output was right; else 0
``runtimes``             seconds: of the assert, or of the program; -1.0 without a result
======================== ==========================================================================

A program that ends itself, however, has not reached its assert: what says that it was reached comes
back from the end of the call, and not from the way in which the process ended. What the program
rebinds (``exec``, ``compile``, builtins) is not what its assert is run with.

A failure of ours is a 503 and never a 0 in ``results``. The client waits ``max(30, min(300,
max_execution_time * 10))`` seconds; it sends no POST again, and takes a failed one for the score 0.
So it is never refused at once, and waits here as long as it does by itself, or can be kept waiting.
"""

from __future__ import annotations

import math
import secrets
from http import HTTPStatus
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from execbox.wire import ErrorCode, Execution, ProgramRun, ProgramStatus, Status
from execbox_service.api.compat.contract import Compat, Path
from execbox_service.api.compat.exchange import Exchange
from execbox_service.api.compat.fastapi_forms import DETAIL_SCHEMA, AnyNumber, detail_response
from execbox_service.api.compat.health import health
from execbox_service.api.compat.open_instruct_programs import (
    program_and_assert,
    program_with_names,
)
from execbox_service.api.compat.open_instruct_tests import StdioTest, assert_tests, stdio_tests
from execbox_service.api.compat.programs import granted, isolation_of
from execbox_service.failures import CallerMistake, RequestFailed, ServiceFailure
from execbox_service.json_steps import LARGE_BYTES
from execbox_service.judge.stdout_comparison import same_lines
from execbox_service.operations.registry import EXECUTE, RUN
from execbox_service.scheduling.offload import in_turns, read_aside

__all__ = ["OPEN_INSTRUCT"]

_SENDING_S: Final = 1.0
_SHORTEST_S: Final = 0.05
_NO_RUNTIME: Final = -1.0


class TestRequest(BaseModel):
    """Body of both paths."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    program: str
    tests: Any = Field(
        description="Of /test_program: texts of asserts; of /test_program_stdio: objects with "
        "input and output. Or such an array as JSON, or as a compressed pickle in base64."
    )
    max_execution_time: Annotated[AnyNumber, Field(gt=0)] = Field(
        default=1.0,
        description="Seconds for each test; with stdin rounded up to whole ones.",
    )


class TestAnswer(BaseModel):
    """Answer of both paths: one entry for each test, in their order."""

    results: list[int]
    runtimes: list[float]


async def _test_program(exchange: Exchange) -> TestAnswer:
    request = await exchange.document(TestRequest)
    tests = await read_aside(_length(request.tests), assert_tests, request.tests)
    if not tests:
        return TestAnswer(results=[], runtimes=[])
    mark = secrets.token_hex(16)
    entry_point = f"test_{secrets.token_hex(8)}"
    document = {
        "function": {
            "code": program_and_assert(request.program, tests, entry_point=entry_point),
            "entry_point": entry_point,
        },
        "calls": [{"args": [test, mark]} for test in tests],
        **_of_request(exchange, request, of_program=False),
    }
    patience_s = _patience_s(exchange, request)
    answer = await exchange.within(patience_s, exchange.perform(EXECUTE, document))
    judged = [_judged(execution, mark=mark) for execution in answer.executions]
    return TestAnswer(
        results=[result for result, _ in judged], runtimes=[runtime for _, runtime in judged]
    )


async def _test_program_stdio(exchange: Exchange) -> TestAnswer:
    request = await exchange.document(TestRequest)
    tests = await read_aside(_length(request.tests), stdio_tests, request.tests)
    if not tests:
        return TestAnswer(results=[], runtimes=[])
    if "\x00" in request.program:
        # Python compiles no such source.
        return TestAnswer(results=[0] * len(tests), runtimes=[_NO_RUNTIME] * len(tests))
    _refuse_what_cannot_be_compared(tests, bytes_max=exchange.settings.stdout_bytes_max)
    document = {
        "program": {"code": program_with_names(request.program)},
        "cases": [{"stdin": given} for given, _ in tests],
        **_of_request(exchange, request, of_program=True),
    }
    patience_s = _patience_s(exchange, request)
    answer = await exchange.within(patience_s, exchange.perform(RUN, document))
    pairs = zip(answer.runs, tests, strict=True)
    judged = await in_turns(_judged_output, pairs, is_large=_is_large)
    return TestAnswer(
        results=[result for result, _ in judged], runtimes=[runtime for _, runtime in judged]
    )


def _patience_s(exchange: Exchange, request: TestRequest) -> float:
    """How long its client waits."""
    own_s = max(30.0, min(300.0, request.max_execution_time * 10))
    return exchange.patience_s(own_s) - _SENDING_S


def _of_request(exchange: Exchange, request: TestRequest, *, of_program: bool) -> dict[str, Any]:
    """Limits and level; and from now on the request waits for its first slot as long as one test
    can then still take all its time."""
    patience_s = _patience_s(exchange, request)
    # As there: programs have whole seconds.
    time_s = math.ceil(request.max_execution_time) if of_program else request.max_execution_time
    exchange.waiting_in_any_case(max(1.0, patience_s - time_s))
    limits = dict(granted(exchange.settings, time_s=time_s).limits)
    if not of_program:
        del limits["files_bytes"]
        limits["stdout_bytes"] = 0
    return {"limits": limits, "isolation": isolation_of(exchange.settings)}


def _length(tests: object) -> int:
    return len(tests) if isinstance(tests, str) else 0


# Asserts


def _judged(execution: Execution, *, mark: str) -> tuple[int, float]:
    """Result and runtime. Raises ServiceFailure."""
    if execution.status is Status.NOT_RUN:
        raise _no_time()
    match execution.output if execution.status is Status.OK else None:
        case [said, int() | float() as runtime_s] if said == mark:
            return 1, max(0.0, float(runtime_s))
    return 0, _NO_RUNTIME


# Programs that read and print


def _refuse_what_cannot_be_compared(tests: list[StdioTest], *, bytes_max: int) -> None:
    for index, (_, expected) in enumerate(tests):
        if len(expected.encode()) > bytes_max:
            problem = (
                f"tests[{index}].output: longer than the {bytes_max} bytes of stdout that this "
                "service keeps, so no program could pass it"
            )
            detail = {"problems": [problem], "problem_count": 1}
            raise CallerMistake(ErrorCode.INVALID_REQUEST, problem, detail=detail)


def _judged_output(each: tuple[ProgramRun, StdioTest]) -> tuple[int, float]:
    """Result and runtime. Raises ServiceFailure."""
    run, (_, expected) = each
    if run.status is ProgramStatus.NOT_RUN:
        raise _no_time()
    if run.status is not ProgramStatus.OK:
        return 0, _NO_RUNTIME
    right = not run.truncated.stdout and same_lines(run.stdout, expected)
    return int(right), run.usage.wall_time_s if run.usage is not None else _NO_RUNTIME


def _is_large(each: tuple[ProgramRun, StdioTest]) -> bool:
    run, _ = each
    return len(run.stdout) >= LARGE_BYTES


def _no_time() -> ServiceFailure:
    return ServiceFailure(ErrorCode.NOTHING_RUN, "there was no time to run all tests")


def _failure(failure: RequestFailed) -> Response:
    status = HTTPStatus.SERVICE_UNAVAILABLE if isinstance(failure, ServiceFailure) else None
    return detail_response(failure, status=status)


OPEN_INSTRUCT: Final = Compat(
    name="open-instruct",
    failure_form=_failure,
    failure_schema=DETAIL_SCHEMA,
    statuses={
        422: "The body is JSON but no acceptable request; `detail` names field and value.",
        503: "A failure of the service, or no room: never a 0 in `results`.",
    },
    paths=(
        Path(
            "POST",
            "/test_program",
            _test_program,
            summary="open-instruct: run asserts about a program",
            request=TestRequest,
            response=TestAnswer,
        ),
        Path(
            "POST",
            "/test_program_stdio",
            _test_program_stdio,
            summary="open-instruct: run a program on inputs and compare what it prints",
            request=TestRequest,
            response=TestAnswer,
        ),
        Path("GET", "/health", health, summary="Whether code can be run"),
    ),
)
