"""Running a batch's chunks in threads, for ``Client.batch``. What to send is in ``_batch``."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from execbox._abort import Abort, RequestAborted
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
from execbox._exchange import Exchange
from execbox._fleet.sync_fleet import SyncFleet
from execbox._forks import tell_after_fork
from execbox._transport import SyncTransport
from execbox.errors import ClientMisused, ExecboxError

__all__ = ["run_batch"]

_STREAM_END_S: Final = 5.0
_ABORT_AGAIN_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class _Failed:
    """What ended a worker: raised where the results are taken."""

    error: BaseException


def run_batch(
    lines: Iterable[object], *, transport: SyncTransport | SyncFleet, concurrency: int
) -> Generator[BatchResult, None, None]:
    """Results as they finish. Lines are taken in the caller's thread, as there is room for them.

    ``concurrency`` is the number of streams to each node.
    """
    workers = _Workers(transport, concurrency=concurrency)
    try:
        yield from _results(iter(lines), workers)
    finally:
        workers.stop()


def _results(lines: Iterator[object], workers: _Workers) -> Iterator[BatchResult]:
    number = outstanding_count = outstanding_bytes = 0
    exhausted = False
    while not exhausted or outstanding_count:
        room = outstanding_count < workers.window() and outstanding_bytes < OUTSTANDING_BYTES_MAX
        answered = workers.next_answer(wait=exhausted or not room)
        if answered is not None:
            outstanding_count -= 1
            outstanding_bytes -= answered.size_bytes
            yield answered.result
            continue
        try:
            line = next(lines)
        except StopIteration:
            exhausted = True
            continue
        number += 1
        sent = outgoing(line, number)
        if isinstance(sent, BatchResult):
            yield sent
        else:
            outstanding_count += 1
            outstanding_bytes += len(sent.body)
            workers.put(sent)


class _Workers:
    """Threads that each send one chunk at a time; daemons, so that none outlives its program."""

    def __init__(self, transport: SyncTransport | SyncFleet, *, concurrency: int) -> None:
        self._transport = transport
        self._concurrency = concurrency
        self._health = Reachability(transport)
        self._ready: queue.SimpleQueue[OutgoingLine | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Settled | _Failed] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._aborts: set[Abort] = set()
        self._threads: list[threading.Thread] = []
        self._inherited = False
        tell_after_fork(self)

    def after_fork(self) -> None:
        # The threads are the parent's, and so is every answer they will get.
        self._inherited = True

    def window(self) -> int:
        """How many lines may be outstanding: what keeps every thread busy. There is one for each
        stream, and a fleet may have got more nodes meanwhile."""
        stream_count = self._concurrency * self._transport.node_count
        while len(self._threads) < stream_count:
            name = f"execbox-batch-{len(self._threads)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        return stream_count * CHUNK_LINES

    def stop(self) -> None:
        """End every stream; the service notices and cancels what it runs.

        A thread that waits for something else than its connection, such as a host's address or a
        node, is not waited for: it sends nothing any more, and ends when it has got that.
        """
        if self._inherited:
            return
        self._stopping.set()
        for _ in self._threads:
            self._ready.put(None)
        deadline_s = time.monotonic() + _STREAM_END_S
        for thread in self._threads:
            while thread.is_alive() and time.monotonic() < deadline_s:
                self._abort()
                thread.join(_ABORT_AGAIN_S)

    def _abort(self) -> None:
        with self._lock:
            for abort in self._aborts:
                abort.set()

    def put(self, line: OutgoingLine) -> None:
        self._ready.put(line)

    def next_answer(self, *, wait: bool) -> Settled | None:
        """Raises what ended a worker."""
        if self._inherited:
            raise ClientMisused(
                "this batch was begun before the process was forked, and its answers go to the "
                "process that began it: begin a batch of its own here, the client can be used"
            )
        try:
            answer = self._answers.get(block=wait)
        except queue.Empty:
            return None
        if isinstance(answer, _Failed):
            raise answer.error
        return answer

    def _work(self) -> None:
        try:
            while (lines := self._next_lines()) and not self._stopping.is_set():
                self._run(Chunk(lines, self._health))
        except BaseException as error:  # noqa: BLE001 - a thread's outermost edge: raised by next_answer
            self._answers.put(_Failed(error))

    def _next_lines(self) -> list[OutgoingLine]:
        """At least one line, waiting for it, and what else is there; none when it is over."""
        line = self._ready.get()
        lines: list[OutgoingLine] = []
        size_bytes = 0
        while line is not None:
            lines.append(line)
            size_bytes += len(line.body)
            if len(lines) == CHUNK_LINES or size_bytes >= CHUNK_BYTES:
                break
            try:
                line = self._ready.get_nowait()
            except queue.Empty:
                break
        return lines

    def _run(self, chunk: Chunk) -> None:
        pause_s: float | None = 0.0
        while pause_s is not None and not self._stopping.wait(pause_s):
            failure = None
            try:
                self._attempt(chunk)
            except RequestAborted:
                return
            except ExecboxError as error:
                failure = error
            if self._stopping.is_set():
                return
            pause_s = chunk.pause_s(failure)
        for settled in chunk.unanswered():
            self._answers.put(settled)

    def _attempt(self, chunk: Chunk) -> None:
        with (
            self._abortable(chunk.exchange()) as exchange,
            self._transport.streamed(exchange) as stream,
        ):
            for text in whole_lines(stream.pieces(), bytearray()):
                settled = chunk.take(text)
                if settled is not None:
                    self._answers.put(settled)
            chunk.ended()

    @contextmanager
    def _abortable(self, exchange: Exchange[None]) -> Iterator[Exchange[None]]:
        abort = Abort()
        with self._lock:
            self._aborts.add(abort)
        try:
            if self._stopping.is_set():
                abort.set()
            yield replace(exchange, abort=abort)
        finally:
            with self._lock:
                self._aborts.discard(abort)
