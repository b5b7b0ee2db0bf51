"""What is unknown, and what ends a training, where a service answers as none does on demand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from execbox import AsyncClient, Client, ClientConfig, InvalidRequest, RetryPolicy
from execbox.integrations import azr, trl, verl

ONCE = ClientConfig(base_url="http://service.invalid", retry=RetryPolicy.never())
MADE_WITH = {"isolation": "process", "engine": "fake", "image": "i"}
PROGRAM: dict[str, Any] = {"inputs": [[""]], "outputs": [["1"]]}
PREDICTION: dict[str, Any] = {"kind": ["output"], "output_json": ["1"]}


def error(code: str, *, retryable: bool = False) -> dict[str, Any]:
    return {"code": code, "message": f"{code} happened", "retryable": retryable}


def batch_of(line: Mapping[str, Any]) -> Callable[[httpx.Request], httpx.Response]:
    """Every line of a batch is answered so."""

    def answer(request: httpx.Request) -> httpx.Response:
        sent = [json.loads(text) for text in request.content.splitlines()]
        lines = [json.dumps({"id": each["id"], "op": each["op"], **line}) for each in sent]
        return httpx.Response(200, text="".join(f"{text}\n" for text in lines))

    return answer


def item_of(code: str) -> Callable[[httpx.Request], httpx.Response]:
    """Every prediction is answered by this error in the place of a verdict."""
    return batch_of({"items": [{"id": "0", "verdict": None, "error": error(code)}], **MADE_WITH})


def every_test_passes(request: httpx.Request) -> httpx.Response:
    """Each call gives its mark."""
    usage = {"cpu_time_s": 0, "wall_time_s": 0, "peak_memory_bytes": 0}
    lines = []
    for sent in map(json.loads, request.content.splitlines()):
        marks = [call["args"][-1] for call in sent["calls"]]
        found = [{"status": "ok", "output": mark, "usage": usage} for mark in marks]
        line = {"id": sent["id"], "op": sent["op"], "executions": found, "queue_time_s": 0}
        lines.append(json.dumps(line | MADE_WITH))
    return httpx.Response(200, text="".join(f"{line}\n" for line in lines))


def gateway(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(502, text="<html>Bad gateway</html>")


def rewards_at(answer: Callable[[httpx.Request], httpx.Response]) -> trl.Rewards:
    return trl.Rewards(Client(config=ONCE, transport=httpx.MockTransport(answer)))


@pytest.mark.parametrize(
    "answer",
    [
        gateway,
        item_of("comparison_too_long"),
        item_of("answer_too_large"),
        batch_of({"error": error("answer_too_large")}),
        batch_of({"error": error("sandbox_lost", retryable=True)}),
    ],
    ids=["gateway", "comparison", "item", "line", "sandbox"],
)
def test_reward_is_unknown_where_one_completion_or_the_way_there_has_no_verdict(
    answer: Callable[[httpx.Request], httpx.Response],
) -> None:
    """What one completion's output brings about must not end the training of all."""
    assert rewards_at(answer).codeio_reward(['{"output": 1}'], **PREDICTION) == [None]


def test_reward_of_a_program_whose_answer_is_too_large_is_unknown() -> None:
    """As of a prediction."""
    answer = batch_of({"error": error("answer_too_large")})
    assert rewards_at(answer).program_reward(["print(1)"], **PROGRAM) == [None]


LONG = "x = 1\n" * 27_000
QUICK = "def f(): return 1\n"


def test_long_completion_is_sent_once_however_many_tests_it_has() -> None:
    """With every test, it would be more than a request may have."""
    found = rewards_at(every_test_passes).tests_reward(
        [LONG, QUICK], tests=[["assert f() == 1"] * 110] * 2
    )
    assert found == [1.0, 1.0]


TESTS_OF_16_MB = ["assert f() == 1  #" + "x" * 152_000] * 110


def test_completion_too_long_to_be_sent_beside_its_tests_is_unknown_and_ends_nothing() -> None:
    """The other completions' rewards are found."""
    found = rewards_at(every_test_passes).tests_reward([LONG, QUICK], tests=[TESTS_OF_16_MB] * 2)
    assert found == [None, 1.0]


