"""The flow of a batch: lines read, answered by workers, and written, all at the same time.

Bounded on every side. The reader reads no further ahead than one body may be long, there are a
few workers, and the writer takes no answer it cannot send: while a client's reader stalls nothing
new is begun, and when the client goes everything under way is cancelled. What a line asks for and
what its answer looks like is in ``batch.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.types import Receive, Send

from execbox.wire import ErrorCode
from execbox_service.api.bodies import ClientGone, Connection
from execbox_service.api.error_responses import ReceiveTimeout
from execbox_service.api.ndjson import Line, LineBuffer
from execbox_service.api.streams import stream_headers
from execbox_service.failures import CallerMistake, Overloaded, RequestFailed
from execbox_service.scheduling.memory import Hold
from execbox_service.settings import Settings

__all__ = ["BatchStream", "LineAnswers"]

_LINES_PER_SLOT = 2
"""Under way at once: one that runs, and one that is ready when it ends."""
_IDLE_MAX_S = 600.0
_LOOK_S = 0.4
_MEMORY_LOOK_S = 0.05
_SILENT_S = 10.0
"""At least so often something is sent, at most half as often: proxies end connections on which
nothing comes for a while, mostly for a minute."""
_WRITE_BYTES = 64 * 1024
_SENT_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class LineAnswers:
    """How lines become answers; each answer is a line with its end."""

    answer: Callable[[Line], Awaitable[bytes]]
    """Raises nothing, unless it is cancelled."""
    failed: Callable[[RequestFailed, int], bytes]
    """For a failure of the stream itself, at the line of this number."""


class BatchStream:
    """One batch: a reader, some workers and a writer, each waiting for the next one's room."""

    def __init__(
        self,
        line_answers: LineAnswers,
        *,
        settings: Settings,
        hold: Hold,
        connection: Connection | None,
        media_type: str,
    ) -> None:
        self._line_answers = line_answers
        self._receive_timeout_s = settings.receive_timeout_s
        self._connection = connection
        self._media_type = media_type
        self._buffer = LineBuffer(settings.body_bytes_max)
        self._held = _Held(hold)
        self._changed = asyncio.Condition()
        self._complete = False
        self._reader_waits = False
        """Whether the reader waits for room in the buffer."""
        self._failure: RequestFailed | None = None
        self._line_wait_s = 0.0
        self._under_way_count = 0
        self._under_way_bytes = 0
        self._worker_count = _LINES_PER_SLOT * settings.slot_count
        self._answers: asyncio.Queue[bytes | None] = asyncio.Queue(self._worker_count)
        self._has_written = False
        """Since it was last looked whether anything was."""

    async def run(self, receive: Receive, send: Send) -> None:
        """Until everything is answered. Raises ClientGone once the client goes."""
        if self._connection is not None:
            self._connection.take_over_deadline()
        try:
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(self._read(receive))
                group.create_task(self._work_all())
                signs_of_life = group.create_task(self._give_signs_of_life())
                await self._write(send)
                signs_of_life.cancel()
                reader.cancel()
        except BaseExceptionGroup as failures:
            # All tasks of a batch end together; what ended them is what there is to say.
            raise _first(failures) from failures
        finally:
            self._held.answers_bytes = 0
            self._held.settle(0)

    # Reading

    async def _read(self, receive: Receive) -> None:
        """Feed the buffer until the body ends, then watch for the client's going."""
        try:
            while not self._complete:
                await self._room()
                await self._read_some(receive)
        except (ReceiveTimeout, CallerMistake, Overloaded) as failure:
            self._failure = failure
            self._buffer.abandon()
            await self._end_of_lines()
        while (await receive())["type"] != "http.disconnect":
            pass
        raise ClientGone

    async def _room(self) -> None:
        """Wait until more may be read, without losing sight of the client."""
        async with self._changed:
            while self._buffer.full:
                self._reader_waits = True
                try:
                    async with asyncio.timeout(_LOOK_S):
                        await self._changed.wait()
                except TimeoutError:
                    self._look_for_client()
            self._reader_waits = False

    def _look_for_client(self) -> None:
        """A connection that is not read from does not show that its other end is closed. The
        kernel can tell, once it has been told: a client that was killed in the middle of sending
        answers nothing but what is sent to it, so it is sent an empty line."""
        if self._connection is not None and self._connection.peer_has_left():
            raise ClientGone
        self._write_soon(b"\n")

    def _write_soon(self, text: bytes) -> None:
        """Write what is no answer, unless answers are waiting: those do as well."""
        if self._answers.empty():
            self._answers.put_nowait(text)

    async def _read_some(self, receive: Receive) -> None:
        message = await self._message(receive)
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece = message.get("body", b"")
        self._settle()
        await self._held.grow(len(piece), self._receive_timeout_s)
        self._buffer.feed(piece)
        self._settle()
        if b"\n" in piece:
            self._line_wait_s = 0.0
        if message.get("more_body", False):
            async with self._changed:
                self._changed.notify_all()
        else:
            await self._end_of_lines()

    async def _end_of_lines(self) -> None:
        self._buffer.close()
        self._complete = True
        async with self._changed:
            self._changed.notify_all()
        # Nothing to say, but it begins the response: by now its client waits for one.
        self._write_soon(b"")

    async def _message(self, receive: Receive) -> Any:
        """The next piece. A line that has begun has a deadline of its own, in which only the time
        counts that is spent waiting for the client; between lines there is a longer one."""
        loop = asyncio.get_running_loop()
        while True:
            begun_s = loop.time()
            line_left_s = self._receive_timeout_s - self._line_wait_s
            try:
                async with asyncio.timeout(line_left_s if self._buffer.begun else _IDLE_MAX_S):
                    return await receive()
            except TimeoutError as error:
                if self._buffer.begun:
                    raise ReceiveTimeout(self._receive_timeout_s) from error
                if not self._under_way_count:
                    raise _idle() from error
            finally:
                self._line_wait_s += loop.time() - begun_s if self._buffer.begun else 0.0

    # Working

    async def _work_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._worker_count):
                group.create_task(self._work())
        if self._failure is not None:
            number = self._buffer.line_number
            await self._answers.put(self._line_answers.failed(self._failure, number))
        await self._answers.put(None)

    async def _work(self) -> None:
        answered, answers = self._line_answers.answer, self._answers
        while (line := await self._next_line()) is not None:
            size_bytes = len(line.body)
            self._under_way_count += 1
            self._under_way_bytes += size_bytes
            answer = await answered(line)
            self._under_way_count -= 1
            self._under_way_bytes -= size_bytes
            self._held.answers_bytes += len(answer)
            self._settle()
            await answers.put(answer)

    def _settle(self) -> None:
        """Count what there is now: give back the memory of what has been answered, sent or thrown
        away, and count answers until they are sent."""
        self._held.settle(self._buffer.size_bytes + self._under_way_bytes)

    async def _next_line(self) -> Line | None:
        line = self._buffer.take()
        if line is not None and not self._reader_waits:
            return line
        async with self._changed:
            while line is None and not self._complete:
                await self._changed.wait()
                line = self._buffer.take()
            self._changed.notify_all()
        return line

    # Writing

    async def _give_signs_of_life(self) -> None:
        """An empty line whenever nothing else has been written for a while, once all lines are
        here: before that, no client waits for the answer to begin."""
        while True:
            await asyncio.sleep(_SILENT_S)
            if self._complete and not self._has_written:
                self._write_soon(b"\n")
            self._has_written = False

    async def _write(self, send: Send) -> None:
        """Send answers as they come. The first one, or the end of the body, begins the response: a
        body that is complete by then leaves the connection usable for another request."""
        started = False
        while True:
            answer = await self._answers.get()
            if not started:
                started = True
                await send(
                    {
                        "type": "http.response.start",
                        "status": HTTPStatus.OK,
                        "headers": stream_headers(self._media_type),
                    }
                )
            pieces: list[bytes] = []
            size_bytes = 0
            while answer is not None:
                pieces.append(answer)
                size_bytes += len(answer)
                if self._answers.empty() or size_bytes > _WRITE_BYTES:
                    break
                answer = self._answers.get_nowait()
            more = answer is not None
            self._has_written = True
            body = b"".join(pieces)
            await _send_in_parts(body, send, more_body=more)
            self._held.answers_bytes = max(0, self._held.answers_bytes - len(body))
            self._settle()
            if not more:
                return


