"""Hostile load on a service with real containers (F18, F28)."""

from __future__ import annotations

import asyncio
import collections
import json
from typing import Any

import pytest

from tests.api.harness import Answer, execute_body, wait_until
from tests.live_service import LiveService, headers_of, statuses_of

from .conftest import CANARY, GREEDY

pytestmark = [pytest.mark.docker, pytest.mark.alone]

LOOP = "def main_solution():\n    while True: pass"
ONE = "def main_solution(): return 1"
PRINTS = "def main_solution(n):\n    print('x' * 2**20)\n    return n"
FLOOD_COUNT = 500
CANARY_BOUND_S = 10.0


async def _post(service: LiveService, body: bytes, *, key: str) -> Answer:
    """As ``Server.post``, for hundreds at once."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    head = (
        f"POST /v1/execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n{headers_of(key)}\r\n"
    )
    writer.write(head.encode() + body)
    received = await reader.read()
    writer.close()
    lines, _, content = received.partition(b"\r\n\r\n")
    first, *rest = lines.decode("latin-1").split("\r\n")
    pairs = (line.split(": ", 1) for line in rest)
    return Answer(int(first.split()[1]), {n.lower(): v for n, v in pairs}, content)


def _body(code: str) -> bytes:
    limits = {"cpu_time_s": 0.1, "wall_time_s": 1}
    return execute_body(
        function={"code": code}, calls=[{"args": []}], limits=limits, isolation="process"
    )


async def _flood(service: LiveService) -> tuple[list[Answer], list[tuple[Answer, float]]]:
    """500 endless loops of one key at once, and meanwhile a few honest requests of another."""
    loop = asyncio.get_running_loop()
    flood = [
        asyncio.create_task(_post(service, _body(LOOP), key=GREEDY)) for _ in range(FLOOD_COUNT)
    ]
    await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
    canaries = []
    for _ in range(3):
        began_s = loop.time()
        answer = await _post(service, _body(ONE), key=CANARY)
        canaries.append((answer, loop.time() - began_s))
    return [await task for task in flood], canaries


def test_flood_of_endless_loops_is_refused_above_the_bound_and_judged_below_it(
    service: LiveService,
) -> None:
    """F18: 429 with an honest wait for the overflow, the true verdict for the others, and another
    key's requests within a bound."""
    flood, canaries = asyncio.run(_flood(service))
    counts = collections.Counter(answer.status for answer in flood)
    assert set(counts) == {200, 429}, counts
    assert counts[200] >= 4
    for answer in flood:
        if answer.status == 200:
            (execution,) = answer.json["executions"]
            assert (execution["status"], execution["limit"]) == ("timeout", "cpu_time")
        else:
            assert answer.json["error"]["retryable"] is True
            assert 1 <= int(answer.headers["retry-after"]) <= 60
    for answer, waited_s in canaries:
        assert statuses_of(answer) == ["ok"]
        assert waited_s < CANARY_BOUND_S


def _print(service: LiveService, call_count: int) -> dict[str, Any]:
    answer = service.execute(
        PRINTS,
        calls=[{"args": [n]} for n in range(call_count)],
        limits={"stdout_bytes": 100},
        isolation="process",
        headers=headers_of(GREEDY),
    )
    assert answer.status == 200, answer.body
    document: dict[str, Any] = json.loads(answer.body)
    return document


def test_executions_that_print_a_megabyte_each_leave_memory_and_logs_as_they_were(
    service: LiveService,
) -> None:
    """F28: hundreds of megabytes are printed, what was asked for is kept, the rest is nowhere."""
    _print(service, 100)
    before_mb, before_count = service.resident_mb(), service.descriptor_count()
    for _ in range(4):
        executions = _print(service, 100)["executions"]
        assert {each["status"] for each in executions} == {"ok"}
        assert {(len(each["stdout"]), each["truncated"]["stdout"]) for each in executions} == {
            (100, True)
        }
    assert service.resident_mb() - before_mb < 20
    wait_until(lambda: service.descriptor_count() <= before_count + 10, timeout_s=30)
