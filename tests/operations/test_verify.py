"""Verdicts on real containers: what is run, what is compared, and what happens when we fail."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import patch

import pytest
from harness.bench import Bench

from execbox.wire import (
    ErrorCode,
    ExecuteRequest,
    ExecuteResponse,
    Verdict,
    VerifiedItem,
    VerifyRequest,
    VerifyResponse,
)
from execbox_service.failures import Overloaded, ServiceFailure
from execbox_service.operations.backend import Backend
from execbox_service.operations.execute import execute
from execbox_service.operations.registry import VERIFY
from execbox_service.operations.verify import verify
from execbox_service.scheduling.caller import Caller

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

DOUBLE = {"code": "def main_solution(n):\n    return n * 2\n"}
QUICK = {"cpu_time_s": 0.5, "wall_time_s": 1.0, "memory_mb": 64, "output_bytes": 1000}


async def verified(bench: Bench, *items: dict[str, Any], **fields: Any) -> VerifyResponse:
    """Give verdicts; ids are the items' places."""
    body = {"items": [{"id": str(n)} | item for n, item in enumerate(items)]} | fields
    request = VerifyRequest.model_validate({"isolation": "process"} | body)
    response = await bench.runtime.perform(VERIFY, request, caller=Caller("verify"))
    assert [item.id for item in response.items] == [item.id for item in request.items]
    return response


async def one(bench: Bench, item: dict[str, Any], **fields: Any) -> VerifiedItem:
    return (await verified(bench, item, **fields)).items[0]


def on_input(
    prediction: Any, output: Any, code: str | None = None, **fields: Any
) -> dict[str, Any]:
    """An input prediction, by default for a function that doubles."""
    function = DOUBLE if code is None else {"code": code}
    item = {"kind": "input", "function": function, "prediction": prediction, "output": output}
    return item | fields


async def test_input_that_gives_the_output_is_correct(bench: Bench) -> None:
    """As keyword arguments if it is an object, else as the single argument, arrays included."""
    response = await verified(
        bench,
        on_input({"n": 2}, 4),
        on_input(2, 4),
        on_input([1, 2], [1, 2, 1, 2]),
        on_input("ab", "abab"),
        on_input(1.5, 3.0),
        on_input(None, 0),
        on_input({}, 0),
        on_input({"n": 3}, 4),
        on_input({"m": 3}, 4),
    )
    verdicts = [item.verdict for item in response.items]
    assert verdicts[:5] == ["correct"] * 5
    assert verdicts[5:] == ["exception", "exception", "incorrect", "exception"]
    assert [item.executed_output for item in response.items[:2]] == [4, 4]
    assert response.items[7].executed_output == 6
    assert "unexpected keyword argument 'm'" in (response.items[8].feedback or "")


async def test_prediction_for_a_method_is_run_on_an_instance(bench: Bench) -> None:
    """Inputs and outputs; a class that is no entry point is a verdict that says what to write."""
    code = "class Solution:\n    def double(self, n): return 2 * n\n"
    code += "    def half(self, n): return n / 2\n"
    double: dict[str, Any] = {"function": {"code": code, "entry_point": "Solution.double"}}
    unclear: dict[str, Any] = {"function": {"code": code, "entry_point": "Solution"}}
    response = await verified(
        bench,
        on_input({"n": 2}, 4, **double),
        on_input({"n": 3}, 4, **double),
        {"kind": "output", "prediction": 6, "input": {"n": 3}} | double,
        on_input({"n": 2}, 4, **unclear),
    )
    assert [item.verdict for item in response.items] == [
        *("correct", "incorrect", "correct", "invalid_code")
    ]
    assert "Solution.double, Solution.half" in str(response.items[3].feedback)


