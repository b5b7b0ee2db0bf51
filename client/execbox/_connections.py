"""The httpx clients behind a ``Client``: made, lent, kept out of forked children, and closed.

What is sent over them is in ``_transport`` and ``_model_endpoint``.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Final

import httpx

from execbox._abort import Abort
from execbox._forks import tell_after_fork
from execbox.errors import ClientMisused

__all__ = ["AsyncConnections", "Connections"]

_NOTHING: Final[AbstractContextManager[None]] = nullcontext()


class _Sockets:
    """The open sockets of one httpx client, so that a forked child can let go of them."""

    def __init__(self) -> None:
        self._open: list[socket.socket] = []

    def note(self, _event: str, info: Mapping[str, object]) -> None:
        """httpx's ``trace`` extension: whatever made a connection returns its stream."""
        describe = getattr(info.get("return_value"), "get_extra_info", None)
        made = describe("socket") if callable(describe) else None
        if made is not None:
            # A new list, so that a fork at any moment finds a complete one.
            self._open = [*(known for known in self._open if known.fileno() >= 0), made]

    async def note_async(self, event: str, info: Mapping[str, object]) -> None:
        self.note(event, info)

    def shut_down(self) -> None:
        """For another thread: what waits on one of them fails as if the connection broke."""
        for each in self._open:
            with suppress(OSError):
                # Closing would not wake a thread that waits for bytes.
                socket.socket.shutdown(each, socket.SHUT_RDWR)

    def let_go(self) -> None:
        """In a forked child: close this process's copies. The parent's connections stay open."""
        for inherited in self._open:
            with suppress(OSError):
                _close_copy(inherited)
        self._open = []


def _close_copy(inherited: socket.socket) -> None:
    if isinstance(inherited, socket.socket):
        os.close(inherited.detach())
        return
    # asyncio keeps the real socket to itself, and would close the number a second time.
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        os.dup2(nothing, inherited.fileno(), inheritable=False)
    finally:
        os.close(nothing)


@dataclass(frozen=True, slots=True, eq=False)
class _Lent:
    http: httpx.Client
    sockets: _Sockets


@dataclass(slots=True)
class _Held:
    """What one process has of a ``Connections``."""

    slots: threading.BoundedSemaphore
    lock: threading.Lock = field(default_factory=threading.Lock)
    every: list[_Lent] = field(default_factory=list)
    idle: list[_Lent] = field(default_factory=list)
    closed: bool = False


class Connections:
    """Makes httpx clients and lends each to one thread at a time; each process has its own.

    httpx shares one pool between threads, and that pool can close a connection it has just
    assigned to a different thread (encode/httpcore#1110); the request on it then fails, or waits
    for its whole read timeout. Seen here about once in ten thousand requests. A client that is
    used by one thread at a time never has a second connection to get wrong.
    """

    def __init__(self, make: Callable[[], httpx.Client], *, count_max: int) -> None:
        self._make = make
        self._count_max = count_max
        self._held = self._nothing()
        self._inherited: list[_Held] = []
        tell_after_fork(self)

    @contextmanager
    def borrow(self, abort: Abort | None = None) -> Iterator[httpx.Client]:
        """A client for the caller alone, until ``abort``; waits while all are lent."""
        held = self._held
        with held.slots:
            lent = self._take(held)
            try:
                with _NOTHING if abort is None else abort.breaking(lent.sockets.shut_down):
                    yield lent.http
            finally:
                _give_back(lent, held)

    def close(self) -> None:
        held = self._held
        with held.lock:
            held.closed = True
            idle, held.idle = held.idle, []
        for lent in idle:
            lent.http.close()

    def after_fork(self) -> None:
        inherited, self._held = self._held, self._nothing()
        self._held.closed = inherited.closed
        for lent in inherited.every:
            lent.sockets.let_go()
        # Kept, because to collect them would be to close what is the parent's.
        self._inherited.append(inherited)

    def _nothing(self) -> _Held:
        return _Held(threading.BoundedSemaphore(self._count_max))

    def _take(self, held: _Held) -> _Lent:
        with held.lock:
            if held.closed:
                raise ClientMisused("this client has been closed; make a new one")
            # The one used last: its connection is the likeliest to be open still.
            if held.idle:
                return held.idle.pop()
        lent = _Lent(self._make(), _Sockets())
        lent.http.event_hooks["request"].append(_tracing(lent.sockets))
        held.every.append(lent)
        return lent


