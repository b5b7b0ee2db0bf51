from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from execbox import (
    AsyncClient,
    AuthenticationError,
    Client,
    ClientConfig,
    ConnectFailed,
    ConnectionBroken,
    InvalidRequest,
    InvalidResponse,
    Overloaded,
    RequestTimedOut,
    RetryPolicy,
    ServiceError,
    ServiceUnavailable,
    Status,
    TransportError,
)
from tests.api.harness import running_server

if TYPE_CHECKING:
    from tests.client.conftest import ScriptedServer

Perform: TypeAlias = Callable[..., Awaitable[Any]]

SOURCE = "def main_solution(n): return n"
QUICK = RetryPolicy(backoff_s=0.001, backoff_max_s=0.002, window_s=30.0)
HEALTHY = {"status": "ok"}
CAPABILITIES = {
    "version": "1",
    "engine": "fake",
    "image": "sha256:0",
    "python": "3.11.2",
    "packages": {"numpy": "1"},
    "isolation": ["container"],
    "profiles": ["default"],
    "concurrency": 2,
    "limits_default": {},
    "limits_max": {},
}


def ok_body(*outputs: str) -> bytes:
    """An execute response, its outputs given as JSON text."""
    executions = ",".join(f'{{"status":"ok","output":{output}}}' for output in outputs)
    rest = '"isolation":"container","engine":"fake","image":"i","queue_time_s":0'
    return f'{{"executions":[{executions}],{rest}}}'.encode()