async def test_bare_prediction_is_never_unwrapped(bench: Bench) -> None:
    """An object with the key input is keyword arguments of that name."""
    code = "def main_solution(input):\n    return input + 1\n"
    items = await verified(
        bench,
        on_input({"input": 1}, 2, code),
        {"kind": "output", "prediction": {"output": 1}, "output": 1},
        {"kind": "output", "prediction": {"output": 1}, "output": {"output": 1}},
    )
    assert [item.verdict for item in items.items] == ["correct", "incorrect", "correct"]


async def test_response_is_unwrapped_once_and_run(bench: Bench) -> None:
    """The answer is extracted, then treated as a prediction."""
    wrapped = {"kind": "input", "function": DOUBLE, "output": 4}
    response = await verified(
        bench,
        wrapped | {"response": 'So ```json\n{"input": {"n": 2}}\n```'},
        wrapped | {"response": "{'n': 2}"},
        wrapped | {"response": 'Perhaps {"input": {"n": 3}} or {"input": {"n": 2'},
        {"kind": "output", "response": "\\boxed{5}", "output": 5},
        {"kind": "output", "response": "none", "output": 5},
    )
    assert [item.verdict for item in response.items] == [
        "correct",
        "correct",
        "no_answer",
        "correct",
        "no_answer",
    ]
    assert response.items[0].extracted == {"n": 2}
    assert response.items[2].execution is None
    assert "cut off" in (response.items[2].feedback or "")


async def test_known_output_is_compared_without_running(bench: Bench) -> None:
    """Not even a function that would not compile is looked at."""
    item = {
        "kind": "output",
        "function": {"code": "this is no Python"},
        "prediction": 5,
        "input": {"n": 1},
        "output": 5,
    }
    found = await one(bench, item)
    assert (found.verdict, found.execution, found.executed_output) == ("correct", None, None)


async def test_unknown_output_is_found_out_by_running(bench: Bench) -> None:
    """A null that is given is known, and a missing one is not."""
    item = {"kind": "output", "function": DOUBLE, "input": {"n": 2}, "prediction": 4}
    right, wrong, known = (
        await verified(bench, item, item | {"prediction": 5}, item | {"output": None})
    ).items
    assert (right.verdict, right.executed_output) == ("correct", 4)
    assert (wrong.verdict, wrong.executed_output) == ("incorrect", 4)
    assert wrong.feedback == (
        "Your output is not correct. You predicted 5, but the function returns 4."
    )
    assert (known.verdict, known.execution) == ("incorrect", None)


@pytest.mark.parametrize(
    ("code", "verdict", "said"),
    [
        ("def main_solution(n):\n    return 1 / n\n", "exception", "(line 2: return 1 / n)"),
        ("def main_solution(n):\n    while True: pass\n", "timeout", "0.5 seconds of CPU"),
        ("import time\ndef main_solution(n):\n    time.sleep(9)\n", "timeout", "1 seconds"),
        ("def main_solution(n):\n    return bytearray(10**9)\n", "memory_exceeded", "64 MB"),
        ("def main_solution(n):\n    return 'x' * 2000\n", "output_too_large", "1000 bytes"),
        ("def main_solution(n):\n    return {1}\n", "unserializable", "set"),
        ("import os\ndef main_solution(n):\n    os._exit(3)\n", "no_result", "exit code 3"),
        ("def main_solution(n) return 1\n", "invalid_code", "SyntaxError"),
        ("def main_solution(n):\n    return float('nan')\n", "incorrect", "NaN"),
        ("def main_solution(n):\n    return [float('inf')]\n", "incorrect", "Infinity"),
    ],
)
async def test_verdict_of_an_execution_without_output_is_its_status(
    bench: Bench, code: str, verdict: str, said: str
) -> None:
    """And the feedback says what happened; NaN and infinities are no output of any prediction."""
    found = await one(bench, on_input(0, 1, code, limits=QUICK))
    assert found.verdict == verdict
    assert said in (found.feedback or "")
    assert "execbox" not in (found.feedback or "")
    assert found.error is None