def _give_back(lent: _Lent, held: _Held) -> None:
    with held.lock:
        if not held.closed:
            held.idle.append(lent)
            return
    lent.http.close()


def _tracing(sockets: _Sockets) -> Callable[[httpx.Request], None]:
    def note(request: httpx.Request) -> None:
        request.extensions = {**request.extensions, "trace": sockets.note}

    return note


@dataclass(frozen=True, slots=True, eq=False)
class _OfLoop:
    """What one event loop has of an ``AsyncConnections``."""

    http: httpx.AsyncClient
    sockets: _Sockets
    keeper: AsyncGenerator[None, None]


class AsyncConnections:
    """Makes one httpx client for each event loop that asks; each process has its own.

    A connection belongs to the loop it was opened in. ``asyncio.run`` and its like close those of
    their loop at its end.
    """

    def __init__(self, make: Callable[[], httpx.AsyncClient]) -> None:
        self._make = make
        self._of_loops: dict[asyncio.AbstractEventLoop, _OfLoop] = {}
        self._inherited: list[dict[asyncio.AbstractEventLoop, _OfLoop]] = []
        self._closed = False
        tell_after_fork(self)

    async def http(self) -> httpx.AsyncClient:
        """The running loop's client."""
        if self._closed:
            raise ClientMisused("this client has been closed; make a new one")
        loop = _running_loop()
        known = self._of_loops.get(loop)
        return known.http if known is not None else await self._open(loop)

    async def aclose(self) -> None:
        self._closed = True
        here = asyncio.get_running_loop()
        for loop, owned in list(self._of_loops.items()):
            if loop is here:
                await owned.keeper.aclose()
            elif loop.is_running():
                asyncio.run_coroutine_threadsafe(_end(owned.keeper), loop)

    def after_fork(self) -> None:
        inherited, self._of_loops = self._of_loops, {}
        for owned in inherited.values():
            owned.sockets.let_go()
        # Kept, because to collect them would be to call into the parent's loop.
        self._inherited.append(inherited)

    async def _open(self, loop: asyncio.AbstractEventLoop) -> httpx.AsyncClient:
        for ended in [each for each in self._of_loops if each.is_closed()]:
            del self._of_loops[ended]
        http, sockets = self._make(), _Sockets()
        http.event_hooks["request"].append(_tracing_async(sockets))
        http.event_hooks["response"].append(_close_whole)
        owned = _OfLoop(http, sockets, self._kept_open(loop, http))
        self._of_loops[loop] = owned
        await anext(owned.keeper)
        return http

    async def _kept_open(
        self, loop: asyncio.AbstractEventLoop, http: httpx.AsyncClient
    ) -> AsyncGenerator[None, None]:
        """A generator, because a loop that ends properly closes every generator begun in it."""
        try:
            yield
        finally:
            self._of_loops.pop(loop, None)
            await http.aclose()


async def _close_whole(response: httpx.Response) -> None:
    """Before anything of the answer's body is read."""
    if isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = _WholeClosing(response.stream)


class _WholeClosing(httpx.AsyncByteStream):
    """An answer's bytes. Closing them goes on to its end where the task that closes is cancelled.

    httpx frees a connection for the next request at the end of closing its answer. A task that is
    cancelled during that would leave the connection taken for good, and a client all of whose
    connections are taken waits for ever.
    """

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part

    async def aclose(self) -> None:
        await asyncio.shield(asyncio.create_task(self._stream.aclose()))


async def _end(keeper: AsyncGenerator[None, None]) -> None:
    await keeper.aclose()


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError as error:
        raise ClientMisused(
            "AsyncClient needs a running asyncio event loop (trio has none); without one use Client"
        ) from error


def _tracing_async(sockets: _Sockets) -> Callable[[httpx.Request], object]:
    async def note(request: httpx.Request) -> None:
        request.extensions = {**request.extensions, "trace": sockets.note_async}

    return note
