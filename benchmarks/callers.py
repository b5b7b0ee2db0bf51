"""Talking to a service under load: callers, one call at a time each. No measuring.

``raw`` writes prepared bytes to a connection of its own and reads the answer, which costs next to
nothing; ``execbox`` is our own ``AsyncClient``, with the validation that its users pay for.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from benchmarks.work import TRIVIAL_CODE
from execbox import AsyncClient, ClientConfig, ExecboxError
from execbox.config import RetryPolicy
from execbox.wire import Function

_ANSWER_TIMEOUT_S = 120.0


class CallFailed(Exception):
    """An answer that is none: the status and the beginning of the body."""


@dataclass(frozen=True)
class Answered:
    """The output of the call, and how long the job waited for a slot."""

    output: Any
    queue_s: float


Caller = Callable[[int], Awaitable[Answered]]
"""Calls the trivial function with a number. Raises CallFailed."""


@asynccontextmanager
async def raw_caller(url: str, *, key: str | None = None) -> AsyncIterator[Caller]:
    """One kept-alive connection, one call at a time."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = f"POST /v1/execute HTTP/1.1\r\nHost: {address.netloc}\r\n"
    head += f"Authorization: Bearer {key}\r\n" if key else ""
    head += "Content-Type: application/json\r\nContent-Length: "
    request = {"function": {"code": TRIVIAL_CODE}, "isolation": "process", "calls": []}
    before_calls = json.dumps(request).removesuffix("]}")

    async def call(argument: int) -> Answered:
        body = f'{before_calls}{{"kwargs": {{"n": {argument}}}}}]}}'
        writer.write(f"{head}{len(body)}\r\n\r\n{body}".encode())
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                answer = await reader.readuntil(b"\r\n\r\n")
                length = answer.lower().partition(b"content-length:")[2].split()[0]
                content = await reader.readexactly(int(length))
        except (OSError, EOFError, TimeoutError, IndexError) as error:
            raise CallFailed(f"{type(error).__name__}: {error}") from error
        if not answer.startswith(b"HTTP/1.1 200"):
            raise CallFailed(f"{answer[:12]!r} {content[:150]!r}")
        decoded = json.loads(content)
        return Answered(decoded["executions"][0]["output"], decoded["queue_time_s"])

    try:
        yield call
    finally:
        writer.close()


@asynccontextmanager
async def library(url: str, *, connections_max: int) -> AsyncIterator[Caller]:
    """Our own client, shared by all callers, which retries nothing here."""
    config = ClientConfig(base_url=url, connections_max=connections_max, retry=RetryPolicy.never())
    function = Function(code=TRIVIAL_CODE)
    async with AsyncClient(config=config) as client:

        async def call(argument: int) -> Answered:
            try:
                answer = await client.execute(function, [{"n": argument}], isolation="process")
            except ExecboxError as error:
                raise CallFailed(f"{type(error).__name__}: {error}") from error
            return Answered(answer.executions[0].output, answer.queue_time_s)

        yield call
