"""From a verify request to its verdicts: extracting, running, comparing, feedback, in that order.

The deciding is done by pure functions in ``judge/``, the running by ``execute``. Expected outputs
stay here: what goes into a container is the function and the inputs to run it on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from execbox.wire import (
    Call,
    ErrorBody,
    ErrorCode,
    ExecuteRequest,
    Execution,
    Function,
    Limits,
    Status,
    Verdict,
    VerifiedItem,
    VerifyItem,
    VerifyRequest,
    VerifyResponse,
)
from execbox_service.answers.extraction import NoAnswer, extract
from execbox_service.failures import CallerMistake, Overloaded, RequestFailed, ServiceFailure
from execbox_service.json_steps import encode_in_steps, is_light
from execbox_service.judge.comparison import ComparisonTooLong, equal
from execbox_service.judge.feedback import Judged, feedback, output_text, value_text
from execbox_service.operations.backend import Backend
from execbox_service.operations.execute import execute
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.offload import in_turns

logger = logging.getLogger(__name__)

_ERROR_ITEM_BYTES = 1500
"""An item that only says why there is none, with the longest id."""
_LONG_RESPONSE_CHARS = 16 * 1024
"""To find the answer in a longer one may take tens of milliseconds."""
_ITEMS_PER_JOB_MAX = 50
"""Items that share a sandbox. More would leave slots idle that could share the work."""


@dataclass(slots=True)
class _Prediction:
    """One item on its way from what was asked to what it was worth."""

    asked: VerifyItem
    value: Any = None
    missing: str | None = None
    """Why there is no value."""
    execution: Execution | None = None
    error: ErrorBody | None = None

    @property
    def must_run(self) -> bool:
        """Whether the verdict needs an execution."""
        known = self.asked.kind == "output" and "output" in self.asked.model_fields_set
        return self.missing is None and not known

    @property
    def run_on(self) -> Any:
        """The input that the verdict is about."""
        return self.value if self.asked.kind == "input" else self.asked.input


async def verify(backend: Backend, request: VerifyRequest, *, caller: Caller) -> VerifyResponse:
    """A verdict for every item, in order. Raises Overloaded where one of the executions was refused
    for want of room: then no verdict is kept, whatever else has run.

    Any other failure of ours is tried again once, and then is the ``error`` of the items it
    concerns.
    """
    return await _Verification(backend, request, caller=caller).run()


def executions_of(response: VerifyResponse) -> Sequence[Execution]:
    """What the log counts of an answer."""
    return [item.execution for item in response.items if item.execution is not None]


class _Verification:
    """One verify request on its way."""

    def __init__(self, backend: Backend, request: VerifyRequest, *, caller: Caller) -> None:
        self._backend = backend
        self._request = request
        self._caller = caller
        errors_bytes = _ERROR_ITEM_BYTES * len(request.items)
        self._left_bytes = backend.answer_bytes_max - errors_bytes
        """Of the answer, for items that are more than an error."""

    async def run(self) -> VerifyResponse:
        # Each of these is milliseconds at worst; thousands are not, and others wait.
        predictions = await in_turns(_predicted, self._request.items, is_large=_is_long)
        await self._execute_all(await _jobs([each for each in predictions if each.must_run]))
        items = await in_turns(self._verified, predictions, is_large=_is_large)
        facts = self._backend.facts
        return VerifyResponse(
            items=items,
            isolation=self._request.isolation,
            engine=facts.engine,
            image=facts.image,
        )

    # Running

    async def _execute_all(self, jobs: deque[list[_Prediction]]) -> None:
        """As many jobs at once as there are slots.

        The first job waits where the key's single requests do and may be refused, which decides
        for all. The others then wait in a lane of the request's own, so that the key's single
        requests are served between them.
        """
        if not jobs:
            return
        first, rest = jobs.popleft(), self._caller.in_lane_of_its_own("verify")
        workers = min(len(jobs), self._backend.admission.slot_count - 1)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._work(jobs, rest, first=first))
                for _ in range(workers):
                    group.create_task(self._work(jobs, rest))
        except BaseExceptionGroup as failures:
            refused, others = failures.split(Overloaded)
            if refused is None or others is not None:
                raise
            raise refused.exceptions[0] from failures

    async def _work(
        self,
        jobs: deque[list[_Prediction]],
        caller: Caller,
        *,
        first: list[_Prediction] | None = None,
    ) -> None:
        if first is not None:
            await self._execute(first, self._caller)
        while jobs:
            await self._execute(jobs.popleft(), caller)

    async def _execute(self, job: list[_Prediction], caller: Caller) -> None:
        try:
            await self._execute_once(job, caller)
        except Overloaded:
            raise
        except CallerMistake:
            # What they gave is too much together: one after the other, some of them fit.
            for each in job:
                await self._execute_again([each], caller)
        except ServiceFailure as failure:
            logger.warning("verify runs %d items again: %s", len(job), failure.message)
            # One of them may be what it was lost to, and the others are not to suffer for it.
            alone = failure.code is ErrorCode.SANDBOX_LOST
            for part in [[each] for each in job] if alone else [job]:
                await self._execute_again(part, caller)

    async def _execute_again(self, job: list[_Prediction], caller: Caller) -> None:
        try:
            await self._execute_once(job, caller)
        except RequestFailed as failure:
            for prediction in job:
                if prediction.execution is None:
                    prediction.error = _error(failure)

    async def _execute_once(self, job: list[_Prediction], caller: Caller) -> None:
        """Run a job's items, in as many sandboxes as it takes: one job's time is no verdict."""
        waiting = [each for each in job if each.execution is None]
        while waiting:
            request = await self._execute_request(waiting)
            response = await execute(self._backend, request, caller=caller)
            for prediction, execution in zip(waiting, response.executions, strict=True):
                if execution.status is not Status.NOT_RUN:
                    prediction.execution = execution
            still = [each for each in waiting if each.execution is None]
            if len(still) == len(waiting):
                raise ServiceFailure(
                    ErrorCode.NOTHING_RUN,
                    "none of these items was run in a whole job; send them again",
                )
            waiting = still

    async def _execute_request(self, job: Sequence[_Prediction]) -> ExecuteRequest:
        asked = job[0].asked
        if asked.function is None:
            raise ValueError("an item without a function cannot be run")
        return ExecuteRequest(
            function=asked.function,
            calls=await in_turns(_call, (each.run_on for each in job), is_large=_is_heavy),
            limits=asked.limits,
            isolation=self._request.isolation,
            profile=self._request.profile,
            convert=self._request.convert,
        )

    # Judging

    def _verified(self, prediction: _Prediction) -> VerifiedItem:
        execution, error = prediction.execution, prediction.error
        verdict = None
        if error is None:
            try:
                verdict = _verdict(prediction)
            except ComparisonTooLong:
                error = _too_long()
        ran_ok = execution is not None and execution.status is Status.OK
        item = VerifiedItem(
            id=prediction.asked.id,
            verdict=verdict,
            feedback=self._feedback(prediction, verdict) if verdict is not None else None,
            extracted=prediction.value,
            executed_output=execution.output if execution is not None and ran_ok else None,
            execution=execution,
            error=error,
        )
        return self._within_bounds(item)

    def _within_bounds(self, item: VerifiedItem) -> VerifiedItem:
        """The item, or why there is no room for it: then the others are not lost with it."""
        size_bytes = _text_bytes(item)
        if size_bytes > self._left_bytes:
            return VerifiedItem(id=item.id, verdict=None, error=self._no_room(size_bytes))
        if self._caller.hold is not None:
            too_large = ErrorCode.ANSWER_TOO_LARGE
            try:
                self._caller.hold.grow(2 * size_bytes, too_large=too_large, what="the answer")
            except RequestFailed as failure:
                return VerifiedItem(id=item.id, verdict=None, error=_error(failure))
        self._left_bytes -= size_bytes
        return item

    def _no_room(self, size_bytes: int) -> ErrorBody:
        bytes_max = self._backend.answer_bytes_max
        return ErrorBody(
            code=ErrorCode.ANSWER_TOO_LARGE,
            message=f"this item takes {size_bytes} bytes, an answer has at most {bytes_max}, and "
            "the items before it have left fewer; send it with fewer others, or with a shorter "
            "feedback template",
            detail={"answer_bytes_max": bytes_max},
            retryable=False,
        )

    def _feedback(self, prediction: _Prediction, verdict: Verdict) -> str | None:
        asked, execution = prediction.asked, prediction.execution
        given = asked.model_fields_set
        expected = value_text(asked.output) if "output" in given else output_text(execution)
        run_on = asked.kind == "input" and prediction.missing is None
        judged = Judged(
            verdict=verdict,
            kind=asked.kind,
            limits=asked.limits,
            prediction=prediction.value,
            input_text=value_text(prediction.run_on) if run_on or "input" in given else None,
            expected_text=expected,
            reason=prediction.missing,
            function=asked.function,
            execution=execution,
        )
        return feedback(judged, self._request.feedback_templates)


def _is_large(prediction: _Prediction) -> bool:
    execution = prediction.execution
    output, told = (execution.output, _told(execution)) if execution is not None else (None, "")
    asked = prediction.asked
    return not is_light((prediction.value, asked.input, asked.output, output, told))


def _is_heavy(value: Any) -> bool:
    return not is_light((value,))


def _is_long(asked: VerifyItem) -> bool:
    """Whether finding the answer takes so long that it is done beside the event loop."""
    return asked.response is not None and len(asked.response) > _LONG_RESPONSE_CHARS


def _text_bytes(item: VerifiedItem) -> int:
    """How long an item is in the answer, give or take what is not ASCII."""
    told = _told(item.execution) if item.execution is not None else ""
    large = (item.feedback, item.extracted, item.executed_output)
    if is_light((*large, told)):
        return len(item.model_dump_json())
    texts = (encode_in_steps(value, ensure_ascii=False) for value in (*large, told))
    # What was executed is there twice: as the item's output and as that of its execution.
    twice = sum(map(len, encode_in_steps(item.executed_output, ensure_ascii=False)))
    return _ERROR_ITEM_BYTES + twice + sum(map(len, chain.from_iterable(texts)))


def _told(execution: Execution) -> str:
    """Everything of an execution, beside its output, whose length is up to the code."""
    error = execution.error
    texts = [execution.stdout, execution.stderr, execution.output_text]
    texts += [error.type, error.message, error.traceback] if error is not None else []
    return "".join(text for text in texts if text)


def _predicted(asked: VerifyItem) -> _Prediction:
    if asked.response is None:
        return _Prediction(asked, value=asked.prediction)
    found = extract(asked.response, kind=asked.kind, rule=asked.extraction)
    if isinstance(found, NoAnswer):
        return _Prediction(asked, missing=found.reason)
    return _Prediction(asked, value=found.value)


async def _jobs(predictions: Sequence[_Prediction]) -> deque[list[_Prediction]]:
    """Those that share function and limits, together, up to what one job takes."""
    groups: dict[tuple[Function | None, Limits], list[_Prediction]] = {}

    def group(prediction: _Prediction) -> None:
        key = (prediction.asked.function, prediction.asked.limits)
        groups.setdefault(key, []).append(prediction)

    await in_turns(group, predictions)
    return deque(
        group[start : start + _ITEMS_PER_JOB_MAX]
        for group in groups.values()
        for start in range(0, len(group), _ITEMS_PER_JOB_MAX)
    )


def _call(value: Any) -> Call:
    """An object is the keyword arguments; anything else is the one argument."""
    return Call(kwargs=value) if isinstance(value, dict) else Call(args=[value])


def _verdict(prediction: _Prediction) -> Verdict:
    """Raises ComparisonTooLong."""
    asked, execution = prediction.asked, prediction.execution
    if prediction.missing is not None:
        return Verdict.NO_ANSWER
    if execution is not None:
        if execution.status is not Status.OK:
            return Verdict(execution.status.value)
        if execution.output_text is not None:
            # NaN or an infinity: equal to nothing.
            return Verdict.INCORRECT
    output = execution.output if execution is not None else None
    if asked.kind == "input":
        predicted, expected = output, asked.output
    else:
        known = "output" in asked.model_fields_set
        predicted, expected = prediction.value, asked.output if known else output
    same = equal(predicted, expected, comparator=asked.comparator, tolerance=asked.tolerance)
    return Verdict.CORRECT if same else Verdict.INCORRECT


def _error(failure: RequestFailed) -> ErrorBody:
    return ErrorBody(code=failure.code, message=failure.message, retryable=failure.retryable)


def _too_long() -> ErrorBody:
    return ErrorBody(
        code=ErrorCode.COMPARISON_TOO_LONG,
        message="the two outputs have more members than can be compared in the time one item may "
        "take; compare smaller values",
        retryable=False,
    )
