"""NeMo-Skills' contract where the service has no room or no engine; its bad input."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from execbox.wire import ErrorCode
from execbox_service.api.compat import exchange
from execbox_service.failures import CallerMistake
from tests.fake_engine import FakeEngine
from tests.virtual_time import now_s, run_in_virtual_time

from .serving import all_slots_taken, fake_interpreters, serving, slow, stuck_engine

BODY = {"generated_code": "1", "timeout": 1.0, "language": "python"}
IN_SESSION = BODY | {"language": "ipython"}
NAMED = {"X-Session-ID": "s"}
OVERSIZED = "an answer that is too large"


@pytest.mark.parametrize("body", [BODY, IN_SESSION], ids=["program", "session"])
def test_failure_of_ours_is_503_with_all_fields_and_says_that_it_is_ours(
    body: dict[str, Any],
) -> None:
    """The client reads the body whatever the status is, and shows stderr to the model."""

    async def main() -> httpx.Response:
        engine = FakeEngine()
        async with serving(engine, pool_size="0") as client:
            engine.unavailable = "the daemon is away"
            return await client.post("/execute", json=body, headers=NAMED)

    answer = run_in_virtual_time(main())
    assert answer.status_code == 503
    told = answer.json()
    assert (told["process_status"], told["stdout"]) == ("error", "")
    assert told["stderr"].startswith("a failure of the service, not of the code: ")
    assert "the daemon is away" in told["error"]
    assert told["new_session_created"] is False


@pytest.mark.parametrize("how", ["no answer in time", OVERSIZED, "a client"])
def test_session_whose_beginning_was_not_told_is_begun_anew(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that is not told runs no earlier cell again: the model would see a NameError."""

    async def no_room(*_answer: object, **_hold: object) -> list[bytes]:
        raise CallerMistake(ErrorCode.ANSWER_TOO_LARGE, "too large")

    async def main() -> list[tuple[int, bool]]:
        engine = FakeEngine()

        async def post() -> httpx.Response:
            return await client.post("/execute", json=IN_SESSION, headers=NAMED)

        with fake_interpreters(first_hangs=how != OVERSIZED):
            async with serving(engine) as client:
                with monkeypatch.context() as patch:
                    if how == OVERSIZED:
                        patch.setattr(exchange, "written", no_room)
                    first = asyncio.create_task(post())
                    if how == "a client":
                        await asyncio.sleep(1)
                        first.cancel()
                    await asyncio.wait([first])
                answers = [await post(), await post()]
        if how != "a client":
            answers.insert(0, first.result())
        return [(each.status_code, each.json()["new_session_created"]) for each in answers]

    *failed, told, known = run_in_virtual_time(main())
    assert all(status >= 400 for status, _new in failed)
    assert (told, known) == ((200, True), (200, False))


@pytest.mark.parametrize("body", [BODY, IN_SESSION], ids=["program", "session"])
def test_slot_that_does_not_become_free_is_503_before_the_client_stops_waiting(
    body: dict[str, Any],
) -> None:
    """Which it does five seconds after the code's own time; and no earlier, because it takes the
    503 for what the code gave."""

    async def main() -> tuple[httpx.Response, float]:
        async with serving(stuck_engine()) as client, all_slots_taken(client):
            began_s = now_s()
            answer = await client.post("/execute", json=body, headers=NAMED)
            return answer, now_s() - began_s

    answer, took_s = run_in_virtual_time(main())
    assert answer.status_code == 503
    assert 5.0 < took_s < 6.0


def test_queue_that_is_full_makes_its_client_wait_and_is_no_503() -> None:
    """However many wait already, it is given its turn."""

    async def main() -> list[httpx.Response]:
        engine = FakeEngine(behaviours=[slow(0.5)] * 100)
        async with serving(engine, queue_size="0") as client:
            asked = [client.post("/execute", json=BODY) for _ in range(6)]
            return list(await asyncio.gather(*asked))

    answers = run_in_virtual_time(main())
    assert [answer.status_code for answer in answers] == [200] * 6


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (IN_SESSION, 400, "X-Session-ID header required"),
        (BODY | {"language": "lean4"}, 400, "there are ipython, python, python3"),
        (BODY | {"language": "shell"}, 400, "'shell' is not run here"),
        ({"timeout": 1}, 422, "generated_code: is required"),
        (BODY | {"timeout": 0}, 422, "timeout"),
        (BODY | {"max_output_characters": -1}, 422, "max_output_characters"),
    ],
)
def test_bad_request_has_the_contracts_fields(body: Any, status: int, said: str) -> None:
    """An ``error`` that says what to change."""

    async def main() -> httpx.Response:
        async with serving(FakeEngine()) as client:
            return await client.post("/execute", json=body)

    answer = run_in_virtual_time(main())
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert answer.json()["process_status"] == "error"


def test_numbers_are_taken_as_text_as_well() -> None:
    """A client makes a failure of the code of what is refused."""

    async def main() -> httpx.Response:
        async with serving(FakeEngine()) as client:
            numbers = {"timeout": "2", "max_output_characters": 100.0}
            return await client.post("/execute", json=BODY | numbers)

    assert run_in_virtual_time(main()).json()["process_status"] == "completed"


def test_method_that_a_path_does_not_have_is_told_which_it_has() -> None:
    """In the contract's form, and by the header."""

    async def main() -> httpx.Response:
        async with serving(FakeEngine()) as client:
            return await client.get("/execute")

    answer = run_in_virtual_time(main())
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert "use POST" in answer.json()["error"]
