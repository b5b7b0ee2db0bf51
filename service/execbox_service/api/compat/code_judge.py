"""code-judge's contract: ``/run``, ``/judge``, their batches, ``/status`` and ``/ping``.

Spoken by code-judge's own ``JudgeClient`` and the trainers that use it. Translation only:

====================== ============================================================================
theirs                 here
====================== ============================================================================
``type``               ``python``; ``cpp`` where the image has it; anything else, ``math`` too, is
                       ``invalid_input``
``solution``, ``input`` a program and its stdin
``expected_output``    compared here, but for white space at both ends; without it ``success`` is
                       ``run_success``
``run_success``        exit code 0
``cost``               seconds of running
``stdout``, ``stderr`` the first 1,000 characters; compared is what there is
``reason``             ``''`` for what the code did; ``worker_timeout``: 10 s are over, which is the
                       contract's own limit; ``queue_timeout``: no room, send it again;
                       ``internal_error``: a failure of ours; ``invalid_input``
``queue``              requests that wait for a slot
``num_workers``        slots
====================== ============================================================================

A batch is answered whole, in its order. The client sends ``queue_timeout`` again and takes every
other reason for an answer: who trains on it leaves out those with ``internal_error``.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from execbox.wire import ErrorCode, Language, ProgramRun, ProgramStatus
from execbox_service.api.compat.contract import Compat, Path
from execbox_service.api.compat.exchange import Exchange
from execbox_service.api.compat.fastapi_forms import DETAIL_SCHEMA, detail_response
from execbox_service.api.compat.programs import granted, isolation_of
from execbox_service.failures import CallerMistake, Overloaded, RequestFailed, ServiceFailure
from execbox_service.operations.registry import RUN

__all__ = ["CODE_JUDGE"]

Reason = Literal["", "internal_error", "worker_timeout", "queue_timeout", "invalid_input"]
_TIME_LIMIT_S: Final = 10.0
_SHOWN_CHARS_MAX: Final = 1000
_STDOUT_BYTES_MIN: Final = 64 * 1024
_SUBMISSIONS_MAX: Final = 10_000
_AT_ONCE_PER_SLOT: Final = 2
_AGAIN_S: Final = 300.0
"""Its client waits an hour, and takes ``internal_error`` for an answer."""


class _Request(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Submission(_Request):
    """Body of ``POST /run`` and ``/judge``."""

    sub_id: str | None = None
    type: str = Field(description="python; cpp where the image has it.")
    solution: str
    input: str | None = None
    expected_output: str | None = None


class SubmissionBatch(_Request):
    """Body of the paths that end in ``batch``."""

    sub_id: str | None = None
    type: Literal["batch"] = "batch"
    submissions: Annotated[list[Submission], Field(min_length=1, max_length=_SUBMISSIONS_MAX)]


class JudgeResult(BaseModel):
    """Answer of ``POST /judge``."""

    sub_id: str
    success: bool
    run_success: bool
    cost: float
    reason: Reason = ""


class SubmissionResult(JudgeResult):
    """Answer of ``POST /run``."""

    stdout: str | None = None
    stderr: str | None = None


class BatchResult(BaseModel):
    """Answer of the batches of ``/run``."""

    sub_id: str
    results: list[SubmissionResult]


class JudgeBatchResult(BaseModel):
    """Answer of the batches of ``/judge``."""

    sub_id: str
    results: list[JudgeResult]


async def _run(exchange: Exchange) -> SubmissionResult:
    submission = await exchange.document(Submission)
    exchange.trying_again_for(_AGAIN_S)
    return await exchange.watched(_result(exchange, submission))


async def _judge(exchange: Exchange) -> JudgeResult:
    return _verdict_only(await _run(exchange))


async def _run_batch(exchange: Exchange) -> BatchResult:
    batch = await exchange.document(SubmissionBatch)
    exchange.trying_again_for(_AGAIN_S)
    results = await exchange.watched(_results(exchange, batch.submissions))
    return BatchResult(sub_id=_id(batch.sub_id), results=results)


async def _judge_batch(exchange: Exchange) -> JudgeBatchResult:
    ran = await _run_batch(exchange)
    return JudgeBatchResult(
        sub_id=ran.sub_id, results=[_verdict_only(each) for each in ran.results]
    )


def _verdict_only(result: SubmissionResult) -> JudgeResult:
    return JudgeResult(**result.model_dump(exclude={"stdout", "stderr"}))


def _id(given: str | None) -> str:
    return given or str(uuid.uuid4())


async def _results(exchange: Exchange, submissions: Sequence[Submission]) -> list[SubmissionResult]:
    """One for each, in their order; some under way at once, in a lane of the batch's own."""
    exchange.in_lane_of_its_own("long-batch")
    room = asyncio.Semaphore(_AT_ONCE_PER_SLOT * exchange.settings.slot_count)

    async def one(submission: Submission) -> SubmissionResult:
        async with room:
            return await _result(exchange, submission)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(submission)) for submission in submissions]
    return [task.result() for task in tasks]


