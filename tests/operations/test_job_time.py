"""Slow functions on a real service: what was checked whole when the time was over is kept."""

from __future__ import annotations

from typing import Any

import pytest
from harness.bench import Bench

from execbox.wire import GenerateRequest, Status
from execbox_service.operations.registry import GENERATE
from execbox_service.scheduling.caller import Caller

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

SLOW = """
import time
def main_solution(n):
    began = time.process_time()
    while time.process_time() - began < 0.4: pass
    return n * 2
"""
COUNTING = "import random\ndef input_generator(): return {'n': random.randrange(10**6)}"
CHECKS: dict[str, Any] = {"determinism": {"runs": 2}}


@pytest.mark.parametrize("isolation", ["container", "process"])
async def test_execute_of_slow_calls_keeps_what_it_has_checked(
    bench: Bench, isolation: str
) -> None:
    """Sixty calls need 48 CPU seconds: in ten, all were begun and none was checked."""
    response = await bench.request(
        SLOW,
        [{"args": [n]} for n in range(60)],
        isolation=isolation,
        checks=CHECKS,
        limits={"job_time_s": 10},
    )
    whole = [each.determinism is not None for each in response.executions]
    assert 1 <= sum(whole) < 60
    assert whole == sorted(whole, reverse=True)
    assert response.executions[-1].status is Status.NOT_RUN


async def test_generate_of_slow_calls_keeps_what_it_has_checked(bench: Bench) -> None:
    """The pairs that are certified when the time is over are in the answer."""
    body = {
        "function": {"code": SLOW},
        "input_generator": {"code": COUNTING},
        "count": 60,
        "isolation": "process",
        "limits": {"job_time_s": 10},
    }
    request = GenerateRequest.model_validate(body)
    response = await bench.runtime.perform(GENERATE, request, caller=Caller("test"))
    assert response.stopped == "job_time"
    assert 1 <= len(response.pairs) < 60
    assert all(pair.certificate is not None for pair in response.pairs)


async def test_execute_of_an_endless_function_gives_up(bench: Bench) -> None:
    """What follows five calls that took all their time is not run, and no verdict."""
    response = await bench.request(
        "def main_solution(n):\n    while True: pass",
        [{"args": [n]} for n in range(30)],
        isolation="process",
        checks=CHECKS,
        limits={"cpu_time_s": 0.1},
        give_up_after=5,
    )
    statuses = [execution.status for execution in response.executions]
    timeouts = statuses.count(Status.TIMEOUT)
    assert 5 <= timeouts <= 5 + bench.settings.slot_count
    assert statuses == [Status.TIMEOUT] * timeouts + [Status.NOT_RUN] * (30 - timeouts)
