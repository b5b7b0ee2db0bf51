"""``Client.batch`` and ``AsyncClient.batch``: every line one result, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing, closing
from typing import Any, TypeAlias

import pytest

from execbox import (
    AsyncClient,
    AuthenticationError,
    BatchResult,
    Client,
    ClientConfig,
    ExecboxError,
    InvalidRequest,
    InvalidResponse,
    RetryPolicy,
    wire,
)
from tests.api.harness import RunningServer, running_server, wait_until

QUICK = RetryPolicy(backoff_s=0.001, backoff_max_s=0.002, unavailable_retries_max=3)
Run: TypeAlias = Callable[..., list[BatchResult]]
ITEM = {"id": "1", "kind": "output", "prediction": 1, "output": 1}


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    """Send lines to a URL with one of the clients; the results, or as many as ``first``."""

    def sync(
        url: str, lines: Iterable[Any], *, first: float = math.inf, **options: Any
    ) -> list[BatchResult]:
        results = []
        config = ClientConfig(base_url=url, retry=QUICK)
        with Client(config=config) as client, closing(client.batch(lines, **options)) as stream:
            for result in stream:
                results.append(result)
                if len(results) >= first:
                    break
        return results

    async def asynchronous(
        url: str, lines: Iterable[Any], *, first: float = math.inf, **options: Any
    ) -> list[BatchResult]:
        results = []
        client = AsyncClient(config=ClientConfig(base_url=url, retry=QUICK))
        async with client, aclosing(client.batch(lines, **options)) as stream:
            async for result in stream:
                results.append(result)
                if len(results) >= first:
                    break
        return results

    if request.param == "sync":
        return sync
    return lambda *args, **options: asyncio.run(asynchronous(*args, **options))


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """Two slots, around a runtime that runs nothing."""
    with running_server(slot_count="2") as running:
        yield running


def execute(name: str, code: str = "pass", **fields: Any) -> dict[str, Any]:
    line = {"id": name, "op": "execute", "function": {"code": code}, "calls": [{"args": [name]}]}
    return line | fields


def verify(name: str) -> dict[str, Any]:
    return {"id": name, "op": "verify", "items": [ITEM]}


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


class Scripted:
    """Answers the n-th request for a batch with what the n-th step makes of its lines."""

    def __init__(self, *steps: Callable[[list[dict[str, Any]]], bytes]) -> None:
        self.received: list[list[dict[str, Any]]] = []
        self._steps = list(steps)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Scripted:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _address = self._listener.accept()
                with connection, connection.makefile("rb") as file:
                    length = 0
                    while (header := file.readline()) != b"\r\n":
                        name, _, value = header.partition(b":")
                        length = int(value) if name.lower() == b"content-length" else length
                    lines = [json.loads(text) for text in file.read(length).splitlines()]
                    self.received.append(lines)
                    step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
                    connection.sendall(step(lines))


def answer_to(line: dict[str, Any]) -> bytes:
    item = {"id": "1", "verdict": "correct"}
    fields = {"items": [item], "isolation": "process", "engine": "fake", "image": "i"}
    return json.dumps({"id": line["id"], "op": "verify"} | fields).encode() + b"\n"


def response(body: bytes, *, status: str = "200 OK", complete: bool = True) -> bytes:
    length = len(body) if complete else len(body) + 100
    return (
        b"HTTP/1.1 %s\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (status.encode(), length, body)
    )


def all_answers(lines: list[dict[str, Any]]) -> bytes:
    return response(b"\n" + b"".join(answer_to(line) for line in lines))


def half_of_them(lines: list[dict[str, Any]]) -> bytes:
    """Breaks off in the middle of a line."""
    body = b"".join(answer_to(line) for line in lines)
    return response(body[: len(body) // 2], complete=False)


def error_body(code: str, *, retryable: bool) -> bytes:
    error = {"code": code, "message": f"{code} happened", "retryable": retryable}
    return json.dumps({"error": error}).encode()


def busy(_lines: list[dict[str, Any]]) -> bytes:
    return response(error_body("queue_full", retryable=True), status="429 Too Many Requests")


def ten() -> list[dict[str, Any]]:
    return [verify(str(number)) for number in range(10)]


def test_lines_left_unanswered_by_a_broken_stream_are_sent_again(run: Run) -> None:
    """Those and no others, so that every line has one result."""
    with Scripted(half_of_them, all_answers) as service:
        results = run(service.url, ten(), concurrency=1)
        sent = [len(lines) for lines in service.received]
    assert sorted(result.id or "" for result in results) == [str(n) for n in range(10)]
    assert all(result.answer is not None for result in results)
    assert sum(sent) > 10


def test_stream_that_broke_after_answers_may_break_once_before_any(run: Run) -> None:
    """As often as one that never had any: what came before is not counted against it."""
    brings_some = itertools.cycle([True, False])

    def breaks(lines: list[dict[str, Any]]) -> bytes:
        # The first stream may begin before all lines are there, and then has few.
        if len(lines) <= 3:
            return all_answers(lines)
        return half_of_them(lines) if next(brings_some) else response(b"", complete=False)

    with Scripted(*[breaks] * 20) as service:
        results = run(service.url, ten(), concurrency=1)
    assert [result.error for result in results] == [None] * 10


def test_stream_that_breaks_after_answers_is_sent_again_as_long_as_there_are_any(run: Run) -> None:
    """It is not its lines that break it, and each time there are fewer."""

    def breaks_while_there_are_many(lines: list[dict[str, Any]]) -> bytes:
        # The first stream may begin before all lines are there, and then has few.
        return half_of_them(lines[:3]) if len(lines) > 3 else all_answers(lines)

    with Scripted(*[breaks_while_there_are_many] * 20) as service:
        results = run(service.url, ten(), concurrency=1)
        sent = [len(lines) for lines in service.received]
    assert [result.error for result in results] == [None] * 10
    assert len(sent) > 4


def test_stream_that_ends_too_early_is_as_good_as_broken(run: Run) -> None:
    """Ended properly, but with lines unanswered."""
    with Scripted(lambda lines: all_answers(lines[:-1]), all_answers) as service:
        results = run(service.url, ten(), concurrency=1)
    assert len(results) == 10
    assert all(result.answer is not None for result in results)


def test_refusal_of_a_whole_stream_is_retried(run: Run) -> None:
    """As for any other request."""
    with Scripted(busy, busy, all_answers) as service:
        results = run(service.url, ten(), concurrency=1)
    assert [result.error for result in results] == [None] * 10


def gateway(_lines: list[dict[str, Any]]) -> bytes:
    return response(b"<html>Bad gateway</html>", status="502 Bad Gateway")


def test_gateway_whose_service_is_started_again_is_retried(run: Run) -> None:
    """Every line has its answer."""
    with Scripted(gateway, gateway, gateway, all_answers) as service:
        results = run(service.url, ten(), concurrency=1)
    assert [result.error for result in results] == [None] * 10


def test_gateways_answer_beyond_the_retries_is_no_mistake_of_a_line(run: Run) -> None:
    """Whoever sends the lines again later may have an answer."""
    with Scripted(gateway) as service:
        results = run(service.url, ten(), concurrency=1)
    errors = [result.error for result in results]
    assert len(errors) == 10
    assert {(error.code, error.retryable) for error in errors if error} == {("http_502", True)}


def test_failure_that_the_service_does_not_call_retryable_is_no_mistake_of_a_line(
    run: Run,
) -> None:
    """It is not sent again, and nothing is known against the lines."""

    def failing(_lines: list[dict[str, Any]]) -> bytes:
        body = error_body("internal_error", retryable=False)
        return response(body, status="503 Service Unavailable")

    with Scripted(failing) as service:
        results = run(service.url, [verify("a")], concurrency=1)
        assert len(service.received) == 1
    assert [result.error.retryable for result in results if result.error] == [True]


def test_lines_lost_beyond_the_retries_are_reported(run: Run) -> None:
    """Each with the reason, none dropped."""
    with Scripted(lambda _lines: b"") as service:
        results = run(service.url, ten(), concurrency=1)
    assert sorted(result.id or "" for result in results) == [str(n) for n in range(10)]
    errors = [result.error for result in results]
    assert all(error is not None and error.retryable for error in errors)
    assert {error.code for error in errors if error} == {"connection_broken"}


def test_service_that_is_gone_costs_its_retries_once(run: Run) -> None:
    """The lines after that are tried once each, and all are reported."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        results = run(url, (verify(str(n)) for n in range(500)))
    assert len(results) == 500
    assert {result.error.code for result in results if result.error} == {"connect_failed"}


