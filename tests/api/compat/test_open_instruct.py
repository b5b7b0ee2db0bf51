"""open-instruct's contract: its tests in every form, comparing, failures of ours, bad input."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pickle
import threading
import zlib
from typing import Any

import httpx
import pytest

from execbox.wire import ErrorCode
from execbox_service.api.compat import open_instruct
from execbox_service.api.compat.open_instruct_tests import assert_tests, stdio_tests
from execbox_service.api.compat.programs import Granted, granted
from execbox_service.failures import CallerMistake
from execbox_service.json_steps import LARGE_BYTES
from execbox_service.judge.stdout_comparison import same_lines
from execbox_service.settings import Settings
from tests.fake_engine import Behaviour, FakeEngine
from tests.virtual_time import now_s, run_in_virtual_time

from .serving import all_slots_taken, answering, serving, stuck_engine

TESTS = ["assert f(1) == 2", "assert f(2) == 4"]
STDIO = [{"input": "1", "output": "2"}]
BODIES = {"/test_program": TESTS, "/test_program_stdio": STDIO}


def packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


class _Calls:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.getpid, ()


HOSTILE = {
    "a call": pickle.dumps([_Calls()]),
    "a class": pickle.dumps([Exception]),
    "something outside": b"\x80\x04\x8c\x01xQ.",
    "a table of 32 GB": b"\x80\x04]r\xff\xff\xff\xff.",
    "no end": b"\x80\x04]",
    "nothing": b"",
    "a bomb": b"\x80\x04]" + b"N" * 20_000_000 + b".",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_pickle_of_more_than_plain_values_is_refused_or_harmless(data: bytes) -> None:
    """Nothing it names is imported or called, and none of its sizes is believed."""
    try:
        read: object = assert_tests(packed(data))
    except CallerMistake as refused:
        read = refused.code
    assert read in ([], ErrorCode.INVALID_REQUEST)


@pytest.mark.parametrize(
    "tests",
    [TESTS, json.dumps(TESTS), *(packed(pickle.dumps(TESTS, protocol)) for protocol in range(6))],
)
def test_tests_are_read_in_every_form_that_datasets_have(tests: object) -> None:
    """A list, its JSON, and what open-instruct's own encoder makes of it."""
    assert assert_tests(tests) == TESTS


def test_stdio_tests_may_have_their_input_as_lines() -> None:
    """As there."""
    assert stdio_tests([{"input": ["1", "2"], "output": "3", "x": 1}]) == [("1\n2", "3")]
    assert stdio_tests(packed(pickle.dumps(STDIO))) == [("1", "2")]


@pytest.mark.parametrize("tests", [None, "", [], "[]", "null"])
def test_no_tests_are_no_results(tests: object) -> None:
    """As there."""
    assert not assert_tests(tests)
    assert not stdio_tests(tests)


@pytest.mark.parametrize("path", BODIES)
def test_failure_of_ours_is_503_and_never_a_zero(path: str) -> None:
    """No engine; and the client's own patience is all used up before a slot is given up."""
    body = {"program": "x", "tests": BODIES[path]}

    async def main() -> tuple[httpx.Response, httpx.Response, float]:
        engine = FakeEngine()
        async with serving(engine, pool_size="0") as client:
            engine.unavailable = "the daemon is away"
            down = await client.post(path, json=body)
        async with serving(stuck_engine()) as client, all_slots_taken(client):
            began_s = now_s()
            full = await client.post(path, json=body)
            return down, full, now_s() - began_s

    down, full, took_s = run_in_virtual_time(main())
    assert (down.status_code, full.status_code) == (503, 503)
    assert "the daemon is away" in down.json()["detail"]
    assert int(full.headers["retry-after"]) >= 1
    assert 25 < took_s < 30


def test_queue_in_which_its_turn_is_far_is_waited_in_and_no_zero() -> None:
    """Its client takes a refusal for the score 0.0, and sends nothing again."""

    async def main() -> list[httpx.Response]:
        body = {"program": "x", "tests": [{"input": "", "output": "2"}]}
        # At 50 ms for each, as a new service expects, these are 35 s, and its client waits 30.
        engine = FakeEngine(behaviours=[answering(stdout=b"2\n")] * 2000)
        async with serving(engine, queue_size="0") as client:
            asked = [client.post("/test_program_stdio", json=body) for _ in range(700)]
            return list(await asyncio.gather(*asked))

    assert {answer.text for answer in run_in_virtual_time(main())} == {
        '{"results":[1],"runtimes":[0.003]}'
    }


AGAIN = {
    "/test_program_stdio": {"program": "x", "tests": [{"input": "", "output": "1"}]},
    "/run_code": {"code": "x", "compile_timeout": 5, "run_timeout": 5},
    "/execute": {"generated_code": "x", "language": "python"},
    "/run": {"type": "python", "solution": "x", "expected_output": "1"},
}


