"""``Client.batch`` and ``AsyncClient.batch``: every line one result, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from execbox import (
    AsyncClient,
    BatchResult,
    Client,
    ClientConfig,
    ExecboxError,
    InvalidRequest,
    RetryPolicy,
    wire,
)
from tests.api.harness import RunningServer, running_server, wait_until
from tests.client.batch_runs import ITEM, QUICK, Run, verify


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """Two slots, around a runtime that runs nothing."""
    with running_server(slot_count="2") as running:
        yield running


def execute(name: str, code: str = "pass", **fields: Any) -> dict[str, Any]:
    line = {"id": name, "op": "execute", "function": {"code": code}, "calls": [{"args": [name]}]}
    return line | fields


def test_every_line_gets_its_own_result(server: RunningServer, run: Run) -> None:
    """Typed, with its id, whether it was a mapping or a model."""
    generate = wire.GenerateLine(
        id="g",
        op="generate",
        function=wire.Function(code="pass"),
        input_generator=wire.InputGenerator(code="pass"),
    )
    results = {
        result.id: result for result in run(server.url, [execute("e"), verify("v"), generate])
    }
    assert set(results) == {"e", "v", "g"}
    assert all(result.error is None for result in results.values())
    executed, verified, generated = (results[name].answer for name in ("e", "v", "g"))
    assert isinstance(executed, wire.ExecuteAnswer)
    assert (executed.id, executed.executions[0].output) == ("e", ["e"])
    assert isinstance(verified, wire.VerifyAnswer)
    assert verified.items[0].verdict is wire.Verdict.CORRECT
    assert isinstance(generated, wire.GenerateAnswer)


@pytest.mark.parametrize("op", wire.BATCH_LINES)
def test_line_given_as_a_model_of_any_operation_is_sent(
    server: RunningServer, run: Run, op: str
) -> None:
    """Whatever may be a line as a mapping may be one as the model that the mapping is read into."""
    fields = {
        "function": {"code": "pass"},
        "input_generator": {"code": "pass"},
        "calls": [{"args": []}],
        "items": [ITEM],
        "program": {"code": "pass"},
    }
    model = wire.BATCH_LINES[op]
    own = {name: value for name, value in fields.items() if name in model.model_fields}
    (result,) = run(server.url, [model.model_validate({"id": "a", "op": op, **own})])
    assert result.error is None
    assert isinstance(result.answer, wire.BATCH_ANSWERS[op])


def test_thousands_of_lines_are_all_answered_once(server: RunningServer, run: Run) -> None:
    """Nothing is lost and nothing comes twice."""
    results = run(server.url, (verify(str(number)) for number in range(3000)))
    assert sorted(int(result.id or -1) for result in results) == list(range(3000))
    assert all(result.answer is not None for result in results)


def test_lines_with_one_id_are_told_apart(server: RunningServer, run: Run) -> None:
    """Ids are the caller's business."""
    results = run(server.url, [execute("same", calls=[{"args": [n]}]) for n in range(100)])
    assert {result.id for result in results} == {"same"}
    outputs = [result.answer.executions[0].output for result in results]  # type: ignore[union-attr]
    assert sorted(outputs) == [[n] for n in range(100)]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"id": "bad", "op": "destroy"}, "op: must be one of"),
        ({"id": "bad", "op": "execute"}, "function: Field required"),
        (execute("bad", limits={"cpu_time_s": 1e9}), "limits.cpu_time_s"),
        (execute("bad", calls=[{"args": [math.nan]}]), "nan has no JSON form"),
        (execute("bad", "#" * (17 * 1024 * 1024)), "split it"),
        (verify("bad") | {"items": [ITEM | {"id": 5}]}, "items[0].id"),
    ],
)
def test_line_that_cannot_be_sent_is_a_result_and_the_rest_goes_on(
    server: RunningServer, run: Run, bad: dict[str, Any], said: str
) -> None:
    """One mistake in a hundred thousand lines does not cost the others."""
    results = {result.id: result for result in run(server.url, [verify("a"), bad, verify("b")])}
    assert set(results) == {"a", "bad", "b"}
    error = results["bad"].error
    assert error is not None
    assert said in error.message
    assert not error.retryable
    assert results["a"].answer is not None
    assert results["b"].answer is not None


