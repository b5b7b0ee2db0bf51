"""SandboxFusion's contract where the service has no room, no engine or no key; its bad input."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from execbox_service.settings import hash_api_key
from tests.fake_engine import FakeEngine
from tests.virtual_time import now_s, run_in_virtual_time

from .serving import all_slots_taken, answering, fake_interpreters, serving, slow, stuck_engine

CODE = {"code": "print(1)", "language": "python"}
SKYRL = CODE | {"run_timeout": 1, "stdin": ""}
VERL = SKYRL | {"compile_timeout": 1, "memory_limit_MB": 1024, "files": {}, "fetch_files": []}


def one_answer(
    engine: FakeEngine, *, path: str = "/run_code", body: Any, **overrides: str
) -> httpx.Response:
    """What a service on this engine answers to one request."""

    async def main() -> httpx.Response:
        async with serving(engine, **overrides) as client:
            return await client.post(path, json=body)

    return run_in_virtual_time(main())


def while_all_slots_are_taken(
    body: dict[str, Any], **overrides: str
) -> tuple[httpx.Response, float]:
    """The answer meanwhile, and the seconds it took."""

    async def main() -> tuple[httpx.Response, float]:
        async with serving(stuck_engine(), **overrides) as client, all_slots_taken(client):
            began_s = now_s()
            return await client.post("/run_code", json=body), now_s() - began_s

    return run_in_virtual_time(main())


def test_answer_has_every_field_that_clients_read() -> None:
    """With what this service has to say besides in a field of its own."""
    answer = one_answer(FakeEngine(behaviours=[answering(stdout=b"1\n")] * 3), body=VERL)
    assert answer.status_code == 200
    told = answer.json()
    assert told.pop("execbox")["status"] == "ok"
    assert told == {
        "status": "Success",
        "message": "",
        "compile_result": None,
        "run_result": {
            "status": "Finished",
            "execution_time": 0.003,
            "return_code": 0,
            "stdout": "1\n",
            "stderr": "",
        },
        "executor_pod_name": None,
        "files": {},
    }


@pytest.mark.parametrize(
    ("fields", "status", "run_status", "return_code", "stderr"),
    [
        ({"exit_code": 3}, "exit_nonzero", "Finished", 3, ""),
        ({"exit_code": None, "signal": 11}, "no_result", "Finished", 139, ""),
        ({"exit_code": None, "signal": 34}, "no_result", "Finished", 162, ""),
        (
            {"exit_code": None, "signal": 9, "killed": "wall_time"},
            "timeout",
            "TimeLimitExceeded",
            None,
            "",
        ),
        (
            {"exit_code": None, "signal": 9, "oom_kill_count": 1, "stderr": b"half"},
            "memory_exceeded",
            "Finished",
            137,
            "half\nmemory exceeded: it used more than 1024 MiB\n",
        ),
    ],
    ids=["exit", "signal", "real-time signal", "timeout", "memory"],
)
def test_ends_of_a_program_are_failed_and_told_in_the_contracts_words(
    fields: dict[str, Any], status: str, run_status: str, return_code: int | None, stderr: str
) -> None:
    """Never ``SandboxError``, which clients take for no verdict."""
    engine = FakeEngine(behaviours=[answering(stdout=b"part", **fields)] * 5)
    told = one_answer(engine, body=VERL).json()
    assert (told["status"], told["execbox"]["status"]) == ("Failed", status)
    result = told["run_result"]
    assert (result["status"], result["return_code"]) == (run_status, return_code)
    assert (result["stdout"], result["stderr"]) == ("part", stderr)


@pytest.mark.parametrize(
    ("path", "body", "result"),
    [("/run_code", VERL, "run_result"), ("/run_jupyter", {"cells": ["1"]}, "driver")],
)
def test_engine_that_is_down_is_a_sandbox_error_with_all_texts(
    path: str, body: dict[str, Any], result: str
) -> None:
    """Clients send that again; SkyRL reads the streams whatever the status is."""

    async def main() -> httpx.Response:
        engine = FakeEngine()
        async with serving(engine, pool_size="0") as client:
            engine.unavailable = "the daemon is away"
            return await client.post(path, json=body)

    answer = run_in_virtual_time(main())
    assert answer.status_code == 200
    told = answer.json()
    assert told["status"] == "SandboxError"
    assert "the daemon is away" in told["message"]
    assert told["execbox"]["error"] == "engine_unavailable"
    assert told[result]["status"] == "Error"
    assert isinstance(told[result]["stdout"], str)
    assert "the daemon is away" in told[result]["stderr"]


def test_queue_that_is_full_is_no_504_where_the_code_can_be_run_in_time() -> None:
    """A 504 costs its client one of three tries: what bounds the queue is how long they wait."""

    async def main() -> list[int]:
        engine = FakeEngine(behaviours=[slow(0.5)] * 100)
        async with serving(engine, queue_size="0", queue_wait_max_s="0.1") as client:
            asked = [client.post("/run_code", json=VERL) for _ in range(6)]
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    assert run_in_virtual_time(main()) == [200] * 6


@pytest.mark.parametrize(
    ("body", "client_waits_s", "waits_at_least_s"),
    [(SKYRL, 3.0, 0.5), (VERL, 12.0, 9.0), (VERL | {"compile_timeout": 7.5}, 18.5, 15.0)],
    ids=["SkyRL", "verl", "verl with long timeouts"],
)
def test_slot_that_does_not_become_free_is_504_before_the_client_stops_waiting(
    body: dict[str, Any], client_waits_s: float, waits_at_least_s: float
) -> None:
    """And so early that the code could still have been run; but no earlier, since a 504 costs one
    of three tries."""
    answer, took_s = while_all_slots_are_taken(body)
    assert answer.status_code == 504
    assert waits_at_least_s < took_s < client_waits_s - body["run_timeout"]


def test_run_that_takes_too_long_for_its_client_is_504() -> None:
    """Nothing answers at all; what the client would make of silence is no retry."""

    async def main() -> tuple[httpx.Response, float]:
        async with serving(stuck_engine()) as client:
            began_s = now_s()
            return await client.post("/run_code", json=SKYRL), now_s() - began_s

    answer, took_s = run_in_virtual_time(main())
    assert answer.status_code in (200, 504)
    assert answer.status_code == 504 or answer.json()["status"] == "SandboxError"
    assert took_s < 3.0


def test_queue_that_moves_too_slowly_is_504_at_once() -> None:
    """What its sender would wait for in vain takes no place in the queue."""

    async def main() -> list[tuple[int, float]]:
        taken: list[tuple[int, float]] = []

        async def ask(client: httpx.AsyncClient) -> None:
            began_s = now_s()
            answer = await client.post("/run_code", json=VERL)
            taken.append((answer.status_code, now_s() - began_s))

        async with serving(stuck_engine()) as client, all_slots_taken(client):
            # At 50 ms for each, as a new service expects, two hundred are 10 s.
            await asyncio.gather(*(ask(client) for _ in range(230)))
        return taken

    taken = run_in_virtual_time(main())
    assert {status for status, _ in taken} == {504}
    at_once_count = sum(took_s < 0.5 for _, took_s in taken)
    assert 10 <= at_once_count < 100


def test_limits_of_a_key_are_504() -> None:
    """They are a matter of time as well."""

    async def main() -> list[int]:
        headers = {"Authorization": "Bearer secret"}
        hashes = f"a:{hash_api_key('secret')}"
        async with serving(FakeEngine(), api_key_hashes=hashes, key_rate_per_s="0.01") as client:
            answers = [await client.post("/run_code", json=VERL, headers=headers) for _ in range(2)]
        return [answer.status_code for answer in answers]

    assert run_in_virtual_time(main()) == [200, 504]


def test_key_is_required_where_keys_are_set() -> None:
    """As at every other path, and in the same form."""
    hashes = f"a:{hash_api_key('secret')}"

    async def main() -> list[tuple[int, set[str]]]:
        async with serving(FakeEngine(), api_key_hashes=hashes) as client:
            found = []
            for path in ("/run_code", "/run_jupyter", "/v1/ping", "/"):
                method = "POST" if path.startswith("/run") else "GET"
                answer = await client.request(method, path)
                found.append((answer.status_code, set(answer.json())))
        return found

    assert run_in_virtual_time(main()) == [(401, {"error"})] * 4


BAD = {
    "no code": ({"language": "python"}, "code: is required"),
    "code that is no text": ({"code": 1}, "code: must be a string"),
    "a language it does not have": (CODE | {"language": "rust"}, "has pytest, python"),
    "a file that leads out": (CODE | {"files": {"../x": "YQ=="}}, "working directory"),
    "a file that is no base64": (CODE | {"files": {"x": "YQ"}}, "must be base64"),
    "a file in the place of the program": (CODE | {"files": {"program.py": "YQ=="}}, "reserved"),
    "a timeout below zero": (CODE | {"run_timeout": -1}, "run_timeout"),
    "a timeout that is no number": (CODE | {"run_timeout": "five"}, "must be a number"),
    "a timeout without an end": (CODE | {"run_timeout": "inf"}, "must be a finite number"),
    "a timeout as text below zero": (CODE | {"run_timeout": "-1"}, "run_timeout"),
    "true for a number": (CODE | {"run_timeout": True}, "run_timeout"),
    "half a mebibyte": (CODE | {"memory_limit_MB": 0.5}, "memory_limit_MB: 0.5 must be an integer"),
    "too many digits": (CODE | {"memory_limit_MB": "9" * 5000}, "must be a smaller integer"),
    "a list": ([CODE], "must be an object"),
}


def test_numbers_are_taken_in_every_form_that_its_own_server_takes() -> None:
    """As text, or with a point: a client makes a failure of what is refused."""
    numbers = {"run_timeout": "2.5", "compile_timeout": "1", "memory_limit_MB": 1024.0}
    told = one_answer(FakeEngine(), body=CODE | numbers)
    assert (told.status_code, told.json()["message"]) == (200, "")
    told = one_answer(FakeEngine(), body=CODE | {"run_timeout": "99999", "memory_limit_MB": "8"})
    assert "the time limit of 99999 s" in told.json()["message"]
    assert "the memory limit of 8 MiB" in told.json()["message"]


@pytest.mark.parametrize(("body", "said"), BAD.values(), ids=BAD.keys())
def test_bad_request_is_422_in_the_contracts_form(body: Any, said: str) -> None:
    """As its own server has it: a list of problems under ``detail``."""
    answer = one_answer(FakeEngine(), body=body)
    assert answer.status_code == 422
    assert said in answer.json()["detail"][0]["msg"]


def test_unknown_fields_are_passed_over() -> None:
    """Newer clients send more of them."""
    body = VERL | {"isolation": "none", "priority": {"x": [1]}}
    assert one_answer(FakeEngine(), body=body).json()["status"] == "Success"


def test_source_with_nul_is_what_python_says_of_it() -> None:
    """A model wrote it: it is the code's fault, not the caller's."""
    told = one_answer(FakeEngine(), body=VERL | {"code": "print(1)\x00"}).json()
    assert told["status"] == "Failed"
    assert told["run_result"]["return_code"] == 1
    assert "null bytes" in told["run_result"]["stderr"]


def test_limits_above_the_operators_are_lowered_and_the_message_says_so() -> None:
    """A trainer's setting that is too high must not make every check fail."""
    body = VERL | {"run_timeout": 40, "memory_limit_MB": 8000}
    engine = FakeEngine()
    overrides = {"wall_time_s_max": "30", "cpu_time_s_max": "20", "memory_mb_max": "256"}
    told = one_answer(engine, body=body, **overrides).json()
    assert told["status"] == "Success"
    assert "40 s is not what" in told["message"]
    assert "30 s of elapsed time and 20 s of CPU time" in told["message"]
    assert "with 256 MiB" in told["message"]


