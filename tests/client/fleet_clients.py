"""Clients of several nodes, blocking and for asyncio, and short ways to use them. No tests."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from harness.loop_thread import LoopThread

from execbox import (
    AsyncClient,
    BatchResult,
    ClientConfig,
    NodeReport,
    RetryPolicy,
    wire,
)
from tests.client.fleet_node import FleetNode

CODE = "def main_solution(n): return 2 * n"
QUICK = RetryPolicy(backoff_s=0.01, backoff_max_s=0.02)


class Blocking:
    """An ``AsyncClient`` in a loop and thread of its own, with the methods of ``Client``."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._client = AsyncClient(*args, **options)
        self._thread = LoopThread()
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._thread.run(work, timeout_s=60)

    def execute(self, *args: Any, **options: Any) -> Any:
        return self.run(self._client.execute(*args, **options))

    def capabilities(self) -> Any:
        return self.run(self._client.capabilities())

    def wait_until_ready(self, *, timeout_s: float) -> None:
        self.run(self._client.wait_until_ready(timeout_s=timeout_s))

    def nodes(self) -> Any:
        return self.run(self._client.nodes())

    def batch(self, lines: Iterable[Any], **options: Any) -> Iterator[BatchResult]:
        results: queue.Queue[BatchResult | None] = queue.Queue()

        async def follow() -> None:
            try:
                async for result in self._client.batch(lines, **options):
                    results.put(result)
            finally:
                results.put(None)

        following = self._thread.begin(follow())
        while (result := results.get(timeout=60)) is not None:
            yield result
        following.result()

    @contextmanager
    def session(self) -> Iterator[Any]:
        session, run = self._client.session(), self.run
        run(session.__aenter__())

        class Cells:
            def run(self, code: str) -> Any:
                return run(session.run(code))

        try:
            yield Cells()
        finally:
            run(session.aclose())

    def __enter__(self) -> Blocking:
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._client.aclose())
        self._thread.end()


def made_with(kind: Callable[..., Any]) -> Callable[..., AbstractContextManager[Any]]:
    """What makes clients of one kind, given the addresses and the rest of the configuration."""

    def make(
        nodes: Any, *, retry: RetryPolicy = QUICK, **fields: Any
    ) -> AbstractContextManager[Any]:
        given = tuple(nodes) if isinstance(nodes, list) else nodes
        made: AbstractContextManager[Any] = kind(
            config=ClientConfig(nodes=given, retry=retry, **fields)
        )
        return made

    return make


def doubled(client: Any, n: int = 21) -> int:
    output = client.execute(CODE, [{"n": n}]).executions[0].output
    assert isinstance(output, int)
    return output


def lines(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {
            "id": str(number),
            "op": "execute",
            "function": {"code": CODE},
            "calls": [{"kwargs": {"n": number}}],
        }


def check_complete(results: Sequence[BatchResult], count: int) -> None:
    """Every line once, with its own answer."""
    assert [result.error for result in results] == [None] * count
    assert sorted(int(result.id or -1) for result in results) == list(range(count))
    for result in results:
        assert isinstance(result.answer, wire.ExecuteAnswer)
        assert result.answer.executions[0].output == 2 * int(result.id or -1)


def state_of(client: Any, node: FleetNode) -> NodeReport:
    report: NodeReport = next(each for each in client.nodes() if each.address == node.url)
    return report


def until(condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.02)
