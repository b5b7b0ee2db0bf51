"""One strict HTTP/1.1 request from a stream, and bytes of answers to it; no Docker in here.

A connection carries one request. Whatever two parsers could read in two ways is refused, and
nothing that was read is ever sent on: the gate makes requests of its own.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl

HEAD_BYTES_MAX: Final = 16 * 1024
BODY_BYTES_MAX: Final = 256 * 1024
_HEADER_COUNT_MAX: Final = 32
_QUERY_PAIRS_MAX: Final = 16
_MESSAGE_CHARS_MAX: Final = 500
UPGRADED: Final = (
    b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
    b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
)
_END_OF_HEAD = b"\r\n\r\n"
# Of escapes only the one that clients may write for a sign allowed as it is, the @ of a digest.
_REQUEST_LINE = re.compile(rb"([A-Z]{3,10}) (/(?:[A-Za-z0-9._:@/-]|%40)*)(?:\?([!-~]*))? HTTP/1\.1")
# RFC 9110, 5.1 and 5.5, without obs-text: no space before the colon, no control characters.
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[!-~](?:[ -~\t]*[!-~])?)?)[ \t]*")
_LENGTH = re.compile(r"[0-9]{1,9}")


class Refused(Exception):
    """The gate does not do this; the text says what was asked and what is answered instead."""

    def __init__(self, message: str, *, status: int = HTTPStatus.FORBIDDEN) -> None:
        super().__init__(message)
        self.status = int(status)


@dataclass(frozen=True)
class Request:
    """One request, complete. ``headers`` have lower-case names, each once."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The one request of a connection; None if it was closed before any. Raises Refused."""
    try:
        head = await reader.readuntil(_END_OF_HEAD)
    except asyncio.LimitOverrunError as error:
        raise _head_too_long() from error
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise _malformed("the request ended within its head") from error
    if len(head) > HEAD_BYTES_MAX:
        raise _head_too_long()
    method, path, query, headers = _parsed_head(head)
    length = _body_bytes(headers)
    try:
        body = await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise _malformed("the request ended within its body") from error
    return Request(method, path, query, headers=headers, body=body)


def _parsed_head(head: bytes) -> tuple[str, str, dict[str, str], dict[str, str]]:
    first, *lines = head.removesuffix(_END_OF_HEAD).split(b"\r\n")
    line = _REQUEST_LINE.fullmatch(first)
    if line is None:
        raise _malformed("the first line is not METHOD /path?query HTTP/1.1 of plain characters")
    if len(lines) > _HEADER_COUNT_MAX:
        raise _malformed(f"{len(lines)} headers are more than {_HEADER_COUNT_MAX}")
    headers: dict[str, str] = {}
    for text in lines:
        header = _HEADER.fullmatch(text)
        if header is None:
            raise _malformed("a header is not a name, a colon and visible characters")
        name = header[1].decode("ascii").lower()
        if name in headers:
            raise _malformed("a header is there twice")
        headers[name] = header[2].decode("ascii")
    if "host" not in headers:
        raise _malformed("there is no Host header")
    query = _parsed_query((line[3] or b"").decode("ascii"))
    path = line[2].decode("ascii").replace("%40", "@")
    return line[1].decode("ascii"), path, query, headers


def _parsed_query(text: str) -> dict[str, str]:
    if not text:
        return {}
    try:
        pairs = parse_qsl(
            text,
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_QUERY_PAIRS_MAX,
        )
    except ValueError as error:
        raise _malformed("the query is not name=value&name=value in UTF-8") from error
    query = dict(pairs)
    if len(query) != len(pairs):
        raise _malformed("a query parameter is there twice")
    return query


def _body_bytes(headers: Mapping[str, str]) -> int:
    for name in ("transfer-encoding", "expect", "trailer", "te"):
        if name in headers:
            raise _malformed(f"{name} is not accepted: send a body with Content-Length at once")
    text = headers.get("content-length", "0")
    if not _LENGTH.fullmatch(text):
        raise _malformed("Content-Length is not a decimal number")
    if int(text) > BODY_BYTES_MAX:
        raise Refused(
            f"a body of {text} bytes is longer than {BODY_BYTES_MAX}",
            status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        )
    return int(text)


def _malformed(why: str) -> Refused:
    return Refused(f"not a request this gate reads: {why}", status=HTTPStatus.BAD_REQUEST)


def _head_too_long() -> Refused:
    return Refused(
        f"the head of the request is longer than {HEAD_BYTES_MAX} bytes",
        status=HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    )


# Answers


def answer_bytes(
    status: int,
    body: bytes,
    *,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """An answer after which the connection is closed."""
    return _head(status, {"Content-Type": content_type} | dict(headers or {}), len(body)) + body


def json_answer(status: int, value: Any) -> bytes:
    """An answer whose body is JSON."""
    return answer_bytes(status, json.dumps(value).encode("ascii"))


def error_answer(status: int, message: str) -> bytes:
    """An answer as the daemon gives it where something is wrong."""
    return json_answer(status, {"message": message[:_MESSAGE_CHARS_MAX]})


def chunked_answer(status: int, body: bytes) -> bytes:
    """A whole stream in one chunk, for clients that take a stream for one only if chunked."""
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    head = _head(status, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}, None)
    return head + chunk + b"0\r\n\r\n"


def _head(status: int, headers: Mapping[str, str], length: int | None) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if length is not None and status != HTTPStatus.NO_CONTENT:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("ascii")
