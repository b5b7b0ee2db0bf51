"""Requests as an attacker writes them: what two parsers could read in two ways is refused."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execbox_service.gate import http1
from execbox_service.gate.daemon import STREAM_BYTES
from execbox_service.gate.http1 import Refused, Request

GET = b"GET /version HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\n"


async def read(data: bytes) -> Request | None:
    """What the gate makes of these bytes, after which the sender stops."""
    reader = asyncio.StreamReader(limit=STREAM_BYTES)
    reader.feed_data(data)
    reader.feed_eof()
    return await http1.read_request(reader)


async def test_request_of_the_sdk_is_read_as_it_was_sent() -> None:
    """Method, path, decoded query, headers in lower case, and exactly the body."""
    request = await read(
        b"POST /v1.41/containers/create?name=a%20b&t=1 HTTP/1.1\r\nHost: localhost\r\n"
        b"User-Agent: docker-sdk-python/7.2.0\r\nAccept: */*\r\nContent-Length: 2\r\n\r\n{}rest"
    )
    assert request == Request(
        method="POST",
        path="/v1.41/containers/create",
        query={"name": "a b", "t": "1"},
        headers={
            "host": "localhost",
            "user-agent": "docker-sdk-python/7.2.0",
            "accept": "*/*",
            "content-length": "2",
        },
        body=b"{}",
    )


async def test_path_with_the_digest_of_an_image_is_read() -> None:
    """The one escape that the SDK writes."""
    request = await read(b"GET /images/a/b%40sha256:0f/json HTTP/1.1\r\nHost: a\r\n\r\n")
    assert request is not None
    assert request.path == "/images/a/b@sha256:0f/json"


async def test_connection_closed_before_a_request_is_no_request() -> None:
    """Nothing came, so nothing is answered."""
    assert await read(b"") is None


@pytest.mark.parametrize(
    "data",
    [
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: identity\r\n\r\n",
        POST + b"transfer-encoding: xchunked\r\nContent-Length: 0\r\n\r\n",
        POST + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
        POST + b"Content-Length: 0\r\ncontent-length: 0\r\n\r\n",
        POST + b"Content-Length: 0, 5\r\n\r\nhello",
        POST + b"Content-Length: +5\r\n\r\nhello",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: 0x5\r\n\r\nhello",
        POST + b"Content-Length: 5_0\r\n\r\nhello",
        POST + b"Content-Length: \xd9\xa5\r\n\r\nhello",
        POST + b"Content-Length:\r\n\r\n",
        POST + b"Content-Length : 5\r\n\r\nhello",
        POST + b" Content-Length: 5\r\n\r\nhello",
        POST + b"Content-Length: 5\r\n folded\r\n\r\nhello",
        POST + b"Content-Length: 9999999999\r\n\r\n",
        POST + b"Content-Length: 5\r\n\r\nhel",
        POST + b"Expect: 100-continue\r\nContent-Length: 0\r\n\r\n",
        POST + b"X: a\nContent-Length: 5\r\n\r\nhello",
        POST + b"X: a\rY: b\r\n\r\n",
        POST + b"X: a\x00b\r\n\r\n",
        POST + b"X\x00: b\r\n\r\n",
        POST + b": b\r\n\r\n",
        POST + b"no colon\r\n\r\n",
        POST + b"Host: b\r\n\r\n",
        POST + b"".join(b"X%d: y\r\n" % number for number in range(40)) + b"\r\n",
        b"GET /version HTTP/1.1\r\n\r\n",
        b"GET /version HTTP/1.0\r\nHost: a\r\n\r\n",
        b"GET /version HTTP/1.1 \r\nHost: a\r\n\r\n",
        b"GET  /version HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET\t/version HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /version\r\nHost: a\r\n\r\n",
        b"\r\nGET /version HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a/version HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a%4 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a%2540 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a;b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a?b=1&b=2 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a?b=%ff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a?" + b"&".join(b"p%d=1" % n for n in range(20)) + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /version HTTP/1.1\r\nHost: a",
        b"GET /version HTTP/1.1\nHost: a\n\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        GET + b"X: " + b"a" * http1.HEAD_BYTES_MAX + b"\r\n\r\n",
        GET + b"X: " + b"a" * 10 * STREAM_BYTES,
        b"GET /" + b"a" * 10 * STREAM_BYTES,
        POST + b"Content-Length: %d\r\n\r\n" % (http1.BODY_BYTES_MAX + 1),
    ],
)
async def test_request_that_can_be_read_in_two_ways_is_refused(data: bytes) -> None:
    """A 4xx, and never anything but a refusal."""
    with pytest.raises(Refused) as refused:
        await read(data)
    assert 400 <= refused.value.status < 500
    assert len(str(refused.value)) < 300


PIECES = st.sampled_from(
    [
        *(b"GET", b"POST", b" ", b"/", b"/version", b"?a=b", b"&", b"%00", b" HTTP/1.1", b"\r\n"),
        *(b"\n", b"\r", b":", b"Host: a", b"Content-Length: ", b"0", b"5", b"Transfer-Encoding"),
        *(b"chunked", b"\x00", b"\xff", b"\r\n\r\n", b"\t", b"a" * 70_000),
    ]
)


@given(st.lists(PIECES | st.binary(max_size=8), max_size=20))
def test_bytes_whatever_they_are_are_a_request_or_refused(pieces: list[bytes]) -> None:
    """No input makes anything else happen, and what is taken is within its bounds."""
    data = b"".join(pieces)
    try:
        request = asyncio.run(read(data))
    except Refused:
        return
    if request is None:
        assert data == b""
        return
    assert request.headers.keys().isdisjoint({"transfer-encoding", "expect"})
    assert len(request.body) == int(request.headers.get("content-length", "0"))
    assert "%" not in request.path


async def test_body_as_long_as_allowed_is_read() -> None:
    """The cap itself is within."""
    length = http1.BODY_BYTES_MAX
    request = await read(POST + b"Content-Length: %d\r\n\r\n" % length + bytes(length))
    assert request is not None
    assert len(request.body) == length


def test_error_answer_is_bounded_whatever_it_is_about() -> None:
    """No answer grows with what was sent."""
    assert len(http1.error_answer(403, "x" * 10**6)) < 2000