@pytest.fixture(params=[Client, AsyncClient], ids=["sync", "async"])
def perform(request: pytest.FixtureRequest) -> Perform:
    """Calls one method of a fresh client of either kind: ``await perform(url, "healthz")``."""

    async def call(
        url: str, method: str, *args: object, config: dict[str, Any] | None = None, **kwargs: object
    ) -> Any:
        settings: dict[str, Any] = {"base_url": url, "retry": QUICK} | (config or {})
        client = request.param(config=ClientConfig(**settings))
        try:
            result = getattr(client, method)(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result
        finally:
            await client.aclose() if isinstance(client, AsyncClient) else client.close()

    return call


async def test_execute_200_gives_the_typed_response(
    server: ScriptedServer, perform: Perform
) -> None:
    """One request is sent, with the key and the type, and the answer is the wire model."""
    server.reply(200, ok_body("42"))
    config = {"api_key": "s3cret"}
    response = await perform(server.url, "execute", SOURCE, [{"n": 42}], config=config)
    assert (response.executions[0].status, response.executions[0].output) == (Status.OK, 42)
    (request,) = server.received
    assert (request.method, request.path) == ("POST", "/v1/execute")
    assert request.json["calls"] == [{"kwargs": {"n": 42}}]
    assert request.headers["Authorization"] == "Bearer s3cret"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["User-Agent"].startswith("execbox/")


async def test_execute_without_a_key_sends_no_authorization(
    server: ScriptedServer, perform: Perform
) -> None:
    """An empty Authorization header would be refused by the service."""
    server.reply(200, ok_body("1"))
    await perform(server.url, "execute", SOURCE, [{}])
    assert "Authorization" not in server.received[0].headers


async def test_execute_base_url_with_a_path_keeps_it(
    server: ScriptedServer, perform: Perform
) -> None:
    """A service behind a proxy may live below a path."""
    server.reply(200, ok_body("1"))
    await perform(f"{server.url}/box/", "execute", SOURCE, [{}])
    assert server.received[0].path == "/box/v1/execute"


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/box/v1"])
async def test_execute_base_url_that_ends_in_v1_is_the_service_all_the_same(
    path: str, server: ScriptedServer, perform: Perform
) -> None:
    """As the addresses of model endpoints end; every path of the API begins with it."""
    server.reply(200, ok_body("1")).reply(200, HEALTHY)
    await perform(f"{server.url}{path}", "execute", SOURCE, [{}])
    await perform(f"{server.url}{path}", "healthz")
    prefix = "/box" if "box" in path else ""
    paths = [request.path for request in server.received]
    assert paths == [f"{prefix}/v1/execute", f"{prefix}/healthz"]


async def test_execute_with_a_wrong_key_says_where_the_key_is_taken_from(
    server: ScriptedServer, perform: Perform
) -> None:
    """The service knows headers only; the caller knows variables."""
    server.fail(401, "unauthorized", retryable=False)
    with pytest.raises(AuthenticationError, match=r"unauthorized happened .*EXECBOX_API_KEY"):
        await perform(server.url, "execute", SOURCE, [{}])


async def test_service_that_is_down_says_what_to_look_at(dead_url: str, perform: Perform) -> None:
    """Its address, and how to start one."""
    with pytest.raises(ConnectFailed, match=r"EXECBOX_URL.*`execbox serve`"):
        await perform(dead_url, "healthz", config={"retry": RetryPolicy.never()})


@pytest.mark.parametrize("digits", [40, 4300])
async def test_execute_big_integer_survives_both_ways(
    digits: int, server: ScriptedServer, perform: Perform
) -> None:
    """Integers are exact in the request and in the response."""
    number = int("7" * digits)
    server.reply(200, ok_body("7" * digits))
    response = await perform(server.url, "execute", SOURCE, [{"n": number}])
    assert server.received[0].json["calls"][0]["kwargs"]["n"] == number
    assert response.executions[0].output == number


@pytest.mark.parametrize(
    "body",
    [
        ok_body("7" * 4301),
        ok_body("NaN"),
        ok_body("1", "2"),
        ok_body(),
        b"garbage",
        b"",
        b'{"executions": [{"status": "no such status"}]}',
    ],
    ids=["digits", "nan", "too_many", "too_few", "garbage", "empty", "status"],
)
async def test_execute_unreadable_200_is_an_invalid_response_and_not_retried(
    body: bytes, server: ScriptedServer, perform: Perform
) -> None:
    """An answer that breaks the contract is an error, not a crash and not a result."""
    server.reply(200, body)
    with pytest.raises(InvalidResponse):
        await perform(server.url, "execute", SOURCE, [{}])
    assert len(server.received) == 1


async def test_execute_422_is_the_callers_mistake_and_not_retried(
    server: ScriptedServer, perform: Perform
) -> None:
    """The service's code, message and detail arrive."""
    server.fail(422, "bad_limits", retryable=False)
    with pytest.raises(InvalidRequest, match="bad_limits happened") as caught:
        await perform(server.url, "execute", SOURCE, [{}])
    assert (caught.value.code, caught.value.detail) == ("bad_limits", {"at": 1})
    assert len(server.received) == 1


async def test_execute_429_is_retried_after_the_time_asked_for(
    server: ScriptedServer, perform: Perform, stopwatch: Callable[[], float]
) -> None:
    """Retry-After is waited out, and the same body is sent again."""
    server.fail(429, "queue_full", retryable=True, headers={"Retry-After": "0.3"})
    server.reply(200, ok_body("1"))
    response = await perform(server.url, "execute", SOURCE, [{"n": 5}])
    assert response.executions[0].output == 1
    assert stopwatch() >= 0.3
    first, second = server.received
    assert first.body == second.body


async def test_execute_429_with_retry_after_beyond_the_window_is_raised_at_once(
    server: ScriptedServer, perform: Perform, stopwatch: Callable[[], float]
) -> None:
    """Waiting longer than the window permits would be in vain."""
    server.fail(429, "queue_full", retryable=True, headers={"Retry-After": "3600"})
    with pytest.raises(Overloaded) as caught:
        await perform(server.url, "execute", SOURCE, [{}])
    assert caught.value.retry_after_s == 3600
    assert stopwatch() < 5
    assert len(server.received) == 1


async def test_execute_503_retryable_is_retried_until_it_succeeds(
    server: ScriptedServer, perform: Perform
) -> None:
    """A service that recovers is not an error."""
    for _ in range(3):
        server.fail(503, "engine_down", retryable=True)
    server.reply(200, ok_body("1"))
    await perform(server.url, "execute", SOURCE, [{}])
    assert len(server.received) == 4


async def test_execute_503_retryable_for_ever_is_raised_after_bounded_attempts(
    server: ScriptedServer, perform: Perform
) -> None:
    """The last failure is raised, with all it said."""
    for _ in range(10):
        server.fail(503, "engine_down", retryable=True)
    with pytest.raises(ServiceUnavailable) as caught:
        await perform(server.url, "execute", SOURCE, [{}])
    assert (caught.value.code, caught.value.retryable) == ("engine_down", True)
    assert len(server.received) == 1 + QUICK.unavailable_retries_max


async def test_execute_429_is_waited_out_however_often_it_comes(
    server: ScriptedServer, perform: Perform
) -> None:
    """A full queue has room again some time, and the caller gets a verdict."""
    for _ in range(40):
        server.fail(429, "queue_full", retryable=True, headers={"Retry-After": "0"})
    server.reply(200, ok_body("1"))
    response = await perform(server.url, "execute", SOURCE, [{}])
    assert response.executions[0].output == 1
    assert len(server.received) == 41


async def test_execute_429_for_ever_is_raised_when_the_window_ends(
    server: ScriptedServer, perform: Perform
) -> None:
    """With what the service said last; no attempt begins that would end outside of it."""
    for _ in range(4):
        server.fail(429, "queue_full", retryable=True, headers={"Retry-After": "0.2"})
    policy = replace(QUICK, window_s=0.5)
    with pytest.raises(Overloaded, match="queue_full"):
        await perform(server.url, "execute", SOURCE, [{}], config={"retry": policy})
    assert 1 <= len(server.received) <= 3


async def test_execute_503_of_the_service_not_said_to_be_retryable_is_raised_at_once(
    server: ScriptedServer, perform: Perform
) -> None:
    """It knows best."""
    server.fail(503, "engine_down", retryable=False)
    with pytest.raises(ServiceUnavailable, match="engine_down"):
        await perform(server.url, "execute", SOURCE, [{}])
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("status", "kind", "retries"),
    [
        (500, ServiceError, 0),
        (502, ServiceError, QUICK.unavailable_retries_max),
        (503, ServiceUnavailable, QUICK.unavailable_retries_max),
        (504, ServiceError, QUICK.broken_retries_max),
    ],
)
async def test_execute_gateways_answer_is_raised_after_the_retries_of_what_is_behind_it(
    status: int, kind: type[ServiceError], retries: int, server: ScriptedServer, perform: Perform
) -> None:
    """nginx answers 502 while the service is started again, and 504 where it was too slow."""
    for _ in range(10):
        server.reply(status, b"<html>Bad gateway</html>")
    with pytest.raises(kind, match="Bad gateway"):
        await perform(server.url, "execute", SOURCE, [{}])
    assert len(server.received) == 1 + retries


