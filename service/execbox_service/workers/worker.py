"""One worker: a process that answers the connections it is handed, with sandboxes of its own.

Everything that is of the whole machine it has from the front: connections, slots, what keys may do,
whether the service is ready, metrics. Without the front it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import uvicorn

from execbox.strict_json import DIGITS_MAX
from execbox.wire import Capabilities, Readiness
from execbox_service.api.app import create_app, memory_of
from execbox_service.api.connection import protocol_class
from execbox_service.api.logs import configure_logging
from execbox_service.api.server import ends_on_signals, quiet_startup_failure, uvicorn_config
from execbox_service.engines.choose import EngineChoice
from execbox_service.metrics import MetricSample, samples_in
from execbox_service.operations.registry import Operation, RequestT, ResponseT
from execbox_service.runtime import Part, Runtime
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.memory import Memory
from execbox_service.scheduling.offload import leave_collecting_to_us
from execbox_service.scheduling.reservations import KeyQueue
from execbox_service.settings import Settings
from execbox_service.workers.board import Board, board_keys
from execbox_service.workers.borrowed_slots import BorrowedSlots
from execbox_service.workers.counted_keys import SharedKeyCounts, SharedSessionRoom
from execbox_service.workers.ledger import Ask
from execbox_service.workers.link import Link, Message, open_link
from execbox_service.workers.metric_sums import as_json
from execbox_service.workers.session_calls import SessionServer, as_failure
from execbox_service.workers.session_router import SessionRouter, session_socket

__all__ = ["Choose", "Hello", "read_hello", "run_worker"]

_PEER_BYTES_MAX: Final = 256
_LOOK_S: Final = 0.25
_LET_GO_S: Final = 2.0
"""For the front to answer a worker that leaves by itself: it may hang."""
_HELLO_BYTES_MAX: Final = 1 << 20

Choose = Callable[..., Any]


@dataclass(frozen=True)
class Hello:
    """What the front says first."""

    settings: Settings
    number: int
    count: int
    folder: str
    """Where workers answer each other."""
    engine: str | None
    """What the others run functions with; None where they are being started, too."""
    image_id: str | None


def run_worker(arguments: Sequence[str], *, choose: Choose | None = None) -> int:
    """Serve until the front says that it is enough, or is gone; returns the exit code.

    ``arguments`` are the descriptors of the link, of what connections come over, and of the board.
    ``choose`` takes the place of the engine that the settings name.
    """
    link_fd, intake_fd, board_fd = map(int, arguments)
    link_end, intake = socket.socket(fileno=link_fd), socket.socket(fileno=intake_fd)
    hello = read_hello(link_end)
    configure_logging(hello.settings, worker=hello.number)
    sys.set_int_max_str_digits(DIGITS_MAX)
    board = Board(
        board_fd,
        keys=board_keys([name for name, _ in hello.settings.api_key_hashes]),
        worker_count=hello.count,
    )
    memory = memory_of(hello.settings)
    front = _Front(board, hello)
    part = Part(
        number=hello.number,
        count=hello.count,
        slots=front.slots,
        session_room=SharedSessionRoom(
            board,
            worker_number=hello.number,
            count_max=hello.settings.session_count_max,
            key_count_max=hello.settings.key_session_count_max,
        ),
        # The front has it of a worker, whose engine it names.
        engine=cast(EngineChoice | None, hello.engine),
        image_id=hello.image_id,
        choose=choose,
    )
    runtime = _WorkerRuntime(Runtime(hello.settings, part), front, hello, memory)
    app = create_app(
        hello.settings,
        runtime,
        memory=memory,
        key_counts=SharedKeyCounts(board, worker_number=hello.number),
    )
    server = _Server(app, runtime, link_end=link_end, intake=intake, hello=hello)
    # uvicorn raises SystemExit if the lifespan did not start; the front has been told why.
    with ends_on_signals(server), quiet_startup_failure(app), contextlib.suppress(SystemExit):
        server.run(sockets=[])
    return 0 if server.started else 1


def read_hello(link_end: socket.socket) -> Hello:
    """Before there is an event loop. What the front says after it stays unread: where a different
    worker ends at its start, this one is told so before it has read its hello."""
    text = b""
    while not text.endswith(b"\n"):
        piece = link_end.recv(65536, socket.MSG_PEEK)
        if not piece or len(text) > _HELLO_BYTES_MAX:
            raise SystemExit(1)
        text += link_end.recv(piece.find(b"\n") + 1 or len(piece))
    _kind, values, number, count, folder, engine, image_id = json.loads(text)
    settings = Settings(**values)
    share = max(8, math.ceil(settings.connection_count_max / count))
    settings = settings.model_copy(update={"connection_count_max": share})
    return Hello(settings, number, count, folder, engine, image_id)


class _Front:
    """The front, as this worker knows it."""

    def __init__(self, board: Board, hello: Hello) -> None:
        self.link: Link | None = None
        self.readiness: Readiness | None = None
        """Of the whole, as the front last said."""
        self.slots = BorrowedSlots(
            board,
            worker_number=hello.number,
            slot_count=hello.settings.slot_count,
            queue_wait_max_s=hello.settings.queue_wait_max_s,
            ask=self._ask,
            ask_spare=lambda number, caller: self.send(
                "spare", number, caller.principal, caller.lane
            ),
            give_back=lambda number: self.send("back", number),
        )
        self._expositions: dict[int, asyncio.Future[str]] = {}
        self.key_queues: list[KeyQueue] = []

    def send(self, kind: str, *values: object) -> None:
        """Nothing where the front is not there yet, or no more."""
        if self.link is not None:
            self.link.send(kind, *values)

    async def exposition(self) -> bytes:
        """The metrics of all workers."""
        number = len(self._expositions)
        while number in self._expositions:
            number += 1
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._expositions[number] = future
        self.send("exposition", number)
        try:
            return (await future).encode()
        finally:
            del self._expositions[number]

    def exposed(self, number: int, text: str, queues: list[tuple[str, int, int]]) -> None:
        """What ``exposition`` waits for, and the queues at that time."""
        self.key_queues = [KeyQueue(*each) for each in queues]
        future = self._expositions.get(number)
        if future is not None and not future.done():
            future.set_result(text)

    def _ask(self, number: int, ask: Ask) -> None:
        caller = ask.caller
        self.send(
            "ask",
            number,
            caller.principal,
            caller.lane,
            caller.admitted,
            caller.wait_max_s,
            ask.alone,
            ask.again,
        )


class _WorkerRuntime:
    """A runtime whose sessions, metrics and readiness are those of all workers together."""

    def __init__(self, own: Runtime, front: _Front, hello: Hello, memory: Memory) -> None:
        self.own = own
        self.front = front
        self.metrics = own.metrics
        self._hello = hello
        self._memory = memory
        self._router: SessionRouter | None = None
        self._session_server: SessionServer | None = None
        self._grace_ends_s: float | None = None
        """On the loop's clock; None until the end begins."""

    async def start(self) -> None:
        await self.own.start()
        self._session_server = SessionServer(self.own.sessions, self._memory)
        await self._session_server.start(session_socket(self._hello.folder, self._hello.number))

    def begin_ending(self) -> None:
        """The grace of requests under way begins, which is that of other workers' calls, too."""
        if self._grace_ends_s is None:
            now_s = asyncio.get_running_loop().time()
            self._grace_ends_s = now_s + self._hello.settings.shutdown_grace_s

    async def stop(self) -> None:
        """After this worker's own requests. Sessions may be used by those of other workers."""
        if self._session_server is not None and self._grace_ends_s is not None:
            left_s = self._grace_ends_s - asyncio.get_running_loop().time()
            await self._session_server.stop(within_s=max(0.0, left_s))
        await self.own.stop()

    async def perform(
        self, operation: Operation[RequestT, ResponseT], request: RequestT, *, caller: Caller
    ) -> ResponseT:
        return await self.own.perform(operation, request, caller=caller)

    @property
    def sessions(self) -> SessionRouter:
        if self._router is None:
            hello = self._hello
            self._router = SessionRouter(
                self.own.sessions,
                number=hello.number,
                count=hello.count,
                folder=hello.folder,
                is_ending=lambda: self._grace_ends_s is not None,
            )
        return self._router

    @property
    def waiting_count(self) -> int:
        return self.own.waiting_count

    async def exposition(self) -> bytes:
        return await self.front.exposition()

    async def samples(self) -> Iterable[MetricSample]:
        return samples_in((await self.exposition()).decode())

    def key_queues(self) -> list[KeyQueue]:
        return self.front.key_queues

    def readiness(self) -> Readiness:
        return self.front.readiness or self.own.readiness()

    def capabilities(self) -> Capabilities:
        return self.own.capabilities()