async def test_output_of_a_failing_function_is_its_status(bench: Bench) -> None:
    """An output prediction, too, is not incorrect where there is no output."""
    item = {"kind": "output", "function": {"code": "def main_solution(n): return 1 / n"}}
    found = await one(bench, item | {"input": 0, "prediction": 1})
    assert (found.verdict, found.executed_output) == (Verdict.EXCEPTION, None)


async def test_comparators_decide_between_executed_and_known_output(bench: Bench) -> None:
    """Each item by its own."""
    code = "def main_solution(x):\n    return [x * 1.0005, 'a']\n"
    item = on_input(2.0, [2.0, "a"], code)
    rule = {"comparator": "tolerance", "tolerance": {"rel": 1e-2}}
    tight = {"comparator": "tolerance", "tolerance": {"rel": 1e-6}}
    response = await verified(
        bench, item, item | {"comparator": "exact"}, item | rule, item | tight
    )
    verdicts = [each.verdict for each in response.items]
    assert verdicts == ["correct", "incorrect", "correct", "incorrect"]


async def test_items_of_many_functions_keep_their_order(bench: Bench) -> None:
    """Grouping is for the sandboxes' sake only."""
    items = [
        on_input(n, n * (n % 7), f"def main_solution(n):\n    return n * {n % 7}\n")
        for n in range(60)
    ]
    response = await verified(bench, *items)
    assert [item.verdict for item in response.items] == ["correct"] * 60
    assert [item.executed_output for item in response.items] == [n * (n % 7) for n in range(60)]


async def test_expected_output_never_enters_a_container(bench: Bench) -> None:
    """Code that looks everywhere it can does not find it."""
    code = (
        "import gc, os, sys\n"
        "def main_solution(n):\n"
        "    seen = []\n"
        "    for entry in ('/proc/self/environ', '/proc/self/cmdline', '/proc/1/cmdline'):\n"
        "        try: seen.append(open(entry, 'rb').read().decode('latin-1'))\n"
        "        except OSError: pass\n"
        "    frame = sys._getframe()\n"
        "    while frame: seen.append(repr(frame.f_locals)); frame = frame.f_back\n"
        "    seen += [o for o in gc.get_objects() if isinstance(o, (str, bytes))]\n"
        "    return any('secret' + '-expected' in str(text) for text in seen)\n"
    )
    found = await one(bench, on_input(1, "secret-expected", code))
    assert (found.verdict, found.executed_output) == ("incorrect", False)


async def test_job_time_is_no_verdict(bench: Bench) -> None:
    """Where a job's time ends between two items, the rest runs in another."""
    code = "import time\ndef main_solution(n):\n    time.sleep(0.7)\n    return n\n"
    items = [on_input(n, n, code, limits={"job_time_s": 1}) for n in range(4)]
    response = await verified(bench, *items)
    assert [item.verdict for item in response.items] == ["correct"] * 4


async def test_templates_of_the_caller_word_the_feedback(bench: Bench) -> None:
    """Such as one that does not give the right output away."""
    found = await one(
        bench,
        {"kind": "output", "prediction": 5, "input": {"n": 2}, "output": 4},
        feedback_templates={"wrong_output": "Given $input, $prediction is wrong."},
    )
    assert found.feedback == 'Given {"n": 2}, 5 is wrong.'


async def test_converted_output_is_compared_as_converted(bench: Bench) -> None:
    """What generate certified with convert can be verified with it."""
    code = "def main_solution(n):\n    return {3, 1, 2}\n"
    item = on_input(1, [1, 2, 3], code)
    assert (await one(bench, item)).verdict == "unserializable"
    found = await one(bench, item, convert="codeio")
    assert sorted(found.executed_output) == [1, 2, 3]


