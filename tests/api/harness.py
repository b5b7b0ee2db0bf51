"""A real uvicorn on loopback around a runtime that runs nothing, and raw sockets to talk to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import uvicorn

from execbox.wire import (
    Capabilities,
    ErrorCode,
    ExecuteRequest,
    ExecuteResponse,
    Execution,
    GenerateRequest,
    GenerateResponse,
    Readiness,
    RunRequest,
    RunResponse,
    Verdict,
    VerifiedItem,
    VerifyRequest,
    VerifyResponse,
)
from execbox_service.api.app import create_app
from execbox_service.api.runtime_protocol import ExecutionRuntime
from execbox_service.failures import Overloaded, ServiceFailure
from execbox_service.main import uvicorn_config
from execbox_service.metrics import Metrics, MetricSample
from execbox_service.operations.registry import Operation
from execbox_service.operations.sessions import Sessions
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.reservations import KeyQueue
from execbox_service.settings import Settings, load_settings

IMAGE = "sha256:0000"


@dataclass
class FakeRuntime:
    """Answers each call with its own arguments; the code says if it should do anything else."""

    started: int = 0
    stopped: int = 0
    ready: bool = True
    requests: list[ExecuteRequest] = field(default_factory=list)
    principals: list[str] = field(default_factory=list)
    running: int = 0
    cancelled: int = 0
    answer: Any = None
    delay_s: float = 0.0
    """Before whatever it answers."""
    metrics: Metrics = field(default_factory=Metrics)
    queues: list[KeyQueue] = field(default_factory=list)

    async def start(self) -> None:
        self.started += 1

    async def stop(self) -> None:
        self.stopped += 1

    @property
    def sessions(self) -> Sessions:
        raise AssertionError("a fake runtime has no sessions")

    @property
    def waiting_count(self) -> int:
        return 0

    async def exposition(self) -> bytes:
        return self.metrics.render()

    async def samples(self) -> Iterable[MetricSample]:
        return self.metrics.samples()

    async def perform(self, operation: Operation[Any, Any], request: Any, *, caller: Caller) -> Any:
        self.principals.append(caller.principal)
        await asyncio.sleep(self.delay_s)
        return await getattr(self, operation.name)(request)

    async def execute(self, request: ExecuteRequest) -> ExecuteResponse:
        self.requests.append(request)
        code = request.function.code
        if code == "overloaded":
            raise Overloaded(ErrorCode.QUEUE_FULL, "the queue is full; retry", retry_after_s=2.3)
        if code == "engine_lost":
            raise ServiceFailure(
                ErrorCode.ENGINE_UNAVAILABLE, "the engine went away", retry_after_s=0.01
            )
        if code == "bug":
            raise RuntimeError("secret: " + repr(request.calls))
        if code.startswith("sleep "):
            await self._sleep(float(code.removeprefix("sleep ")))
        return self._response(request)

    async def generate(self, request: GenerateRequest) -> GenerateResponse:
        return GenerateResponse(
            pairs=[],
            rejected={},
            examples={},
            attempts=request.attempts,
            stopped="attempts",
            isolation=request.isolation,
            engine="fake",
            image=IMAGE,
            queue_time_s=0.0,
        )

    async def verify(self, request: VerifyRequest) -> VerifyResponse:
        return VerifyResponse(
            items=[VerifiedItem(id=item.id, verdict=Verdict.CORRECT) for item in request.items],
            isolation=request.isolation,
            engine="fake",
            image=IMAGE,
        )

    async def run(self, request: RunRequest) -> RunResponse:
        return RunResponse(
            runs=[], isolation=request.isolation, engine="fake", image=IMAGE, queue_time_s=0.0
        )

    async def _sleep(self, duration_s: float) -> None:
        self.running += 1
        try:
            await asyncio.sleep(duration_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    def _response(self, request: ExecuteRequest) -> ExecuteResponse:
        outputs = [
            self.answer
            if self.answer is not None
            else (call.kwargs if call.args is None else call.args)
            for call in request.calls
        ]
        return ExecuteResponse.model_validate(
            {
                "executions": [
                    Execution.model_validate({"status": "ok", "output": output})
                    for output in outputs
                ],
                "isolation": request.isolation,
                "engine": "fake",
                "image": IMAGE,
                "queue_time_s": 0.0,
            }
        )

    def key_queues(self) -> list[KeyQueue]:
        return self.queues

    def readiness(self) -> Readiness:
        return Readiness(ready=self.ready, reason=None if self.ready else "no engine")

    def capabilities(self) -> Capabilities:
        return Capabilities(
            version="0",
            engine="fake",
            image=IMAGE,
            python="3.11",
            packages={},
            isolation=["container"],
            profiles=["default"],
            concurrency=1,
            limits_default={},
            limits_max={},
        )


def as_runtime(fake: FakeRuntime) -> ExecutionRuntime:
    """For the type checker: the operations that are not faked have tests of their own."""
    return cast(ExecutionRuntime, fake)


@dataclass(frozen=True)
class Answer:
    """One HTTP response as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        code = self.json["error"]["code"]
        assert isinstance(code, str)
        return code


