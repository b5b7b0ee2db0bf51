"""What operators see of jobs that came to no answer, on a pool of fake sandboxes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from execbox.wire import ExecuteRequest, GenerateRequest
from execbox_service.failures import ServiceFailure
from execbox_service.metrics import Metrics
from execbox_service.operations import execute as execute_operation
from execbox_service.operations import generate as generate_operation
from execbox_service.operations.backend import Backend
from execbox_service.sandboxes.pool import Pool
from execbox_service.scheduling.admission import Admission
from execbox_service.scheduling.caller import Caller
from tests.fake_engine import (
    FACTS,
    POOL_LIMITS,
    Behaviour,
    FakeEngine,
    FakeSandbox,
    report_frame,
    result_frame,
)
from tests.sandboxes.test_driver import after, hanging_up, silent

FUNCTION = {"code": "def main_solution(x): return x"}


def backend_on(*behaviours: Behaviour) -> Backend:
    """One whose first sandboxes behave so. Its pool has been started."""
    pool = Pool(FakeEngine(behaviours=list(behaviours)), POOL_LIMITS)
    pool.start()
    admission = Admission(slot_count=1, queue_size=0, queue_wait_max_s=1)
    return Backend(admission, pool, FACTS, Metrics(), answer_bytes_max=2**24)


async def execute(backend: Backend, count: int) -> None:
    calls = [{"args": [n]} for n in range(count)]
    request = ExecuteRequest.model_validate({"function": FUNCTION, "calls": calls})
    await execute_operation.execute(backend, request, caller=Caller("a"))


async def generate(backend: Backend, count: int) -> None:
    generator = {"code": "def input_generator(): return {'x': 1}"}
    body = {"function": FUNCTION, "input_generator": generator, "count": count, "checks": {}}
    request = GenerateRequest.model_validate(body)
    await generate_operation.generate(backend, request, caller=Caller("a"))


def counted(backend: Backend, name: str) -> float:
    """The value of one of the metrics."""
    lines = backend.metrics.render().decode().splitlines()
    (value,) = (line.split()[1] for line in lines if line.startswith(f"execbox_{name} "))
    return float(value)


@pytest.mark.parametrize("ask", [execute, generate])
async def test_job_that_lost_its_sandboxes_counts_them(ask: Any) -> None:
    """The alarm for lost sandboxes hears of those that cost a job its answer."""
    backend = backend_on(hanging_up, hanging_up)
    with pytest.raises(ServiceFailure, match="sandbox"):
        await ask(backend, 1)
    assert counted(backend, "sandboxes_lost_total") == 2
    assert counted(backend, "executions_ended_total") == 0
    await backend.pool.stop()


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

    backend = backend_on(starving, starving)
    with pytest.raises(ServiceFailure) as failure:
        await execute(backend, 1)
    assert failure.value.code == "machine_too_busy"
    assert counted(backend, "executions_ended_total") == 2
    assert counted(backend, "executions_alone_total") == 1
    assert counted(backend, "throttled_seconds_total") == 1
    await backend.pool.stop()


async def test_job_whose_caller_left_counts_as_having_waited() -> None:
    """It gives no execution with a status."""
    backend = backend_on(after(1, silent))
    running = asyncio.create_task(execute(backend, 3))
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert counted(backend, "queue_seconds_count") == 1
    assert "execbox_executions_total{" not in backend.metrics.render().decode()
    await backend.pool.stop()


async def test_job_that_was_refused_a_slot_counts_no_wait() -> None:
    """Or a service that refuses most requests would seem to have short queues."""
    backend = backend_on(silent)
    running = asyncio.create_task(execute(backend, 1))
    await asyncio.sleep(0.05)
    with pytest.raises(ServiceFailure):
        await execute(backend, 1)
    assert counted(backend, "queue_seconds_count") == 0
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await backend.pool.stop()