async def _send_in_parts(body: bytes, send: Send, *, more_body: bool) -> None:
    """The server copies what it is given and cannot send yet: of many megabytes, it gets the next
    part when the client has taken most of those before."""
    for start in range(0, max(1, len(body)), _SENT_BYTES):
        end = start + _SENT_BYTES
        more = more_body or end < len(body)
        await send({"type": "http.response.body", "body": body[start:end], "more_body": more})


class _Held:
    """A batch's share of its key's memory: lines that are received and not answered yet, and
    answers that are not sent."""

    def __init__(self, hold: Hold) -> None:
        self._hold = hold
        self.answers_bytes = 0

    async def grow(self, size_bytes: int, timeout_s: float) -> None:
        """Take more, waiting for it; raises RequestFailed if there is none for ``timeout_s``."""
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        while True:
            try:
                self._hold.grow(size_bytes, too_large=ErrorCode.LINE_TOO_LARGE, what="the lines")
            except (Overloaded, CallerMistake):
                # However much it is together: what is answered meanwhile makes room.
                if asyncio.get_running_loop().time() >= deadline_s:
                    raise
                await asyncio.sleep(_MEMORY_LOOK_S)
            else:
                return

    def settle(self, lines_bytes: int) -> None:
        """Hold what so many bytes of lines take, and the answers. An answer is never refused: what
        it was made from has just been let go of."""
        held_bytes = lines_bytes + self.answers_bytes
        more_bytes = held_bytes - self._hold.size_bytes
        if more_bytes > 0:
            self._hold.take_over(more_bytes)
        else:
            self._hold.shrink_to(held_bytes)


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _idle() -> CallerMistake:
    return CallerMistake(
        ErrorCode.BATCH_IDLE,
        f"nothing was sent for {_IDLE_MAX_S:g} seconds with nothing under way; the batch ends here",
    )
