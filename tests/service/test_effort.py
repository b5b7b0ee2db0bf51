"""What operators see of jobs that came to no answer, on a pool of fake sandboxes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from execbox.wire import ExecuteRequest, GenerateRequest
from execbox_service.failures import ServiceFailure
from execbox_service.metrics import Metrics
from execbox_service.operations.execute import Executor
from execbox_service.operations.generate import Generation
from execbox_service.sandboxes.pool import Pool
from execbox_service.scheduling.admission import Admission
from tests.fake_engine import (
    FACTS,
    POOL_LIMITS,
    Behaviour,
    FakeEngine,
    FakeSandbox,
    report_frame,
    result_frame,
)
from tests.service.test_driver import after, hanging_up, silent

FUNCTION = {"code": "def main_solution(x): return x"}


def executor_on(*behaviours: Behaviour) -> Executor:
    """One whose first sandboxes behave so. Its pool has been started."""
    pool = Pool(FakeEngine(behaviours=list(behaviours)), POOL_LIMITS)
    pool.start()
    admission = Admission(slot_count=1, queue_size=0, queue_wait_max_s=1)
    return Executor(admission, pool, FACTS, Metrics())


async def execute(executor: Executor, count: int) -> None:
    calls = [{"args": [n]} for n in range(count)]
    request = ExecuteRequest.model_validate({"function": FUNCTION, "calls": calls})
    await executor.execute(request, principal="a")


async def generate(executor: Executor, count: int) -> None:
    generator = {"code": "def input_generator(): return {'x': 1}"}
    body = {"function": FUNCTION, "input_generator": generator, "count": count, "checks": {}}
    request = GenerateRequest.model_validate(body)
    await Generation(executor, request, principal="a").run()


def counted(executor: Executor, name: str) -> float:
    """The value of one of the metrics."""
    lines = executor.metrics.render().decode().splitlines()
    (value,) = (line.split()[1] for line in lines if line.startswith(f"execbox_{name} "))
    return float(value)


@pytest.mark.parametrize("ask", [execute, generate])
async def test_job_that_lost_its_sandboxes_counts_them(ask: Any) -> None:
    """The alarm for lost sandboxes hears of those that cost a job its answer."""
    executor = executor_on(hanging_up, hanging_up)
    with pytest.raises(ServiceFailure, match="sandbox"):
        await ask(executor, 1)
    assert counted(executor, "sandboxes_lost_total") == 2
    assert counted(executor, "executions_ended_total") == 0
    await executor.pool.stop()


async def test_job_whose_machine_was_too_busy_counts_what_was_tried() -> None:
    """An execution stopped hard, and again with the machine to itself, is two, one of them alone.

    Neither had a core for more than a fraction of the time that passed.
    """

    def starving(sandbox: FakeSandbox, header: dict[str, Any]) -> bytes:
        wall_time_ns = 4 * header["allowance"]["wall_time_ns"]
        return result_frame(
            header["seq"],
            frame=report_frame(),
            exit_code=None,
            signal=9,
            killed="hard_stop",
            cpu_time_ns=1000,
            wall_time_ns=wall_time_ns,
            throttled_ns=500_000_000,
        )

    executor = executor_on(starving, starving)
    with pytest.raises(ServiceFailure) as failure:
        await execute(executor, 1)
    assert failure.value.code == "machine_too_busy"
    assert counted(executor, "executions_ended_total") == 2
    assert counted(executor, "executions_alone_total") == 1
    assert counted(executor, "throttled_seconds_total") == 1
    await executor.pool.stop()


async def test_job_whose_caller_left_counts_as_having_waited() -> None:
    """It gives no execution with a status."""
    executor = executor_on(after(1, silent))
    running = asyncio.create_task(execute(executor, 3))
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert counted(executor, "queue_seconds_count") == 1
    assert "execbox_executions_total{" not in executor.metrics.render().decode()
    await executor.pool.stop()


async def test_job_that_was_refused_a_slot_counts_no_wait() -> None:
    """Or a service that refuses most requests would seem to have short queues."""
    executor = executor_on(silent)
    running = asyncio.create_task(execute(executor, 1))
    await asyncio.sleep(0.05)
    with pytest.raises(ServiceFailure):
        await execute(executor, 1)
    assert counted(executor, "queue_seconds_count") == 0
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await executor.pool.stop()
