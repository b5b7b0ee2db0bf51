"""One connection: what must hold before a request reaches the application at all.

Adds to uvicorn's httptools protocol what it lacks: absolute deadlines for the headers and for the
whole request, a cap on the headers, a cap on connections and on requests sent ahead, a deadline
for taking the answer, errors in the one shape, and closing without losing the answer. httptools
rather than h11 because its parser refuses what h11 reads leniently (Content-Length with
Transfer-Encoding, bare line feeds, folded headers) and keeps a key's trailing spaces. Bodies, keys
and routes are not looked at here.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from execbox.wire import WIRE_HEADER, WIRE_VERSION, ErrorCode
from execbox_service.api.bodies import CONNECTION_STATE_KEY, DEADLINE_STATE_KEY
from execbox_service.api.connection_room import ConnectionRoom
from execbox_service.api.error_responses import HeadersTooLarge, ReceiveTimeout, error_response
from execbox_service.failures import CallerMistake, RequestFailed, ServiceFailure
from execbox_service.settings import Settings

__all__ = ["protocol_class"]

_LINGER_S: Final = 2.0
_TOGETHER_BYTES: Final = 64 * 1024
_ANSWER_GRACE_S: Final = 1.0
_INTERIM: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_AROUND_HEADER_BYTES: Final = len(b": \r\n")
_SENT_AHEAD_MAX: Final = 16
"""Requests that wait on one connection behind the one that is being answered. Each is an object of
some kilobytes, and a quarter of a megabyte of bytes can hold ten thousand."""


def protocol_class(settings: Settings) -> type[asyncio.Protocol]:
    """The class for uvicorn's ``http`` option, which takes a class and no arguments for it."""

    class Configured(GuardedProtocol):
        execbox = settings
        room = ConnectionRoom()

    return Configured