def test_thing_that_is_no_line_is_a_result_without_id(server: RunningServer, run: Run) -> None:
    """There is nothing to name it by."""
    (result,) = run(server.url, [17])
    assert (result.id, result.op) == (None, None)
    assert result.error is not None
    assert "not a int" in result.error.message
    assert all(model.__name__ in result.error.message for model in wire.BATCH_LINES.values())


def test_line_whose_failure_is_ours_is_sent_again_and_then_reported(
    server: RunningServer, run: Run
) -> None:
    """As often as the policy says, and alone."""
    before = len(server.runtime.requests)
    results = {
        result.id: result
        for result in run(server.url, [execute("lost", "engine_lost"), verify("v")])
    }
    error = results["lost"].error
    assert error is not None
    assert (error.code, error.retryable) == ("engine_unavailable", True)
    assert results["v"].answer is not None
    assert len(server.runtime.requests) - before == 1 + QUICK.unavailable_retries_max


def test_leaving_the_iteration_ends_the_work(server: RunningServer, run: Run) -> None:
    """On the service too, within two seconds, and in the client no further line is read."""
    taken = 0

    def lines() -> Iterator[dict[str, Any]]:
        nonlocal taken
        for number in range(100_000):
            taken += 1
            yield execute(str(number), "pass" if number == 0 else "sleep 60")

    begun_s = time.monotonic()
    assert len(run(server.url, lines(), first=1, concurrency=2)) == 1
    assert time.monotonic() - begun_s < 5
    assert taken <= 2 * 64 + 2
    wait_until(lambda: server.runtime.running == 0, timeout_s=2)


def test_callers_iterator_that_fails_ends_the_batch_with_its_error(
    server: RunningServer, run: Run
) -> None:
    """It is the caller's, and comes as it is."""

    def lines() -> Iterator[dict[str, Any]]:
        yield execute("0", "sleep 60")
        raise ZeroDivisionError("in the caller's code")

    with pytest.raises(ZeroDivisionError, match="in the caller's code"):
        run(server.url, lines())
    wait_until(lambda: server.runtime.running == 0, timeout_s=2)


def test_empty_batch_has_no_results(server: RunningServer, run: Run) -> None:
    """And sends nothing."""
    assert run(server.url, []) == []


def test_batch_without_streams_is_refused(server: RunningServer, run: Run) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidRequest, match="concurrency"):
        run(server.url, [verify("a")], concurrency=0)


def test_consumer_may_take_its_time(server: RunningServer) -> None:
    """What has arrived is kept, and nothing is held up on the wire."""
    results: list[BatchResult] = []
    with Client(server.url) as client:
        for result in client.batch(verify(str(n)) for n in range(300)):
            if len(results) % 100 == 0:
                time.sleep(0.3)
            results.append(result)
    assert len(results) == 300


async def test_lines_may_come_from_an_asynchronous_iterator(server: RunningServer) -> None:
    """Slowly, too: what is there is sent and answered without waiting for more."""
    answered: asyncio.Queue[str | None] = asyncio.Queue()

    async def lines() -> Any:
        for number in range(3):
            yield verify(str(number))
            assert await asyncio.wait_for(answered.get(), timeout=5) == str(number)

    async with AsyncClient(server.url) as client:
        async for result in client.batch(lines()):
            answered.put_nowait(result.id)


# Services that misbehave


