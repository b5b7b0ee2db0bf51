"""The text of an answer: what pydantic writes, in pieces, and no longer than permitted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from execbox.wire import (
    ErrorCode,
    ExecuteResponse,
    Execution,
    GenerateResponse,
    Pair,
    RejectedExample,
    Status,
    Verdict,
    VerifiedItem,
    VerifyResponse,
)
from execbox_service.api.answer_text import answer_pieces
from execbox_service.api.routes import written
from execbox_service.failures import CallerMistake, Overloaded
from execbox_service.scheduling.memory import Memory
from execbox_service.settings import Settings
from tests.waits import WAIT_MAX_S, collector_at_rest, longest_wait

LARGE: dict[str, Any] = {
    "text": "x" * 100_000 + 'é😀\n"',
    "arrays": [[]] * 50_000,
    "object": {f"k{n}": [n, 0.5, None, True] for n in range(20_000)},
    "deep": [[[[{"a": [1] * 30_000}]]]],
}
COMMON: dict[str, Any] = {"isolation": "container", "engine": "fake", "image": "i"}


def executed(*outputs: Any) -> ExecuteResponse:
    executions = [Execution(status=Status.OK, output=output) for output in outputs]
    return ExecuteResponse(executions=executions, queue_time_s=0.25, **COMMON)


def verified(extracted: Any) -> VerifiedItem:
    return VerifiedItem(id="a", verdict=Verdict.CORRECT, extracted=extracted)


@pytest.mark.parametrize("output", [1, None, *LARGE.values()], ids=["small", "null", *LARGE])
def test_pieces_of_an_answer_are_its_json(output: Any) -> None:
    """Together they are what the model is, whatever in it is large."""
    answers = [
        executed(output, 1),
        # More models than are written at once, and what is large is in one of them.
        VerifyResponse(items=[verified(1)] * 60 + [verified(output)], **COMMON),
        GenerateResponse(
            pairs=[Pair(input={"a": output}, output=output)],
            rejected={"none_output": 1},
            examples={"none_output": RejectedExample(attempt=1, input={"a": output})},
            attempts=2,
            stopped="count",
            queue_time_s=0.0,
            **COMMON,
        ),
    ]
    for answer in answers:
        pieces = answer_pieces(answer, bytes_max=2**30)
        assert json.loads(b"".join(pieces)) == answer.model_dump(mode="json")


def test_pieces_of_an_answer_that_is_too_long_are_refused() -> None:
    """With the limit, and what to do."""
    answer = executed(*[LARGE["text"]] * 20)
    assert answer_pieces(answer, bytes_max=2_100_000)
    with pytest.raises(CallerMistake, match="longer than 1000000 bytes") as mistake:
        answer_pieces(answer, bytes_max=1_000_000)
    assert (mistake.value.code, mistake.value.http_status) == ("answer_too_large", 413)


def test_pieces_of_ten_thousand_executions_let_others_have_their_turn() -> None:
    """Pydantic's own writing of them all is one step."""
    answer = executed(*range(10_000), LARGE["arrays"])
    with collector_at_rest(), longest_wait() as waits:
        pieces = answer_pieces(answer, bytes_max=2**30)
    assert json.loads(b"".join(pieces))["executions"][9_999]["output"] == 9_999
    assert waits.longest_s < WAIT_MAX_S


async def test_answer_of_what_cannot_be_done_again_is_never_refused_for_memory() -> None:
    """Its client would send the request again: a cell would run twice."""
    memory = Memory(bytes_max=1000, several_keys=False)
    other = memory.hold("a")
    other.grow(990, too_large=ErrorCode.BODY_TOO_LARGE, what="a body")
    answer, settings = executed("x" * 200), Settings()
    with memory.hold("a") as hold:
        with pytest.raises(Overloaded):
            await written(answer, hold=hold, settings=settings)
        pieces = await written(answer, hold=hold, settings=settings, repeatable=False)
        assert json.loads(b"".join(pieces))["executions"][0]["output"] == "x" * 200
        assert memory.held_bytes == 990 + sum(map(len, pieces))