@pytest.mark.parametrize(("path", "body"), AGAIN.items(), ids=AGAIN.keys())
@pytest.mark.parametrize("failing", ["the daemon is away", "containers are lost"])
def test_failure_that_passes_while_a_client_waits_is_tried_again_for_it(
    path: str, body: dict[str, Any], failing: str
) -> None:
    """None of these clients would send it again, and some would call it a zero."""
    lost: list[Behaviour] = [lambda sandbox, _header: sandbox.hang_up()] * 4
    away = failing == "the daemon is away"
    engine = FakeEngine(behaviours=([] if away else lost) + [answering(stdout=b"1\n")] * 50)

    async def main() -> httpx.Response:
        async with serving(engine, pool_size="0") as client:
            engine.unavailable = failing if away else None
            asked = asyncio.create_task(client.post(path, json=body))
            await asyncio.sleep(1.5)
            engine.unavailable = None
            return await asked

    answer = run_in_virtual_time(main())
    assert answer.status_code == 200
    told = answer.json()
    printed = told.get("run_result", told).get("stdout")
    assert (told.get("results"), printed) in (([1], None), (None, "1\n"))


def test_call_that_did_not_come_to_its_end_passes_nothing() -> None:
    """An ``ok`` with any value but what its end says is no pass."""
    engine = FakeEngine(behaviours=[answering()] * 3)

    async def main() -> tuple[Any, Any]:
        body = {"program": "x", "tests": TESTS}
        async with serving(engine) as client:
            silent = await client.post("/test_program", json=body)
        async with serving(FakeEngine()) as client:
            # An honest fake answers with the first argument, which is the test's own text.
            return silent.json(), (await client.post("/test_program", json=body)).json()

    for told in run_in_virtual_time(main()):
        assert told == {"results": [0, 0], "runtimes": [-1.0, -1.0]}


@pytest.mark.parametrize(("length", "aside"), [(10, False), (LARGE_BYTES, True)])
def test_large_output_is_compared_beside_the_event_loop(
    length: int, aside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A megabyte of numbers takes as long as hundreds of other requests."""
    threads = []

    def watched(printed: str, expected: str) -> bool:
        threads.append(threading.current_thread())
        return same_lines(printed, expected)

    monkeypatch.setattr(open_instruct, "same_lines", watched)
    numbers = "1.0 " * (length // 4 + 1)
    engine = FakeEngine(behaviours=[answering(stdout=numbers.encode())] * 3)
    tests = [{"input": "", "output": numbers.replace("1.0", "1")}]

    async def main() -> Any:
        async with serving(engine) as client:
            body = {"program": "x", "tests": tests}
            return (await client.post("/test_program_stdio", json=body)).json()

    # Not in virtual time, which would run ahead of the thread.
    assert asyncio.run(main())["results"] == [1]
    assert [thread is not threading.main_thread() for thread in threads] == [aside]


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/test_program", {"tests": TESTS}, "program: is required"),
        ("/test_program", {"program": "x"}, "tests: is required"),
        ("/test_program", {"program": "x", "tests": [1]}, "tests[0]"),
        ("/test_program", {"program": "x", "tests": {"a": 1}}, "must be an array"),
        ("/test_program", {"program": "x", "tests": "zz"}, "no JSON"),
        ("/test_program", {"program": "x", "tests": TESTS, "max_execution_time": 0}, "max_exec"),
        ("/test_program_stdio", {"program": "x", "tests": TESTS}, "input and output"),
        (
            "/test_program_stdio",
            {"program": "x", "tests": [{"input": 1, "output": ""}]},
            "tests[0].input",
        ),
        (
            "/test_program_stdio",
            {"program": "x", "tests": [{"input": "", "output": "x" * 1_100_000}]},
            "no program could pass",
        ),
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


@pytest.mark.parametrize(
    ("path", "wall_time_s"), [("/test_program", 0.7), ("/test_program_stdio", 1.0)]
)
@pytest.mark.parametrize("asked_s", [0.7, "0.7"])
def test_time_of_programs_that_read_and_print_is_whole_seconds(
    path: str, wall_time_s: float, asked_s: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As there, where an alarm of whole seconds ends them; it may be given as text, as there."""
    asked: list[float | None] = []

    def noting(settings: Settings, *, time_s: float | None = None) -> Granted:
        asked.append(time_s)
        return granted(settings, time_s=time_s)

    monkeypatch.setattr(open_instruct, "granted", noting)

    async def main() -> None:
        async with serving(FakeEngine()) as client:
            body = {"program": "", "tests": BODIES[path], "max_execution_time": asked_s}
            await client.post(path, json=body)

    run_in_virtual_time(main())
    assert asked == [wall_time_s]


@pytest.mark.parametrize(("unavailable", "status"), [(None, 200), ("the daemon is away", 503)])
def test_health_says_whether_code_can_be_run(unavailable: str | None, status: int) -> None:
    """Whoever waits for the service waits for its engine."""

    async def main() -> httpx.Response:
        async with serving(FakeEngine(unavailable=unavailable)) as client:
            await asyncio.sleep(1)
            return await client.get("/health")

    answer = run_in_virtual_time(main())
    assert answer.status_code == status
    assert answer.json().get("status") == (None if unavailable else "healthy")
