"""``GET /page/live``: what ``Live`` reads, as server-sent events, to each key what it may see.

The first event, ``history``, has the samples so far; then there is one event, ``now``, for each
reading. It ends when its reader goes or the service stops; a reader then asks again.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from execbox.wire import ErrorCode
from execbox_service.api.bodies import (
    CONNECTION_STATE_KEY,
    ClientGone,
    Connection,
    until_disconnect,
)
from execbox_service.api.page.live import INTERVAL_S, Live
from execbox_service.api.page.paths import LIVE_PATH
from execbox_service.api.page.readings import Sample
from execbox_service.api.request_guard import record_of
from execbox_service.api.streams import stream_headers
from execbox_service.failures import ServiceFailure
from execbox_service.scheduling.reservations import KeyQueue
from execbox_service.settings import Settings

__all__ = ["READERS_MAX", "add_live_stream"]

READERS_MAX: Final = 32
"""Readers at once, of all keys: each holds a connection for as long as it likes."""
_END: Final[Message] = {"type": "http.response.body", "body": b"", "more_body": False}
_HEADERS: Final = [
    *stream_headers("text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
]


def add_live_stream(app: FastAPI, live: Live, settings: Settings) -> None:
    """The path of the stream. Not in the OpenAPI document: it is the page's own."""

    async def stream(request: Request) -> Response:
        principal = record_of(request.scope).caller.principal
        allowed = settings.live_keys
        every_key = not settings.api_key_hashes or "*" in allowed or principal in allowed
        return _Stream(live, principal=principal, every_key=every_key)

    app.add_api_route(
        LIVE_PATH, stream, methods=["GET"], include_in_schema=False, response_class=Response
    )


class _Stream(Response):
    def __init__(self, live: Live, *, principal: str, every_key: bool) -> None:
        super().__init__()
        self._live = live
        self._principal = principal
        self._every_key = every_key
        self._connection: Connection | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._connection = scope["state"].get(CONNECTION_STATE_KEY)
        if self._live.reader_count >= READERS_MAX:
            raise ServiceFailure(
                ErrorCode.TOO_MANY_CONNECTIONS,
                f"{READERS_MAX} pages show this service's numbers already, which is the most; "
                f"close one, or try again later",
                retry_after_s=INTERVAL_S,
            )
        self._live.reader_count += 1
        try:
            await until_disconnect(receive, self._write(send))
        except ClientGone:
            # The usual end, and no error: a page that was closed.
            await send(_END)
        finally:
            self._live.reader_count -= 1

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": _HEADERS})
        async for event in self._events():
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send(_END)

    @property
    def _is_stopping(self) -> bool:
        """Its readers would otherwise hold a service that stops for the whole grace."""
        return self._connection is not None and self._connection.is_stopping()

    async def _events(self) -> AsyncIterator[bytes]:
        samples = self._live.samples
        yield _event("history", {"interval_s": INTERVAL_S, "samples": _plain(samples)})
        while not self._is_stopping:
            shown_s = samples[-1].time_s if samples else 0.0
            samples = self._live.samples
            yield self._now([sample for sample in samples if sample.time_s > shown_s])
            await self._live.next_change()

    def _now(self, newest: list[Sample]) -> bytes:
        state = self._live.state
        return _event(
            "now",
            {
                "samples": _plain(newest),
                "state": state.model_dump() if state is not None else None,
                **self._queues(self._live.queues()),
            },
        )

    def _queues(self, queues: list[KeyQueue]) -> dict[str, Any]:
        """Those that this key may see, and of the others how many wait and run in all."""
        seen = [each for each in queues if self._every_key or each.key == self._principal]
        others = [each for each in queues if each not in seen]
        return {
            "keys": [
                {"key": each.key, "waiting": each.waiting_count, "running": each.running_count}
                for each in seen
            ],
            "others": {
                "waiting": sum(each.waiting_count for each in others),
                "running": sum(each.running_count for each in others),
            },
            "every_key": self._every_key,
            "key": self._principal,
        }


def _plain(samples: list[Sample]) -> list[dict[str, Any]]:
    return [sample.model_dump() for sample in samples]


def _event(name: str, data: dict[str, Any]) -> bytes:
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return f"event: {name}\ndata: {text}\n\n".encode()