@contextlib.contextmanager
def silent_service() -> Iterator[tuple[str, list[socket.socket]]]:
    """Takes connections, reads nothing from them and says nothing on them."""
    taken: list[socket.socket] = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                taken.append(listener.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", taken
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in taken:
                connection.close()


def test_ending_a_batch_waits_for_no_answer_that_has_not_begun() -> None:
    """What the caller's iterator raises, Ctrl-C for one, arrives at once, and nothing is left."""

    def lines() -> Iterator[dict[str, Any]]:
        yield execute("a")
        wait_until(lambda: taken)
        assert taken[0].recv(1, socket.MSG_PEEK) == b"P"
        raise KeyboardInterrupt

    with silent_service() as (url, taken):
        client = Client(config=ClientConfig(base_url=url, read_timeout_s=20))
        begun_s = time.monotonic()
        with client, pytest.raises(KeyboardInterrupt):
            list(client.batch(lines()))
        assert time.monotonic() - begun_s < 10
        assert not batch_threads()
        taken[0].settimeout(5)
        while taken[0].recv(65536):
            pass


def test_ending_a_batch_whose_lines_wait_for_a_connection_leaves_them_unsent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing can wake what waits for a connection that other requests have; nor is it awaited."""
    monkeypatch.setattr("execbox._batch_sync._STREAM_END_S", 0.2)

    def lines() -> Iterator[dict[str, Any]]:
        yield execute("a")
        wait_until(lambda: len(batch_threads()) > 0)
        raise KeyboardInterrupt

    def ask(client: Client) -> None:
        with contextlib.suppress(ExecboxError):
            client.healthz()

    with silent_service() as (url, taken), contextlib.ExitStack() as ending:
        config = ClientConfig(
            base_url=url, read_timeout_s=20, connections_max=1, retry=RetryPolicy.never()
        )
        client = ending.enter_context(Client(config=config))
        other = threading.Thread(target=ask, args=(client,))
        other.start()
        wait_until(lambda: taken)
        with pytest.raises(KeyboardInterrupt):
            list(client.batch(lines()))
        assert other.is_alive()
        taken[0].close()
        other.join()
        wait_until(lambda: not batch_threads())
        assert len(taken) == 1


def batch_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith("execbox-batch-")]


def test_verify_of_the_client_sends_items_and_returns_verdicts(server: RunningServer) -> None:
    """One request, both clients, mappings or models."""
    item = wire.VerifyItem(id="2", kind="output", response="x", output=1)
    with Client(server.url) as client:
        response = client.verify([ITEM, item], isolation="process")
    assert [item.id for item in response.items] == ["1", "2"]
    assert response.isolation == "process"


async def test_verify_of_the_async_client_is_the_same(server: RunningServer) -> None:
    """Down to what it refuses before sending."""
    async with AsyncClient(server.url) as client:
        response = await client.verify([ITEM])
        assert response.items[0].verdict == "correct"
        with pytest.raises(InvalidRequest, match=r"items\[1\]"):
            await client.verify([ITEM, {"id": "x"}])


def test_lines_are_taken_only_as_long_as_they_fit_into_64_mib(server: RunningServer) -> None:
    """However many could be on their way at once: a service that is slow costs no more."""
    is_enough = threading.Event()
    taken = 0

    def lines() -> Iterator[dict[str, Any]]:
        nonlocal taken
        while not is_enough.is_set():
            taken += 1
            call = {"args": ["x" * 2**20]}
            code = {"code": "sleep 4"}
            yield {"id": str(taken), "op": "execute", "function": code, "calls": [call]}

    results: list[BatchResult] = []

    def take() -> None:
        with Client(config=ClientConfig(base_url=server.url)) as client:
            results.extend(client.batch(lines(), concurrency=64))

    taking = threading.Thread(target=take)
    taking.start()
    try:
        wait_until(lambda: taken >= 64, timeout_s=30)
        time.sleep(0.5)
        assert taken == 64
    finally:
        is_enough.set()
        taking.join(60)
    assert [result.error for result in results] == [None] * taken
