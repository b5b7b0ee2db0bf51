"""Speaking to the Docker daemon's own socket: one connection for each request. No judgement here.

Requests are HTTP/1.0, to which answers end with their connection, so there is nothing to take
apart but a status line and a few headers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

STREAM_BYTES: Final = 64 * 1024
_ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
_TIMEOUT_S: Final = 60.0
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: .*)?")
_UPGRADED: Final = HTTPStatus.SWITCHING_PROTOCOLS


class DaemonTrouble(Exception):
    """The daemon cannot be reached, or its answer cannot be used; the text says which."""


class DaemonSaidNo(Exception):
    """The daemon answered with an error: its status, and what it says is wrong."""

    def __init__(self, status: int, body: bytes) -> None:
        try:
            message = str(json.loads(body)["message"])
        except (ValueError, KeyError, TypeError):
            message = body.decode("utf-8", "replace").strip()
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class DaemonResponse:
    """What the daemon answered, if it is no error. ``headers`` have lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded. Raises DaemonTrouble."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise DaemonTrouble("the daemon's answer is not JSON") from error


@dataclass(frozen=True)
class Stream:
    """One connection, both directions."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Daemon:
    """The daemon behind a unix socket."""

    def __init__(self, socket_path: str) -> None:
        self._socket_path = socket_path

    async def ask(self, method: str, target: str, *, body: Any = None) -> DaemonResponse:
        """Send one request, ``body`` as JSON. Raises DaemonSaidNo, DaemonTrouble."""
        stream, answer = await self._exchange(method, target, body=body)
        stream.writer.close()
        return answer

    async def attach(self, target: str) -> Stream:
        """A stream of bytes in both directions. Raises DaemonSaidNo, DaemonTrouble."""
        stream, answer = await self._exchange("POST", target, upgrade=True)
        if answer.status != _UPGRADED:
            stream.writer.close()
            raise DaemonTrouble(f"the daemon answered {answer.status} where a stream was asked for")
        return stream

    async def _exchange(
        self, method: str, target: str, *, body: Any = None, upgrade: bool = False
    ) -> tuple[Stream, DaemonResponse]:
        with contextlib.ExitStack() as undo:
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    stream = await self._send(method, target, body=body, upgrade=upgrade)
                    undo.callback(stream.writer.close)
                    answer = await _answer(stream.reader)
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                raise DaemonTrouble(f"the Docker daemon does not answer: {error!r}") from error
            undo.pop_all()
        return stream, answer

    async def _send(self, method: str, target: str, *, body: Any, upgrade: bool) -> Stream:
        data = b"" if body is None else json.dumps(body).encode("ascii")
        lines = [f"{method} {target} HTTP/1.0", "Host: docker", f"Content-Length: {len(data)}"]
        if data:
            lines.append("Content-Type: application/json")
        lines += ["Connection: Upgrade", "Upgrade: tcp"] if upgrade else ["Connection: close"]
        reader, writer = await asyncio.open_unix_connection(self._socket_path, limit=STREAM_BYTES)
        writer.write("\r\n".join([*lines, "", ""]).encode("ascii") + data)
        return Stream(reader, writer)


async def _answer(reader: asyncio.StreamReader) -> DaemonResponse:
    status, headers = await _answer_head(reader)
    body = b"" if status == _UPGRADED else await _rest(reader)
    if status >= HTTPStatus.BAD_REQUEST:
        raise DaemonSaidNo(status, body)
    return DaemonResponse(status, headers, body)


async def _answer_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise DaemonTrouble("the head of the daemon's answer is too long") from error
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    status_line = _STATUS_LINE.fullmatch(first)
    if status_line is None:
        raise DaemonTrouble("the daemon's answer does not begin as an answer of HTTP")
    pairs = [line.decode("latin-1").partition(":") for line in lines]
    return int(status_line[1]), {name.lower(): value.strip() for name, _, value in pairs}


async def _rest(reader: asyncio.StreamReader) -> bytes:
    data = bytearray()
    while part := await reader.read(STREAM_BYTES):
        data += part
        if len(data) > _ANSWER_BYTES_MAX:
            raise DaemonTrouble(f"the daemon's answer is longer than {_ANSWER_BYTES_MAX} bytes")
    return bytes(data)
