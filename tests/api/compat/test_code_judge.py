"""code-judge's contract: its reasons for what is no result, and its bad input."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.fake_engine import Behaviour, FakeEngine, FakeSandbox
from tests.virtual_time import run_in_virtual_time

from .serving import all_slots_taken, answering, serving, stuck_engine

ONE = {"type": "python", "solution": "print(1)", "expected_output": "1"}


def reason_of(engine: FakeEngine, body: Any = ONE, *, down: bool = False) -> tuple[Any, ...]:
    """Status, reason and success of what ``/run`` answers."""

    async def main() -> tuple[Any, ...]:
        async with serving(engine, pool_size="0") as client:
            engine.unavailable = "the daemon is away" if down else None
            answer = await client.post("/run", json=body)
        told = answer.json()
        return answer.status_code, told["reason"], told["success"], told["run_success"]

    return run_in_virtual_time(main())


def hanging_up(sandbox: FakeSandbox, _header: dict[str, Any]) -> None:
    """Be lost in the middle of the run."""
    sandbox.hang_up()


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (answering(stdout=b"1\n"), (200, "", True, True)),
        (answering(stdout=b"2\n"), (200, "", False, True)),
        (answering(exit_code=1), (200, "", False, False)),
        (
            answering(exit_code=None, signal=9, killed="wall_time"),
            (200, "worker_timeout", False, False),
        ),
        (hanging_up, (200, "internal_error", False, False)),
    ],
    ids=["right", "wrong", "runtime error", "timeout", "lost containers"],
)
def test_reason_says_whose_doing_it_is(behaviour: Behaviour, expected: tuple[Any, ...]) -> None:
    """Empty for what the code did, right or wrong."""
    assert reason_of(FakeEngine(behaviours=[behaviour] * 500)) == expected


def test_engine_that_is_down_is_an_internal_error() -> None:
    """And never a failure of the code."""
    assert reason_of(FakeEngine(), down=True) == (200, "internal_error", False, False)


def test_no_room_is_a_queue_timeout_which_its_client_sends_again() -> None:
    """Where the queue is full, at once."""

    async def main() -> dict[str, Any]:
        async with serving(stuck_engine(), queue_size="0") as client, all_slots_taken(client):
            told: dict[str, Any] = (await client.post("/judge", json=ONE)).json()
            return told

    told = run_in_virtual_time(main())
    assert (told["reason"], told["success"]) == ("queue_timeout", False)


def test_batch_larger_than_the_queue_is_answered_whole() -> None:
    """It has been let in as one; its parts wait their turn."""

    async def main() -> list[dict[str, Any]]:
        engine = FakeEngine(behaviours=[answering(stdout=b"1\n")] * 1000)
        body = {"type": "batch", "submissions": [ONE | {"sub_id": str(n)} for n in range(100)]}
        async with serving(engine, queue_size="0") as client:
            answer = await client.post("/run/long-batch", json=body)
        results: list[dict[str, Any]] = answer.json()["results"]
        return results

    results = run_in_virtual_time(main())
    assert [each["sub_id"] for each in results] == [str(n) for n in range(100)]
    assert all(each["success"] for each in results)


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/run", {"type": "python"}, "solution: is required"),
        ("/judge", {"solution": "x"}, "type: is required"),
        ("/run/long-batch", {"submissions": []}, "submissions"),
        ("/judge/batch", {"submissions": [{"type": "python"}]}, "submissions[0].solution"),
    ],
)
def test_bad_request_is_422_in_the_contracts_form(path: str, body: Any, said: str) -> None:
    """A list of problems under ``detail``."""

    async def main() -> httpx.Response:
        async with serving(FakeEngine()) as client:
            return await client.post(path, json=body)

    answer = run_in_virtual_time(main())
    assert answer.status_code == 422
    assert said in answer.json()["detail"][0]["msg"]