async def test_values_too_large_to_compare_have_an_error_and_no_verdict(bench: Bench) -> None:
    """Nothing is guessed, and nothing takes long."""
    large = [[n] for n in range(100_000)]
    found, other = (
        await verified(
            bench,
            {"kind": "output", "prediction": large, "output": large},
            {"kind": "output", "prediction": 1, "output": 1},
        )
    ).items
    assert found.verdict is None
    assert found.feedback is None
    assert found.error is not None
    assert (found.error.code, found.error.retryable) == ("comparison_too_long", False)
    assert other.verdict == "correct"


# When we fail


class Failing:
    """``execute`` that fails as the first line of the code says, and counts its jobs."""

    def __init__(self) -> None:
        self.attempts: list[tuple[str, int]] = []

    async def execute(
        self, backend: Backend, request: ExecuteRequest, *, caller: Caller
    ) -> ExecuteResponse:
        code = request.function.code
        self.attempts.append((code.split("\n")[0], len(request.calls)))
        if code.startswith("# lost once") and len(self.attempts) == 1:
            raise ServiceFailure(ErrorCode.ENGINE_UNAVAILABLE, "no engine")
        if code.startswith("# lost with 13") and any(call.args == [13] for call in request.calls):
            raise ServiceFailure(ErrorCode.SANDBOX_LOST, "two sandboxes in a row were lost")
        if code.startswith("# overloaded"):
            raise Overloaded(ErrorCode.QUEUE_FULL, "the queue is full")
        return await execute(backend, request, caller=caller)


async def failing(bench: Bench, *items: dict[str, Any]) -> tuple[Failing, VerifyResponse]:
    executor = Failing()
    body = {"items": [{"id": "x"} | item for item in items], "isolation": "process"}
    request = VerifyRequest.model_validate(body)
    with patch("execbox_service.operations.verify.execute", executor.execute):
        answer = await verify(bench.runtime._started, request, caller=Caller("verify"))
    return executor, answer


async def test_engine_failure_is_retried_once_inside(bench: Bench) -> None:
    """The caller does not learn of it."""
    code = "# lost once\n" + DOUBLE["code"]
    executor, response = await failing(bench, on_input(1, 2, code), on_input(2, 4, code))
    assert [item.verdict for item in response.items] == ["correct", "correct"]
    assert executor.attempts == [("# lost once", 2), ("# lost once", 2)]


async def test_item_that_loses_its_sandbox_does_not_cost_the_others_their_verdict(
    bench: Bench,
) -> None:
    """It alone has an error, which is retryable and no verdict, and no feedback."""
    code = "# lost with 13\n" + DOUBLE["code"]
    items = [on_input(n, n * 2, code) for n in (11, 12, 13, 14)]
    executor, response = await failing(bench, *items)
    assert [item.verdict for item in response.items] == ["correct", "correct", None, "correct"]
    lost = response.items[2]
    assert lost.error is not None
    assert (lost.error.code, lost.error.retryable) == ("sandbox_lost", True)
    assert (lost.feedback, lost.execution, lost.extracted) == (None, None, 13)
    assert [count for _code, count in executor.attempts] == [4, 1, 1, 1, 1]


async def test_request_that_is_refused_at_once_is_refused_as_a_whole(bench: Bench) -> None:
    """Overload is an answer to the request, not to its items."""
    with pytest.raises(Overloaded):
        await failing(bench, on_input(1, 2, "# overloaded\n"), on_input(1, 2))


async def test_cancelled_request_frees_its_slots(bench: Bench) -> None:
    """At once, whatever runs."""
    code = "import time\ndef main_solution(n):\n    time.sleep(30)\n"
    limits = {"wall_time_s": 60}
    items = [on_input(n, n, f"# {n}\n{code}", limits=limits) for n in range(6)]
    admission = bench.runtime._started.admission
    task = asyncio.create_task(verified(bench, *items))
    while admission.active_count < admission.slot_count:  # noqa: ASYNC110 - nobody signals it
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (admission.active_count, admission.waiting_count) == (0, 0)
