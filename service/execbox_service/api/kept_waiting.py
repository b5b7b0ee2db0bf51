"""Keeping a client waiting: HTTP's interim ``100 Continue``, every second until the real answer.

The clients of some contracts stop waiting after a few seconds in which nothing arrives, send
nothing again, and mostly make a zero of that. The HTTP libraries that they use pass over interim
answers, as RFC 9110 (15.2) has it, and count their time anew after each: so their requests can wait
for a slot, or for a daemon that is away. A client of a different library gets none: not every
library passes them over, and not every proxy passes them on. Which contracts do this says
``compat/contract``.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast

from starlette.types import Scope

from execbox_service.api.bodies import CONNECTION_STATE_KEY, Connection

__all__ = ["PATIENCE_S", "is_kept_waiting", "kept_waiting", "passes_over_interim_answers"]

PATIENCE_S: Final = 300.0
"""For so long after a request came it may wait, and what fails is tried again."""
_EVERY_S: Final = 1.0
"""Less than any of these clients waits: NeMo-Skills five seconds and its code's time."""
_STATE_KEY: Final = "execbox_kept_waiting"
_LIBRARIES: Final = re.compile(
    rb"python-(requests|httpx|urllib3)/|Python-urllib/|Python/[\d.]+ aiohttp/"
)
_OF_PROXIES: Final = frozenset(
    {b"via", b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-real-ip"}
)


@contextmanager
def kept_waiting(scope: Scope) -> Iterator[None]:
    """Interim answers to this request inside the block, if its client is known to take them."""
    state: Mapping[str, Any] = scope.get("state", {})
    connection = cast("Connection | None", state.get(CONNECTION_STATE_KEY))
    version = str(scope.get("http_version"))
    if connection is None or not passes_over_interim_answers(scope["headers"], version=version):
        yield
        return
    scope["state"][_STATE_KEY] = True
    ticking = _Ticking(connection)
    try:
        yield
    finally:
        ticking.end()


def is_kept_waiting(scope: Scope) -> bool:
    """Whether this request's client waits as long as ``PATIENCE_S``."""
    return bool(scope.get("state", {}).get(_STATE_KEY, False))


def passes_over_interim_answers(headers: Iterable[tuple[bytes, bytes]], *, version: str) -> bool:
    """Whether these headers, with lower-case names, are of a library that does, and came here
    directly."""
    if version != "1.1":
        return False
    agents = []
    for name, value in headers:
        if name in _OF_PROXIES:
            return False
        if name == b"user-agent":
            agents.append(value)
    return len(agents) == 1 and _LIBRARIES.match(agents[0]) is not None


class _Ticking:
    """A timer and no task: there may be thousands."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(_EVERY_S, self._tick)

    def _tick(self) -> None:
        self._connection.answer_interim()
        self._timer = self._loop.call_later(_EVERY_S, self._tick)

    def end(self) -> None:
        self._timer.cancel()