async def test_execute_through_a_gateway_outlasts_a_start_of_the_service(
    server: ScriptedServer, perform: Perform
) -> None:
    """As where nothing stands before it."""
    for _ in range(3):
        server.reply(502, b"<html>Bad gateway</html>")
    server.reply(200, ok_body("1"))
    response = await perform(server.url, "execute", SOURCE, [{}])
    assert response.executions[0].output == 1


@pytest.mark.parametrize(
    "data",
    [b"", b"not HTTP at all\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"],
    ids=["closed", "not_http", "cut_off"],
)
async def test_execute_broken_connection_is_retried_once(
    data: bytes, server: ScriptedServer, perform: Perform
) -> None:
    """Executions have no effect outside, so a second attempt is safe; a third is not made."""
    server.raw(data).reply(200, ok_body("1"))
    response = await perform(server.url, "execute", SOURCE, [{}])
    assert response.executions[0].output == 1
    server.raw(data).raw(data).reply(200, ok_body("1"))
    with pytest.raises(ConnectionBroken, match="broke before the answer was complete"):
        await perform(server.url, "execute", SOURCE, [{}])
    assert len(server.received) == 4


async def test_connection_that_broke_after_a_long_silence_says_what_it_may_have_been(
    server: ScriptedServer, perform: Perform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy with a limit, and what helps; one that broke at once says nothing of proxies."""
    config = {"retry": RetryPolicy.never()}
    server.raw(b"")
    with pytest.raises(ConnectionBroken) as soon:
        await perform(server.url, "execute", SOURCE, [{}], config=config)
    monkeypatch.setattr("execbox._transport_errors._SHORT_S", 0.0)
    server.raw(b"")
    with pytest.raises(ConnectionBroken) as late:
        await perform(server.url, "execute", SOURCE, [{}], config=config)
    assert "proxy" not in str(soon.value)
    assert "raise its limit (nginx: proxy_read_timeout), or send the work as lines" in str(
        late.value
    )


async def test_execute_slow_answer_times_out_and_is_not_retried(
    server: ScriptedServer, perform: Perform
) -> None:
    """A second wait of the same length would help nobody."""
    server.stall().reply(200, ok_body("1"))
    config = {"read_timeout_s": 0.2}
    with pytest.raises(RequestTimedOut, match=r"within 0\.2 s"):
        await perform(server.url, "execute", SOURCE, [{}], config=config)
    assert len(server.received) == 1


async def test_execute_nothing_listening_is_connect_failed_after_its_retries(
    dead_url: str, perform: Perform
) -> None:
    """The message names the URL; nothing was sent."""
    with pytest.raises(ConnectFailed, match=dead_url):
        await perform(dead_url, "execute", SOURCE, [{}])


@pytest.mark.parametrize("kind", [Client, AsyncClient])
async def test_execute_service_that_is_started_again_is_waited_for(kind: Any) -> None:
    """One that has answered before; an address that never has is mostly a wrong one."""
    policy = RetryPolicy(backoff_s=0.2, backoff_max_s=0.4, connect_retries_max=0)
    answered = threading.Event()

    def start_again(port: int) -> None:
        time.sleep(0.5)
        with running_server(port=str(port)):
            answered.wait(10)

    with running_server() as server:
        client = kind(config=ClientConfig(base_url=server.url, retry=policy))
        await _result(client.execute(SOURCE, [{}]))
    starting = threading.Thread(target=start_again, args=[server.port])
    starting.start()
    try:
        response = await _result(client.execute(SOURCE, [{}]))
    finally:
        answered.set()
        starting.join()
    assert response.executions[0].status is Status.OK
    with pytest.raises(ConnectFailed) as gone:
        await _result(client.execute(SOURCE, [{}]))
    assert gone.value.once_answered
    await _result(client.aclose() if isinstance(client, AsyncClient) else client.close())


async def _result(found: Any) -> Any:
    return await found if inspect.isawaitable(found) else found


async def test_execute_proxy_in_the_environment_is_left_aside_for_loopback(
    server: ScriptedServer, perform: Perform, dead_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy cannot reach this machine's loopback, whatever NO_PROXY forgot."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, dead_url)
    server.reply(200, ok_body("1"))
    await perform(server.url, "execute", SOURCE, [{}])
    assert len(server.received) == 1


async def test_capabilities_200_gives_the_typed_answer(
    server: ScriptedServer, perform: Perform
) -> None:
    """The operation reads its own path and model."""
    server.reply(200, CAPABILITIES)
    capabilities = await perform(server.url, "capabilities")
    assert (capabilities.engine, capabilities.concurrency) == ("fake", 2)
    assert server.received[0].path == "/v1/capabilities"


async def test_healthz_200_says_ok(server: ScriptedServer, perform: Perform) -> None:
    """The operation reads its own path and model."""
    server.reply(200, HEALTHY)
    assert (await perform(server.url, "healthz")).status == "ok"
    assert server.received[0].path == "/healthz"


async def test_readyz_503_with_a_reason_is_an_answer(
    server: ScriptedServer, perform: Perform
) -> None:
    """Not being ready is what was asked, so it is returned, and not retried."""
    server.reply(503, {"ready": False, "reason": "building the image"})
    readiness = await perform(server.url, "readyz")
    assert (readiness.ready, readiness.reason) == (False, "building the image")
    assert len(server.received) == 1


async def test_readyz_503_of_another_kind_is_raised(
    server: ScriptedServer, perform: Perform
) -> None:
    """A 503 that says nothing about readiness is a failure of the service."""
    server.fail(503, "shutting_down", retryable=False)
    with pytest.raises(ServiceUnavailable, match="shutting_down"):
        await perform(server.url, "readyz")


async def test_wait_until_ready_service_becoming_ready_returns(
    server: ScriptedServer, perform: Perform
) -> None:
    """It asks through broken connections, strangers' pages and a no, until the yes."""
    server.raw(b"").reply(502, b"<html>").reply(503, {"ready": False, "reason": "warming"})
    server.reply(200, {"ready": True})
    await perform(server.url, "wait_until_ready", timeout_s=20.0)
    assert [request.path for request in server.received] == ["/readyz"] * 4


async def test_wait_until_ready_service_never_ready_raises_its_reason_in_time(
    server: ScriptedServer, perform: Perform, stopwatch: Callable[[], float]
) -> None:
    """The timeout holds, and the error says what the service said last."""
    for _ in range(20):
        server.reply(503, {"ready": False, "reason": "no image"})
    with pytest.raises(ServiceUnavailable, match="not ready: no image") as caught:
        await perform(server.url, "wait_until_ready", timeout_s=0.6)
    assert caught.value.code == "not_ready"
    assert 0.6 <= stopwatch() < 5
    assert 3 <= len(server.received) <= 6


async def test_wait_until_ready_nothing_there_raises_a_transport_error_in_time(
    dead_url: str, perform: Perform, stopwatch: Callable[[], float]
) -> None:
    """A service that never came up is told apart from one that is not ready."""
    with pytest.raises(TransportError):
        await perform(dead_url, "wait_until_ready", timeout_s=0.3)
    assert 0.3 <= stopwatch() < 5


async def test_wait_until_ready_service_that_stalls_does_not_outlast_the_timeout(
    server: ScriptedServer, perform: Perform, stopwatch: Callable[[], float]
) -> None:
    """An attempt gets no more time than is left."""
    server.stall().stall()
    with pytest.raises(RequestTimedOut):
        await perform(server.url, "wait_until_ready", timeout_s=0.5)
    assert stopwatch() < 4


async def test_wait_until_ready_rejected_key_is_raised_at_once(
    server: ScriptedServer, perform: Perform
) -> None:
    """Waiting does not make a key right."""
    server.fail(401, "unauthorized", retryable=False)
    with pytest.raises(Exception, match="unauthorized happened"):
        await perform(server.url, "wait_until_ready", timeout_s=20.0)
    assert len(server.received) == 1


def test_client_shared_between_threads_answers_each(server: ScriptedServer) -> None:
    """One client serves many threads at once, also more than it has connections."""
    for _ in range(24):
        server.reply(200, ok_body("1"))
    outputs: list[object] = []
    config = ClientConfig(base_url=server.url, connections_max=3)
    with Client(config=config) as client:

        def work(number: int) -> None:
            outputs.append(client.execute(SOURCE, [{"n": number}]).executions[0].output)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert outputs == [1] * 24
    sent = sorted(request.json["calls"][0]["kwargs"]["n"] for request in server.received)
    assert sent == list(range(24))


async def test_async_client_shared_between_tasks_answers_each(server: ScriptedServer) -> None:
    """One client serves many tasks at once, also more than it has connections."""
    for _ in range(24):
        server.reply(200, ok_body("1"))
    config = ClientConfig(base_url=server.url, connections_max=3)
    async with AsyncClient(config=config) as client:
        responses = await asyncio.gather(
            *(client.execute(SOURCE, [{"n": number}]) for number in range(24))
        )
    assert [response.executions[0].output for response in responses] == [1] * 24


async def test_async_client_cancelled_while_waiting_stops_at_once(
    server: ScriptedServer, stopwatch: Callable[[], float]
) -> None:
    """Cancellation is not swallowed or turned into an error of ours."""
    server.stall()
    async with AsyncClient(server.url) as client:
        task = asyncio.create_task(client.execute(SOURCE, [{}]))
        await asyncio.to_thread(server.wait_until_received)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert stopwatch() < 5


def test_clients_have_the_same_methods_with_the_same_documentation() -> None:
    """What one can, the other can, and says the same about it."""

    def documentation(client: type) -> dict[str, str | None]:
        members = inspect.getmembers(client, inspect.isfunction)
        return {name: member.__doc__ for name, member in members if not name.startswith("_")}

    sync, asynchronous = documentation(Client), documentation(AsyncClient)
    asynchronous["close"] = asynchronous.pop("aclose")
    assert sync.keys() == asynchronous.keys()
    # An asynchronous generator is ended in another way, and has to say so.
    del sync["batch"], asynchronous["batch"]
    assert sync == asynchronous
    assert all(sync.values())


def test_client_used_after_close_is_refused(server: ScriptedServer) -> None:
    """A closed client opens no connection again; closing it twice is nothing."""
    client = Client(server.url)
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.healthz()
    assert server.received == []


def test_client_shared_between_threads_keeps_to_its_connections(server: ScriptedServer) -> None:
    """No more requests are under way at once than connections_max."""
    for _ in range(5):
        server.stall()
    config = ClientConfig(base_url=server.url, connections_max=2, retry=RetryPolicy.never())
    with Client(config=config) as client:

        def work() -> None:
            with pytest.raises(ConnectionBroken):
                client.execute(SOURCE, [{}])

        threads = [threading.Thread(target=work) for _ in range(5)]
        for thread in threads:
            thread.start()
        server.wait_until_received(count=2)
        with pytest.raises(AssertionError):
            server.wait_until_received(count=3, within_s=0.3)
        server.stopping.set()
        for thread in threads:
            thread.join()
    assert len(server.received) == 5