@pytest.mark.parametrize(
    ("total_timeout", "maximum", "cpu_time_s", "wall_time_s"),
    [
        (61, {}, 60.0, 61.0),
        (120, {}, 60.0, 120.0),
        (45, {"cpu_time_s_max": "20"}, 20.0, 45.0),
        (600, {"cpu_time_s_max": "20", "wall_time_s_max": "30"}, 20.0, 30.0),
        (5, {}, 5.0, 5.0),
    ],
)
def test_cells_with_more_time_than_cpu_time_is_permitted_are_run(
    total_timeout: float, maximum: dict[str, str], cpu_time_s: float, wall_time_s: float
) -> None:
    """Each with as much of both as the operator permits."""
    body = {"cells": ["1", "2"], "total_timeout": total_timeout}
    with fake_interpreters() as begun:
        answer = one_answer(FakeEngine(), path="/run_jupyter", body=body, **maximum)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "Success"
    first, second = begun[0].times
    assert (first.cpu_time_s, first.wall_time_s) == (cpu_time_s, wall_time_s)
    assert second.wall_time_s == pytest.approx(wall_time_s, abs=0.1)


@pytest.mark.parametrize("memory_limit_mb", [0, -1, -5])
@pytest.mark.parametrize("path", ["/run_code", "/run_jupyter"])
def test_memory_limit_of_zero_is_the_services_default(path: str, memory_limit_mb: int) -> None:
    """As there, where only what is above zero is a limit; and not the least that there is."""
    body = {"code": "1", "cells": ["1"], "memory_limit_MB": memory_limit_mb}
    with fake_interpreters():
        told = one_answer(FakeEngine(), path=path, body=body)
    assert (told.status_code, told.json()["message"]) == (200, "")


@pytest.mark.parametrize("compat", ["none", "NONE"])
def test_contracts_that_are_off_have_no_paths(compat: str) -> None:
    """As if they were not there, and in this service's own form."""
    answer = one_answer(FakeEngine(), body=VERL, compat=compat)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize(("unavailable", "status"), [(None, 200), ("the daemon is away", 504)])
def test_ping_says_whether_code_can_be_run(unavailable: str | None, status: int) -> None:
    """A client that waits for the service waits for its engine."""

    async def main() -> httpx.Response:
        async with serving(FakeEngine(unavailable=unavailable)) as client:
            await asyncio.sleep(1)
            return await client.get("/v1/ping")

    answer = run_in_virtual_time(main())
    assert answer.status_code == status
    assert answer.json() == ("pong" if unavailable is None else {"detail": unavailable})


def test_root_says_to_people_what_this_is() -> None:
    """A page, as the contract's own server has one."""

    async def main() -> httpx.Response:
        async with serving(FakeEngine()) as client:
            return await client.get("/")

    answer = run_in_virtual_time(main())
    assert answer.headers["content-type"].startswith("text/html")
    assert "/run_code" in answer.text