async def _result(exchange: Exchange, submission: Submission) -> SubmissionResult:
    """Whatever became of it, as the contract tells it."""
    try:
        if submission.type not in exchange.languages & set(get_args(Language)):
            return _without_run(submission, "invalid_input")
        if "\x00" in submission.solution and submission.type == "python":
            return _without_run(submission, "")
        document = _document(exchange, submission)
        (run,) = (await exchange.work(RUN, document)).runs
    except Overloaded:
        return _without_run(submission, "queue_timeout")
    except ServiceFailure:
        return _without_run(submission, "internal_error")
    except CallerMistake as mistake:
        # What all of a batch holds together is not the doing of the one that found no room.
        crowded = mistake.code is ErrorCode.ANSWER_TOO_LARGE
        return _without_run(submission, "internal_error" if crowded else "invalid_input")
    return _of_run(run, submission)


def _without_run(submission: Submission, reason: Reason) -> SubmissionResult:
    return SubmissionResult(
        sub_id=_id(submission.sub_id), success=False, run_success=False, cost=0.0, reason=reason
    )


def _document(exchange: Exchange, submission: Submission) -> dict[str, Any]:
    """Raises CallerMistake for what no program could print."""
    limits = dict(granted(exchange.settings, time_s=_TIME_LIMIT_S).limits)
    expected_bytes = len((submission.expected_output or "").encode())
    if expected_bytes > limits["stdout_bytes"]:
        raise CallerMistake(ErrorCode.INVALID_REQUEST, "expected_output is longer than is kept")
    # No more than is compared: a batch holds what all of its programs printed.
    wanted_bytes = max(_STDOUT_BYTES_MIN, 2 * expected_bytes)
    limits["stdout_bytes"] = min(limits["stdout_bytes"], wanted_bytes)
    return {
        "program": {
            "code": submission.solution,
            "language": submission.type,
            "stdin": submission.input,
        },
        "limits": limits,
        "isolation": isolation_of(exchange.settings),
    }


def _of_run(run: ProgramRun, submission: Submission) -> SubmissionResult:
    if run.status is ProgramStatus.NOT_RUN:
        return _without_run(submission, "internal_error")
    run_success = run.status is ProgramStatus.OK
    success, expected = run_success, submission.expected_output
    if expected is not None:
        same = run.stdout.strip() == expected.strip() and not run.truncated.stdout
        success = run_success and same
    return SubmissionResult(
        sub_id=_id(submission.sub_id),
        success=success,
        run_success=run_success,
        cost=run.usage.wall_time_s if run.usage is not None else 0.0,
        stdout=run.stdout[:_SHOWN_CHARS_MAX],
        stderr=run.stderr[:_SHOWN_CHARS_MAX],
        reason="worker_timeout" if run.status is ProgramStatus.TIMEOUT else "",
    )


async def _status(exchange: Exchange) -> Response:
    runtime = exchange.services.runtime
    told = {"queue": runtime.waiting_count, "num_workers": exchange.settings.slot_count}
    return Response(json.dumps(told), media_type="application/json")


async def _ping(_exchange: Exchange) -> Response:
    return Response(json.dumps("pong"), media_type="application/json")


def _failure(failure: RequestFailed) -> Response:
    """Of a request that never came to its submissions."""
    status = HTTPStatus.SERVICE_UNAVAILABLE if isinstance(failure, ServiceFailure) else None
    return detail_response(failure, status=status)


def _batch(path: str, *, judged: bool) -> Path:
    return Path(
        "POST",
        path,
        _judge_batch if judged else _run_batch,
        summary=f"code-judge: {'judge' if judged else 'run'} many programs",
        request=SubmissionBatch,
        response=JudgeBatchResult if judged else BatchResult,
    )


CODE_JUDGE: Final = Compat(
    name="code-judge",
    failure_form=_failure,
    failure_schema=DETAIL_SCHEMA,
    statuses={
        422: "The body is JSON but no acceptable request; `detail` names field and value.",
        503: "A failure of the service, or no room, before any submission was looked at.",
    },
    paths=(
        Path(
            "POST",
            "/run",
            _run,
            summary="code-judge: run a program",
            request=Submission,
            response=SubmissionResult,
        ),
        Path(
            "POST",
            "/judge",
            _judge,
            summary="code-judge: run a program and say whether it printed what it should",
            request=Submission,
            response=JudgeResult,
        ),
        _batch("/run/batch", judged=False),
        _batch("/run/long-batch", judged=False),
        _batch("/judge/batch", judged=True),
        _batch("/judge/long-batch", judged=True),
        Path("GET", "/status", _status, summary="code-judge: how busy the service is"),
        Path("GET", "/ping", _ping, summary="code-judge: whether the service is there"),
    ),
)
