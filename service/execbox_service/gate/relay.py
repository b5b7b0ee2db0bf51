"""Copying bytes both ways between two connections, with bounded buffers; what they mean is unknown.

An end of file passes on as one, so each side can stop sending and go on reading.
"""

from __future__ import annotations

import asyncio
import contextlib
import select

from execbox_service.gate.daemon import STREAM_BYTES, Stream


async def relay(one: Stream, other: Stream) -> None:
    """Copy until both directions have ended or one connection is gone; then both are closed."""
    for side in (one, other):
        # drain then waits until all is written: what a slow reader leaves unread is not collected
        # here, and nothing is left to send when an end aborts the connections.
        side.writer.transport.set_write_buffer_limits(high=0)
    copies = [asyncio.create_task(_copy(one, other)), asyncio.create_task(_copy(other, one))]
    try:
        pending = set(copies)
        while pending:
            ended, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            if any(not copy.result() for copy in ended):
                return
    finally:
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
        for side in (one, other):
            side.writer.transport.abort()


async def _copy(source: Stream, to: Stream) -> bool:
    """Copy one direction to its end; whether the other direction may go on."""
    try:
        while data := await source.reader.read(STREAM_BYTES):
            to.writer.write(data)
            await to.writer.drain()
        if _is_gone(source):
            return False
        with contextlib.suppress(OSError):
            to.writer.write_eof()
    except OSError:
        return False
    return True


def _is_gone(side: Stream) -> bool:
    """Whether the peer has closed its connection, and not only its sending half."""
    socket = side.writer.get_extra_info("socket")
    if socket is None or socket.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(socket.fileno(), 0)
    return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))