def test_answers_nobody_asked_for_are_ignored(run: Run) -> None:
    """A number that was not sent, or an answer given twice, is no result."""

    def too_many(lines: list[dict[str, Any]]) -> bytes:
        stranger = answer_to({"id": "99999"})
        return response(stranger + b"".join(answer_to(line) * 2 for line in lines))

    with Scripted(too_many) as service:
        assert len(run(service.url, ten(), concurrency=1)) == 10


def test_failure_of_the_stream_is_its_lines_failure(run: Run) -> None:
    """The service names a line by its number where it could not read its id."""

    def refuse_first(lines: list[dict[str, Any]]) -> bytes:
        error = {"code": "line_too_large", "message": "too large", "retryable": False}
        failed = json.dumps({"line": 1, "error": error}).encode() + b"\n"
        return response(failed + b"".join(answer_to(line) for line in lines[1:]))

    with Scripted(refuse_first) as service:
        results = run(service.url, [verify("a")], concurrency=1)
    assert [result.id for result in results] == ["a"]
    assert results[0].error is not None
    assert results[0].error.code == "line_too_large"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        ("401 Unauthorized", error_body("unauthorized", retryable=False), AuthenticationError),
        ("404 Not Found", b"<html>", InvalidResponse),
    ],
)
def test_refusal_that_would_meet_every_line_is_raised(
    run: Run, status: str, body: bytes, kind: type[Exception]
) -> None:
    """There is no point in going on."""
    with Scripted(lambda _lines: response(body, status=status)) as service, pytest.raises(kind):
        run(service.url, ten())


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