class GuardedProtocol(HttpToolsProtocol):
    """Made by ``protocol_class`` only, which sets ``execbox`` and ``room``."""

    execbox: Settings
    room: ConnectionRoom

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # uvicorn's access lines repeat queries, where people put keys.
        self.access_log = False
        self._receive_timer: asyncio.TimerHandle | None = None
        self._receive_due: float | None = None
        """When what is being received must be there; None while nothing is."""
        self._send_timer: asyncio.TimerHandle | None = None
        self._receive_deadline = 0.0
        self._header_bytes = 0
        self._unparsed_bytes = 0
        self._message_count = 0
        self._in_headers = True
        self._deaf = False
        self._running: RequestResponseCycle | None = None
        self._refusal: RequestFailed | None = None
        self._stopping = False
        self._tell_gone: Callable[[], None] | None = None
        """What the request that is being answered wants to be told."""
        self._lost = False

    # -- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        wrapped = _LingeringTransport(
            cast(asyncio.Transport, transport),
            must_linger=self._must_linger,
            send_timeout_s=self.execbox.send_timeout_s,
        )
        super().connection_made(cast(asyncio.Transport, wrapped))
        full = len(self.connections) > self.execbox.connection_count_max
        if full and not self.room.make(but=self):
            self._deaf = True
            self._write(_too_many_connections())
            wrapped.close_at_once()
        else:
            self.room.unclaimed(self)
            self._start_receiving()
            self._watch_receiving()

    def connection_lost(self, exc: Exception | None) -> None:
        self.room.claimed(self)
        self._stop_receiving()
        self._stop_sending_timer()
        self._deaf = self._lost = True
        super().connection_lost(exc)
        if self._tell_gone is not None:
            self._tell_gone()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._receive_due is None and self._idle():
            self._start_receiving()
        message_count, was_in_headers = self._message_count, self._in_headers
        super().data_received(data)
        if was_in_headers and self._in_headers and self._message_count == message_count:
            # A header that does not end reaches no callback. What came with the beginning of the
            # message, or with the end of a body, is not counted: the body may be all of it.
            self._unparsed_bytes += len(data)
            if self._unparsed_bytes > self.execbox.header_bytes_max and not self._deaf:
                self._refuse(HeadersTooLarge(self.execbox.header_bytes_max))
        self._watch_receiving()

    def shutdown(self) -> None:
        self._stopping = True
        super().shutdown()

    def _idle(self) -> bool:
        return self._in_headers and (self.cycle is None or self.cycle.response_complete)

    # -- the parser's events

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._message_count += 1
        self._in_headers = True
        self._header_bytes = 0
        self._unparsed_bytes = 0
        if self._receive_due is None:
            self._start_receiving()
        state = self.scope["state"]
        state[DEADLINE_STATE_KEY] = self._receive_deadline
        state[CONNECTION_STATE_KEY] = self

    def on_url(self, url: bytes) -> None:
        self._header_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value) + _AROUND_HEADER_BYTES
        if self._header_bytes > self.execbox.header_bytes_max:
            raise self._refused(HeadersTooLarge(self.execbox.header_bytes_max))
        if self._in_headers:
            # After the body come trailers, and nothing may change what has been authenticated.
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._refuse_odd_framing()
        if len(self.pipeline) >= _SENT_AHEAD_MAX:
            raise self._refused(_bad("too many requests sent ahead on one connection"))
        self._in_headers = False
        self._give_rest_of_time()
        super().on_headers_complete()
        if not self.pipeline:
            self._running = self.cycle
        if self.parser.should_upgrade():
            # What follows is in a protocol that is not spoken here.
            self.cycle.keep_alive = False
            self.cycle.more_body = False
            self._deaf = True
            self._stop_receiving()

    def on_message_complete(self) -> None:
        self._stop_receiving()
        self._in_headers = True
        self._unparsed_bytes = 0
        super().on_message_complete()

    def _refuse_odd_framing(self) -> None:
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise self._refused(_bad("HTTP/1.0 and HTTP/1.1 are spoken here"))
        if b"transfer-encoding" in dict(self.headers):
            codings = [value for name, value in self.headers if name == b"transfer-encoding"]
            if [coding.lower() for coding in codings] != [b"chunked"] or version == "1.0":
                raise self._refused(_bad("the only transfer encoding is chunked, in HTTP/1.1"))
        if self.parser.should_upgrade() and self.parser.get_method() not in (b"GET", b"HEAD"):
            raise self._refused(_bad("no protocol upgrade here; send without the Upgrade header"))

    def on_response_complete(self) -> None:
        if self.pipeline:
            self._running = self.pipeline[-1][0]
        self.room.unclaimed(self)
        super().on_response_complete()

    # -- when there are too many connections

    def claim(self) -> None:
        """Keep this connection until its request is answered: its caller has a valid key."""
        self.room.claimed(self)

    def give_way(self) -> None:
        """End for a newer connection; a request that has begun is told why."""
        self._stop_receiving()
        self._deaf = True
        begun = self._header_bytes > 0 or self._unparsed_bytes > 0
        if begun and (self.cycle is None or self.cycle.response_complete):
            self._write(_too_many_connections())
        cast(_LingeringTransport, self.transport).abort_soon()

    # -- what a path whose clients are kept waiting asks of its connection

    def answer_interim(self) -> None:
        running = self._running
        if running is not None and not (running.response_started or self.transport.is_closing()):
            self.transport.write(_INTERIM)

    # -- what a path that reads a whole body asks of its connection

    def has_whole_body(self) -> bool:
        running = self._running
        return running is not None and not running.more_body and running.message_event.is_set()

    # -- what a path that streams both ways asks of its connection

    def take_over_deadline(self) -> None:
        self._stop_receiving()

    def is_stopping(self) -> bool:
        return self._stopping

    def peer_has_left(self) -> bool:
        if self.transport.is_closing():
            return True
        # While reading is paused the service does not read the end of the stream, or the reset.
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))

    def when_gone(self, tell: Callable[[], None]) -> Callable[[], None]:
        # As the application's own waiting for the client does: of a connection that is not read
        # from, the end is not seen.
        self.flow.resume_reading()
        if self._lost:
            return self.loop.call_soon(tell).cancel
        self._tell_gone = tell
        return self._tell_no_more

    def _tell_no_more(self) -> None:
        self._tell_gone = None

    # -- refusing

    def _refused(self, failure: RequestFailed) -> _Refused:
        self._refusal = failure
        return _Refused(failure.code)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        """What uvicorn does with a parse error, and so with what a callback raised."""
        self._refuse(self._refusal or _bad("this is not well-formed HTTP"))

    def _refuse(self, failure: RequestFailed) -> None:
        """Answer ``failure`` and close; where earlier requests on this connection are still owed
        their answers, those are given and ``failure`` is not, so that no answer is misread."""
        self._stop_receiving()
        self._deaf = True
        newest = self.cycle
        if newest is None or newest.response_complete:
            self._write(failure)
            self.transport.close()
            return
        if newest.more_body and not self.pipeline and not newest.response_started:
            newest.disconnected = True
            newest.message_event.set()
            self._write(failure)
            self.transport.close()
            return
        if newest.more_body and self.pipeline:
            self.pipeline.popleft()
        last = self.pipeline[0][0] if self.pipeline else self._running
        if last is not None:
            last.keep_alive = False

    def _write(self, failure: RequestFailed) -> None:
        headers = {"Connection": "close", WIRE_HEADER: str(WIRE_VERSION)}
        response = error_response(failure, headers=headers)
        status = HTTPStatus(response.status_code)
        head = [f"HTTP/1.1 {status.value} {status.phrase}".encode("ascii")]
        head += [name + b": " + value for name, value in response.raw_headers]
        self.transport.write(b"\r\n".join([*head, b"", bytes(response.body)]))

    # -- the deadlines

    def _start_receiving(self) -> None:
        self._stop_receiving()
        settings = self.execbox
        now_s = self.loop.time()
        self._receive_deadline = now_s + settings.receive_timeout_s
        self._receive_due = now_s + min(settings.receive_timeout_s, settings.header_timeout_s)

    def _give_rest_of_time(self) -> None:
        """The headers are there: what is left of the time for a whole request is for the body."""
        if self._receive_due is not None:
            self._stop_receiving()
            self._receive_due = self._receive_deadline

    def _watch_receiving(self) -> None:
        """Set the timer, once the parser has done with what came: of a request that is complete by
        then, as nearly all are, nothing need be timed."""
        if self._receive_due is not None and self._receive_timer is None:
            self._receive_timer = self.loop.call_at(self._receive_due, self._receiving_too_slow)

    def _stop_receiving(self) -> None:
        self._receive_due = None
        if self._receive_timer is not None:
            self._receive_timer.cancel()
            self._receive_timer = None

    def _receiving_too_slow(self) -> None:
        self._stop_receiving()
        if self._in_headers or self.cycle is None or self.pipeline:
            timeout_s = self.execbox.receive_timeout_s
            if self._in_headers:
                timeout_s = min(timeout_s, self.execbox.header_timeout_s)
            self._refuse(ReceiveTimeout(timeout_s))
        elif self.cycle.response_complete:
            self.transport.abort()
        else:
            # The application has the same deadline and answers by itself; this is for one that
            # does not read the body.
            self._receive_timer = self.loop.call_later(_ANSWER_GRACE_S, self.transport.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stop_sending_timer()
        self._send_timer = self.loop.call_later(self.execbox.send_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_sending_timer()
        super().resume_writing()

    def _stop_sending_timer(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def _must_linger(self) -> bool:
        """Whether closing now would meet unread bytes, and the kernel's reset then destroy the
        answer on its way."""
        self._stop_receiving()
        unread = self._deaf or (self.cycle is not None and self.cycle.more_body)
        self._deaf = True
        return unread


class _LingeringTransport:
    """A transport whose ``close`` first lets the peer read the answer, but not for ever, and which
    sends what is written at once, such as a head and its body, in one piece."""

    def __init__(
        self,
        transport: asyncio.Transport,
        *,
        must_linger: Callable[[], bool],
        send_timeout_s: float,
    ) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._must_linger = must_linger
        self._send_timeout_s = send_timeout_s
        self._closing = False
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0

    def write(self, data: bytes) -> None:
        """Each system call that wakes a reader costs 0.1 ms and more (measured)."""
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(data)
        self._unsent_bytes += len(data)
        if self._unsent_bytes > _TOGETHER_BYTES:
            self._flush()

    def _flush(self) -> None:
        pieces, self._unsent = self._unsent, []
        self._unsent_bytes = 0
        if pieces and not self._transport.is_closing():
            self._transport.write(b"".join(pieces))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._closing or self._transport.is_closing()

    def close(self) -> None:
        if self.is_closing():
            return
        self._flush()
        if self._must_linger() and self._transport.can_write_eof():
            self._closing = True
            self._transport.write_eof()
            self._transport.resume_reading()
            self._abort_after(_LINGER_S)
        else:
            self.close_at_once()

    def close_at_once(self) -> None:
        self._flush()
        self._closing = True
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._abort_after(self._send_timeout_s)

    def abort_soon(self) -> None:
        """Close without waiting for a peer that does not read: what it is owed has been written."""
        self._flush()
        self._closing = True
        self._transport.close()
        self._loop.call_soon(self._transport.abort)

    def _abort_after(self, delay_s: float) -> None:
        if self._transport.get_write_buffer_size():
            delay_s = max(delay_s, self._send_timeout_s)
        self._loop.call_later(delay_s, self._transport.abort)


class _Refused(Exception):
    """Stops the parser; what to answer is in ``_refusal``."""


def _too_many_connections() -> ServiceFailure:
    return ServiceFailure(
        ErrorCode.TOO_MANY_CONNECTIONS, "the service has no connection left; retry"
    )


def _bad(message: str) -> CallerMistake:
    return CallerMistake(ErrorCode.BAD_REQUEST, message)