@dataclass(frozen=True)
class Server:
    """Ways to talk to a server on loopback."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def exchange(self, raw: bytes) -> Answer:
        """Send these bytes on a connection of their own and read one answer."""
        with self.connect() as connection:
            with contextlib.suppress(OSError):
                connection.sendall(raw)
            return read_answer(connection)

    def post(self, body: bytes, *, path: str = "/v1/execute", headers: str = "") -> Answer:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
        )
        return self.exchange(head.encode("latin-1") + body)

    def get(self, path: str, *, headers: str = "", method: str = "GET") -> Answer:
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
        return self.exchange(head.encode("latin-1"))

    def canary_is_ok(self) -> bool:
        answer = self.post(execute_body(function={"code": "def main_solution(x): return x"}))
        return bool(answer.json["executions"][0]["status"] == "ok")


@dataclass(frozen=True)
class RunningServer(Server):
    """A server in a thread of this process."""

    settings: Settings
    runtime: FakeRuntime


def execute_body(**fields: Any) -> bytes:
    """A request that is accepted, but for what ``fields`` change."""
    request: dict[str, Any] = {"function": {"code": "pass"}, "calls": [{"args": [1]}]}
    return json.dumps(request | fields).encode("utf-8")


def read_answer(connection: socket.socket) -> Answer:
    """The next response; b'' in the middle of one is an error of the test."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(1)
        assert piece, f"the connection ended within a response's headers: {head!r}"
        head += piece
    lines = head.decode("latin-1").split("\r\n")
    pairs = (line.split(": ", 1) for line in lines[1:] if line)
    headers = {name.lower(): value for name, value in pairs}
    body = b""
    while missing_bytes := int(headers["content-length"]) - len(body):
        piece = connection.recv(min(missing_bytes, 1 << 20))
        assert piece, "the connection ended within a response's body"
        body += piece
    return Answer(int(lines[0].split(" ")[1]), headers, body)


def is_closed(connection: socket.socket) -> bool:
    """Whether the server ends the connection, within the socket's timeout."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def assert_error(answer: Answer, status: int) -> None:
    """The one error shape, with everything that is required of every error."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert len(answer.body) < 4096
    assert set(answer.json) == {"error"}
    error = answer.json["error"]
    assert set(error) == {"code", "message", "detail", "retryable"}
    assert error["retryable"] == (status in (408, 429, 503))
    assert "Traceback" not in answer.body.decode("utf-8")
    if status in (429, 503):
        assert int(answer.headers["retry-after"]) >= 1


@contextlib.contextmanager
def running_server(**overrides: str) -> Iterator[RunningServer]:
    """Serve with these settings in a thread, on any port unless they name one; ends the server with
    the block."""
    settings = load_settings({"port": "0"} | overrides)
    runtime = FakeRuntime()
    server = uvicorn.Server(uvicorn_config(create_app(settings, as_runtime(runtime)), settings))
    listener = socket.create_server(("127.0.0.1", settings.port))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield RunningServer(listener.getsockname()[1], settings, runtime)
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        listener.close()
    assert not thread.is_alive()


def wait_until(condition: Any, *, timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
