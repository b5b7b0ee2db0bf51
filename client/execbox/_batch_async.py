"""Running a batch's chunks in tasks, for ``AsyncClient.batch``. What to send is in ``_batch``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Coroutine, Iterable

from execbox._batch import (
    CHUNK_BYTES,
    CHUNK_LINES,
    OUTSTANDING_BYTES_MAX,
    BatchResult,
    Chunk,
    OutgoingLine,
    Reachability,
    Settled,
    outgoing,
    whole_lines,
)
from execbox._fleet.async_fleet import AsyncFleet
from execbox._transport import AsyncTransport
from execbox.errors import ClientMisused, ExecboxError

__all__ = ["run_batch"]

_STREAM_END_S = 5.0


async def run_batch(
    lines: AsyncIterable[object] | Iterable[object],
    *,
    transport: AsyncTransport | AsyncFleet,
    concurrency: int,
) -> AsyncGenerator[BatchResult, None]:
    """Results as they finish. Closing this ends everything under way.

    ``concurrency`` is the number of streams to each node.
    """
    await transport.look_up()
    batch = _Batch(transport, concurrency=concurrency)
    batch.begin(batch.feed(lines))
    try:
        while (result := await batch.next_result()) is not None:
            yield result
        await batch.streams_ended()
    finally:
        await batch.end()


class _Batch:
    """What the feeding task, the workers and the caller share."""

    def __init__(self, transport: AsyncTransport | AsyncFleet, *, concurrency: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._concurrency = concurrency
        self._health = Reachability(transport)
        self._tasks: list[asyncio.Task[None]] = []
        self._worker_count = 0
        self._ready: asyncio.Queue[OutgoingLine] = asyncio.Queue()
        self._settled: asyncio.Queue[Settled | BaseException | None] = asyncio.Queue()
        self._room = asyncio.Event()
        self._room.set()
        self._outstanding_count = 0
        self._outstanding_bytes = 0
        self._exhausted = False
        self._stream_count = 0
        self._at_rest = asyncio.Event()
        self._at_rest.set()

    def begin(self, work: Coroutine[None, None, None]) -> None:
        """Have this done in a task that ends with the batch, and ends the batch where it fails."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._task_ended)
        self._tasks.append(task)

    async def feed(self, lines: AsyncIterable[object] | Iterable[object]) -> None:
        """Take lines as there is room for them."""
        number = 0
        async for line in _each(lines):
            number += 1
            sent = outgoing(line, number)
            if isinstance(sent, BatchResult):
                self._put(Settled(sent, 0))
            else:
                self._outstanding_bytes += len(sent.body)
                self._ready.put_nowait(sent)
            self._outstanding_count += 1
            self._look_for_room()
            await self._room.wait()
        self._exhausted = True
        self._put(None)

    async def next_result(self) -> BatchResult | None:
        """None after the last one. Raises what ended a task."""
        if asyncio.get_running_loop() is not self._loop:
            raise ClientMisused(
                "this batch was begun in a different event loop, and its answers arrive there: "
                "begin a batch of its own here, the client can be used"
            )
        while self._outstanding_count or not self._exhausted:
            settled = await self._settled.get()
            if isinstance(settled, BaseException):
                raise settled
            if settled is not None:
                self._outstanding_count -= 1
                self._outstanding_bytes -= settled.size_bytes
                self._look_for_room()
                return settled.result
        return None

    async def work(self) -> None:
        """Run chunk after chunk, until it is cancelled."""
        while True:
            lines = await self._next_lines()
            self._stream_count += 1
            self._at_rest.clear()
            try:
                await self._run(Chunk(lines, self._health))
            finally:
                self._stream_count -= 1
                if not self._stream_count:
                    self._at_rest.set()

    async def streams_ended(self) -> None:
        """Wait, but not for ever, until no stream is open.

        The last answer arrives before the end of its stream. To be cancelled just there would leave
        the connection neither closed nor free to be used again.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STREAM_END_S):
                await self._at_rest.wait()

    async def end(self) -> None:
        """Cancel what still runs, and wait for that; elsewhere than in its loop, leave it."""
        if asyncio.get_running_loop() is not self._loop:
            return
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._put(error)

    def _put(self, settled: Settled | BaseException | None) -> None:
        self._settled.put_nowait(settled)

    def _window(self) -> int:
        """How many lines may be outstanding: what keeps every worker busy. There is one for each
        stream, and a fleet may have got more nodes meanwhile."""
        stream_count = self._concurrency * self._transport.node_count
        while self._worker_count < stream_count:
            self._worker_count += 1
            self.begin(self.work())
        return stream_count * CHUNK_LINES

    def _look_for_room(self) -> None:
        if (
            self._outstanding_count < self._window()
            and self._outstanding_bytes < OUTSTANDING_BYTES_MAX
        ):
            self._room.set()
        else:
            self._room.clear()

    async def _next_lines(self) -> list[OutgoingLine]:
        """At least one line, waiting for it, and what else is there."""
        lines = [await self._ready.get()]
        size_bytes = len(lines[0].body)
        while len(lines) < CHUNK_LINES and size_bytes < CHUNK_BYTES and not self._ready.empty():
            lines.append(self._ready.get_nowait())
            size_bytes += len(lines[-1].body)
        return lines

    async def _run(self, chunk: Chunk) -> None:
        pause_s: float | None = 0.0
        while pause_s is not None:
            await asyncio.sleep(pause_s)
            failure = None
            try:
                await self._attempt(chunk)
            except ExecboxError as error:
                failure = error
            pause_s = chunk.pause_s(failure)
        for settled in chunk.unanswered():
            self._put(settled)

    async def _attempt(self, chunk: Chunk) -> None:
        rest = bytearray()
        async with self._transport.streamed(chunk.exchange()) as pieces:
            async for piece in pieces:
                for text in whole_lines([piece], rest):
                    settled = chunk.take(text)
                    if settled is not None:
                        self._put(settled)
            chunk.ended()


async def _each(lines: AsyncIterable[object] | Iterable[object]) -> AsyncIterator[object]:
    if isinstance(lines, AsyncIterable):
        async for line in lines:
            yield line
        return
    for number, line in enumerate(lines, start=1):
        yield line
        if number % CHUNK_LINES == 0:
            # An iterable that never waits must not keep the answers from being read.
            await asyncio.sleep(0)
