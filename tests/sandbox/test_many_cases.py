"""Many cases of one program in one request leave nothing in the service or its sandboxes."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from harness.bench import Bench, started_bench
from harness.docker_daemon import docker_client
from harness.meters import resident_mb

from execbox.wire import ProgramVerdict, RunRequest
from execbox_service.operations.registry import RUN
from execbox_service.scheduling.caller import Caller

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

FEW, MANY = 50, 600
BYTES_MAX = 64
"""Of the service, that a case may leave; its answer alone is some 2,000."""
TRIES = 3
SUPERVISOR_MB_MAX = 2.0


async def run_cases(bench: Bench, count: int) -> None:
    """One request; every case is right, and the answer is let go."""
    request = RunRequest.model_validate(
        {
            "program": {"code": "print(int(input()) * 2)\n"},
            "cases": [
                {"stdin": f"{n}\n", "expected": {"stdout": f"{n * 2}\n"}} for n in range(count)
            ],
            "isolation": "process",
        }
    )
    answer = await bench.runtime.perform(RUN, request, caller=Caller("many"))
    assert [run.verdict for run in answer.runs] == [ProgramVerdict.CORRECT] * count


def supervisors_mb(bench: Bench) -> float:
    """Memory of the largest supervisor there is; it is process 1 of its container."""
    with docker_client() as client:
        pids = [client.inspect_container(each["Id"])["State"]["Pid"] for each in bench.containers()]
    return max(resident_mb(pid) for pid in pids if pid)


@pytest_asyncio.fixture(loop_scope="session")
async def quiet_bench() -> AsyncIterator[Bench]:
    """One that nobody else uses, so that no container of it ends while the test looks at it."""
    async with started_bench(slot_count="1", pool_size="1") as started:
        yield started


async def test_many_cases_leave_nothing_in_service_and_supervisor(quiet_bench: Bench) -> None:
    """Twelve times as many cases leave what few leave."""
    bench = quiet_bench
    await run_cases(bench, FEW)
    before_mb = supervisors_mb(bench)
    grown_bytes: list[int] = []
    tracemalloc.start()
    try:
        await run_cases(bench, FEW)
        # What is made once may come at any time; what a case leaves comes with each of them.
        while not grown_bytes or grown_bytes[-1] >= BYTES_MAX * MANY:
            assert len(grown_bytes) < TRIES, grown_bytes
            gc.collect()
            before_bytes, _peak = tracemalloc.get_traced_memory()
            await run_cases(bench, MANY)
            gc.collect()
            grown_bytes.append(tracemalloc.get_traced_memory()[0] - before_bytes)
    finally:
        tracemalloc.stop()
    assert supervisors_mb(bench) - before_mb < SUPERVISOR_MB_MAX
