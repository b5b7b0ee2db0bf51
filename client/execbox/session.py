"""``Session`` and ``AsyncSession``: an interpreter that keeps its variables, as an object.

Made by ``Client.session`` and ``AsyncClient.session``. What is sent is in ``_session_exchanges``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self, Unpack

from execbox import _session_exchanges, wire
from execbox._batch import whole_lines
from execbox._fleet.async_fleet import AsyncFleet, AsyncPinnedTransport
from execbox._fleet.sync_fleet import PinnedTransport, SyncFleet
from execbox._retry import Once
from execbox._session_exchanges import SessionOptions
from execbox._transport import AsyncTransport, SyncTransport
from execbox.errors import ClientMisused, SessionGone

__all__ = ["AsyncSession", "Session"]

_NOT_BEGUN = "this session has not begun or has ended: use it in a with statement"


class Session:
    """One session, begun when the ``with`` statement is entered and ended when it is left.

    Cells run one after another, in the order in which they are sent. A session that is gone (its
    time was over, a cell ended it, the service was started anew) raises ``SessionGone``: its
    variables are lost, and no call begins a new one by itself. A cell is never sent twice, so a
    connection that breaks while one runs raises ``ConnectionBroken``, and whether the cell ran is
    then not known.

    >>> with client.session() as session:
    ...     session.run("x = 20")
    ...     session.run("x + 1").value.repr
    '21'
    """

    def __init__(
        self, transport: SyncTransport | SyncFleet, **options: Unpack[SessionOptions]
    ) -> None:
        self._begin_at = transport
        self._pinned: SyncTransport | PinnedTransport | None = None
        self._options = options
        self._info: wire.SessionInfo | None = None

    def __enter__(self) -> Self:
        exchange = _session_exchanges.begin(**self._options)
        self._info, self._pinned = self._begin_at.begin_session(exchange)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def id(self) -> str:
        """Its id at the service. Raises ``ClientMisused`` outside of the ``with`` statement."""
        return self._begun.id

    def run(
        self,
        code: str,
        *,
        limits: wire.CellLimits | None = None,
        on_output: Callable[[wire.CellOutput], object] | None = None,
    ) -> wire.CellResponse:
        """Run one cell: what it printed, its last expression, its figures, how it ended.

        ``on_output`` is called with what the cell writes while it runs, line by line or when it
        flushes; the response has all of it again. Where it raises, or Ctrl-C does, the cell is
        interrupted and the session lives.

        What the code did is a status in the response and never an exception; where the session
        ended with it, ``session_lost`` is true. Raises ``SessionGone``, and what ``execute`` does.

        >>> session.run("for n in range(3): print(n)", on_output=lambda piece: show(piece.stdout))
        """
        pacing = Once(self._transport.retry, on_wait=self._transport.on_wait)
        if on_output is None:
            exchange = _session_exchanges.run(self._begun, code, limits=limits)
            return self._transport.send(exchange, pacing=pacing)
        streamed = _session_exchanges.stream(self._begun, code, limits=limits)
        cell = None
        with self._transport.streamed(streamed, pacing=pacing) as answer:
            for text in whole_lines(answer.pieces(), bytearray()):
                line = _session_exchanges.streamed_line(text)
                if isinstance(line, wire.CellResponse):
                    cell = line
                else:
                    on_output(line)
        return _session_exchanges.complete(cell)

    def put_file(self, path: str, content: str | bytes) -> None:
        """Write a file into the session's working directory; replaces one of that path."""
        self._transport.send(_session_exchanges.put_file(self._begun, path, content))

    def get_file(self, path: str) -> bytes:
        """A file of the session's working directory. Links are not followed."""
        return self._transport.send(_session_exchanges.get_file(self._begun, path))

    def info(self) -> wire.SessionInfo:
        """How it is, and when it ends by itself."""
        return self._transport.send(_session_exchanges.info(self._begun))

    def close(self) -> None:
        """End it; may be called twice, and where it is gone already."""
        info, self._info = self._info, None
        if info is not None:
            try:
                # On a node that has gone it has ended, too.
                with suppress(SessionGone):
                    self._transport.send(_session_exchanges.end(info))
            finally:
                self._transport.session_ended()

    @property
    def _begun(self) -> wire.SessionInfo:
        if self._info is None:
            raise ClientMisused(_NOT_BEGUN)
        return self._info

    @property
    def _transport(self) -> SyncTransport | PinnedTransport:
        if self._pinned is None:
            raise ClientMisused(_NOT_BEGUN)
        return self._pinned


class AsyncSession:
    """``Session``, for asyncio."""

    def __init__(
        self, transport: AsyncTransport | AsyncFleet, **options: Unpack[SessionOptions]
    ) -> None:
        self._begin_at = transport
        self._pinned: AsyncTransport | AsyncPinnedTransport | None = None
        self._options = options
        self._info: wire.SessionInfo | None = None

    async def __aenter__(self) -> Self:
        exchange = _session_exchanges.begin(**self._options)
        self._info, self._pinned = await self._begin_at.begin_session(exchange)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def id(self) -> str:
        """See ``Session.id``."""
        return self._begun.id

    async def run(
        self,
        code: str,
        *,
        limits: wire.CellLimits | None = None,
        on_output: Callable[[wire.CellOutput], object] | None = None,
    ) -> wire.CellResponse:
        """See ``Session.run``; what ``on_output`` returns is awaited, if it can be."""
        pacing = Once(self._transport.retry, on_wait=self._transport.on_wait)
        if on_output is None:
            exchange = _session_exchanges.run(self._begun, code, limits=limits)
            return await self._transport.send(exchange, pacing=pacing)
        streamed = _session_exchanges.stream(self._begun, code, limits=limits)
        cell, rest = None, bytearray()
        async with self._transport.streamed(streamed, pacing=pacing) as pieces:
            async for piece in pieces:
                for text in whole_lines((piece,), rest):
                    line = _session_exchanges.streamed_line(text)
                    if isinstance(line, wire.CellResponse):
                        cell = line
                    elif inspect.isawaitable(told := on_output(line)):
                        await told
        return _session_exchanges.complete(cell)

    async def put_file(self, path: str, content: str | bytes) -> None:
        """See ``Session.put_file``."""
        await self._transport.send(_session_exchanges.put_file(self._begun, path, content))

    async def get_file(self, path: str) -> bytes:
        """See ``Session.get_file``."""
        return await self._transport.send(_session_exchanges.get_file(self._begun, path))

    async def info(self) -> wire.SessionInfo:
        """See ``Session.info``."""
        return await self._transport.send(_session_exchanges.info(self._begun))

    async def aclose(self) -> None:
        """See ``Session.close``."""
        info, self._info = self._info, None
        if info is not None:
            try:
                with suppress(SessionGone):
                    await self._transport.send(_session_exchanges.end(info))
            finally:
                self._transport.session_ended()

    @property
    def _begun(self) -> wire.SessionInfo:
        if self._info is None:
            raise ClientMisused(_NOT_BEGUN)
        return self._info

    @property
    def _transport(self) -> AsyncTransport | AsyncPinnedTransport:
        if self._pinned is None:
            raise ClientMisused(_NOT_BEGUN)
        return self._pinned
