"""Batches through either client, for the tests of what becomes of their lines. No tests."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from contextlib import aclosing, closing
from typing import Any, TypeAlias

from execbox import AsyncClient, BatchResult, Client, ClientConfig, RetryPolicy

QUICK = RetryPolicy(backoff_s=0.001, backoff_max_s=0.002, unavailable_retries_max=3)
Run: TypeAlias = Callable[..., list[BatchResult]]
"""Send lines to a URL with one of the clients; the results, or as many as ``first``."""
ITEM = {"id": "1", "kind": "output", "prediction": 1, "output": 1}


def run_with_client(
    url: str, lines: Iterable[Any], *, first: float = math.inf, **options: Any
) -> list[BatchResult]:
    results = []
    config = ClientConfig(base_url=url, retry=QUICK)
    with Client(config=config) as client, closing(client.batch(lines, **options)) as stream:
        for result in stream:
            results.append(result)
            if len(results) >= first:
                break
    return results


async def _run_with_async_client(
    url: str, lines: Iterable[Any], *, first: float = math.inf, **options: Any
) -> list[BatchResult]:
    results = []
    config = ClientConfig(base_url=url, retry=QUICK)
    async with (
        AsyncClient(config=config) as client,
        aclosing(client.batch(lines, **options)) as stream,
    ):
        async for result in stream:
            results.append(result)
            if len(results) >= first:
                break
    return results


def run_with_async_client(*args: Any, **options: Any) -> list[BatchResult]:
    return asyncio.run(_run_with_async_client(*args, **options))


def verify(name: str) -> dict[str, Any]:
    return {"id": name, "op": "verify", "items": [ITEM]}