def test_tests_that_no_completion_could_be_sent_with_are_the_datasets_mistake() -> None:
    """Whoever made it has to make them smaller."""
    tests = [*TESTS_OF_16_MB, "#" + "x" * 100_000]
    with pytest.raises(InvalidRequest, match="example 0"):
        rewards_at(every_test_passes).tests_reward([QUICK], tests=[tests])


@pytest.mark.parametrize("reward", ["program_reward", "codeio_reward"])
def test_completion_that_a_service_with_a_smaller_maximum_refuses_is_unknown(reward: str) -> None:
    """Where it is the completion, and not what was sent with it, that is over the maximum."""
    columns = {"program_reward": PROGRAM, "codeio_reward": PREDICTION}[reward]
    for body_bytes_max, unknown in ((10_000, True), (10, False)):
        refused = error("line_too_large") | {"detail": {"body_bytes_max": body_bytes_max}}
        rewards = rewards_at(batch_of({"error": refused}))
        if unknown:
            assert getattr(rewards, reward)(["y" * 20_000], **columns) == [None]
        else:
            with pytest.raises(InvalidRequest):
                getattr(rewards, reward)(["y" * 20_000], **columns)


@pytest.mark.parametrize(
    "answer",
    [item_of("limit_above_maximum"), batch_of({"error": error("isolation_not_permitted")})],
    ids=["item", "line"],
)
def test_refusal_that_every_completion_would_meet_is_raised(
    answer: Callable[[httpx.Request], httpx.Response],
) -> None:
    """Whoever set it up has to change something."""
    with pytest.raises(InvalidRequest):
        rewards_at(answer).codeio_reward(['{"output": 1}'], **PREDICTION)


async def test_score_of_a_response_whose_answer_is_too_large_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In verl's words, with its number where one was given."""
    answer = httpx.MockTransport(batch_of({"error": error("answer_too_large")}))
    truth = {"inputs": [""], "outputs": ["1"]}
    async with AsyncClient(config=ONCE, transport=answer) as client:
        monkeypatch.setattr(verl, "_client", lambda: client)
        with pytest.raises(verl.OutcomeUnknown, match="too large to be answered"):
            await verl.compute_score("code", "print(1)", truth)
        found = await verl.compute_score("code", "print(1)", truth, unknown_score=-1.0)
    assert (found["score"], found["execbox_unknown"]) == (-1.0, 1.0)


def executor_at(answer: Callable[[httpx.Request], httpx.Response]) -> azr.PythonExecutor:
    return azr.PythonExecutor(client=Client(config=ONCE, transport=httpx.MockTransport(answer)))


def executing(
    *, calls_max: int = 100, refused: str = ""
) -> Callable[[httpx.Request], httpx.Response]:
    """Every expression gives '4'; too many of them, or a certain one, give too much to answer."""

    def answer(request: httpx.Request) -> httpx.Response:
        calls = [str(call["expression"]) for call in json.loads(request.content)["calls"]]
        if len(calls) > calls_max or any(refused and refused in text for text in calls):
            return httpx.Response(413, json={"error": error("answer_too_large")})
        usage = {"cpu_time_s": 0, "wall_time_s": 0, "peak_memory_bytes": 0}
        one = {"status": "ok", "output": "4", "usage": usage}
        return httpx.Response(
            200, json={"executions": [one] * len(calls), "queue_time_s": 0, **MADE_WITH}
        )

    return answer


SOURCE = "def f(n):\n    return 2 * n"


def test_predictions_whose_answers_are_too_large_together_are_scored_one_by_one() -> None:
    """None of them is wrong for that."""
    executor = executor_at(executing(calls_max=1))
    assert executor.eval_k_input_prediction(SOURCE, "4", ["2", "1 + 1", "2.0"]) == [1.0] * 3


def test_prediction_whose_answer_is_too_large_is_unknown_and_no_zero() -> None:
    """Alone it is None; of several, there is no list of scores."""
    executor = executor_at(executing(refused="huge"))
    assert executor.eval_input_prediction(SOURCE, "4", "huge") is None
    with pytest.raises(azr.OutcomeUnknown):
        executor.eval_k_input_prediction(SOURCE, "4", ["2", "huge"])


def test_prediction_that_cannot_be_sent_is_wrong_and_costs_no_other_its_score() -> None:
    """A source that no request can carry is the model's doing, and of that one prediction."""
    executor = executor_at(executing())
    assert executor.eval_k_input_prediction(SOURCE, "4", ["2", "'\ud800'"]) == [1.0, 0.0]