class _Server(uvicorn.Server):
    """Listens nowhere: connections are handed to it."""

    def __init__(
        self,
        app: Any,
        runtime: _WorkerRuntime,
        *,
        link_end: socket.socket,
        intake: socket.socket,
        hello: Hello,
    ) -> None:
        super().__init__(uvicorn_config(app, hello.settings))
        self._app = app
        self._runtime = runtime
        self._front = runtime.front
        self._link_end = link_end
        self._intake = intake
        self._protocol = _counted(protocol_class(hello.settings), self._closed)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._told: Readiness | None = None
        self._let_go = asyncio.Event()
        """Set once the front hands nothing over any more."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._front.link = await open_link(self._link_end, self._received, ended=self._end)
        try:
            await super().startup(sockets)
        except SystemExit:
            failure = self._app.state.startup_failure
            said = failure.message if failure is not None else "it failed in an unforeseen way"
            self._front.send("failed", said)
            self._front.link.close()
            raise
        leave_collecting_to_us()
        self._intake.setblocking(False)
        asyncio.get_running_loop().add_reader(self._intake.fileno(), self._take)
        able = self._runtime.capabilities()
        self._front.send("ready", able.engine, able.image)
        self._spawn(self._tell_state())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Where a signal ended it, and not the front.
        self._runtime.begin_ending()
        self._front.send("leaving")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LET_GO_S):
                await self._let_go.wait()
        asyncio.get_running_loop().remove_reader(self._intake.fileno())
        # What was handed over before the front knew is answered like any other.
        self._take()
        await super().shutdown(sockets)
        for task in self._tasks:
            task.cancel()
        self._front.send("drained")
        if self._front.link is not None:
            self._front.link.close()

    def _end(self) -> None:
        """The front says so, or is gone. uvicorn looks for this ten times a second, and a different
        worker may be quicker."""
        self._runtime.begin_ending()
        self._let_go.set()
        self.should_exit = True

    # Connections

    def _take(self) -> None:
        """Take every connection that has been handed over."""
        while True:
            try:
                data, fds, _flags, _address = socket.recv_fds(
                    self._intake, _PEER_BYTES_MAX, 1, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except OSError:
                fds, data = [], b""
            if not data:
                asyncio.get_running_loop().remove_reader(self._intake.fileno())
                return
            for fd in fds:
                self._spawn(self._connect(socket.socket(fileno=fd), data.decode()))

    async def _connect(self, connection: socket.socket, peer: str) -> None:
        connection.setblocking(False)

        def protocol() -> asyncio.Protocol:
            made: asyncio.Protocol = self._protocol(
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
                peer=peer,
            )
            return made

        try:
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(protocol, connection)
        except OSError:
            connection.close()
            self._closed(peer)

    def _closed(self, peer: str) -> None:
        self._front.send("closed", peer)

    # What the front says

    def _received(self, message: Message) -> None:
        kind, *values = message
        front = self._front
        if kind == "grant":
            front.slots.grant(*values)
        elif kind == "refuse":
            number, failure = values
            front.slots.refuse(number, None if failure is None else as_failure(failure))
        elif kind == "whole":
            ready, reason = values
            front.readiness = Readiness(ready=ready, reason=reason)
        elif kind == "families":
            front.send("families", *values, as_json(self._runtime.metrics.families()))
        elif kind == "exposed":
            front.exposed(*values)
        elif kind == "drain":
            self._end()

    async def _tell_state(self) -> None:
        """That this loop still turns, each time, and whether it can execute, when that changes."""
        while True:
            self._front.send("here")
            own = self._runtime.own.readiness()
            if own != self._told:
                self._told = own
                self._front.send("state", own.ready, own.reason)
            await asyncio.sleep(_LOOK_S)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _counted(protocol: Any, closed: Callable[[str], None]) -> Any:
    """The protocol of a connection, whose end the front is told of."""

    class Counted(protocol):  # type: ignore[misc]
        def __init__(self, *args: Any, peer: str, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._peer = peer

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            closed(self._peer)

    return Counted
