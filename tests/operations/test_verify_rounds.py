"""Verify requests that take more than one job: on fake sandboxes, in virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast
from unittest.mock import patch

import pytest

from execbox.wire import (
    ExecuteRequest,
    ExecuteResponse,
    Execution,
    Status,
    VerifyRequest,
    VerifyResponse,
)
from execbox_service.metrics import Metrics
from execbox_service.operations.backend import Backend
from execbox_service.operations.verify import verify
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
from tests.virtual_time import run_in_virtual_time

LIMITS = {"job_time_s": 1, "wall_time_s": 1}
HARD_STOP_S = 4.0


def request_of(count: int) -> VerifyRequest:
    """Input predictions for one function, each right about what an honest sandbox answers."""
    items = [
        {
            "id": str(n),
            "kind": "input",
            "function": {"code": "def main_solution(n):\n    return n\n"},
            "prediction": n,
            "output": n,
            "limits": LIMITS,
        }
        for n in range(count)
    ]
    return VerifyRequest.model_validate({"items": items, "isolation": "process"})


async def verified(count: int, behaviour: Behaviour) -> VerifyResponse:
    """Verdicts from sandboxes that all behave like this."""
    pool = Pool(FakeEngine([behaviour] * 100), POOL_LIMITS)
    pool.start()
    admission = Admission(slot_count=2, queue_size=10, queue_wait_max_s=30.0)
    backend = Backend(admission, pool, FACTS, Metrics(), answer_bytes_max=2**24)
    try:
        return await verify(backend, request_of(count), caller=Caller("p"))
    finally:
        await pool.stop()


@pytest.mark.parametrize("stop_count", [1, 2])
def test_items_stopped_after_the_jobs_time_have_their_verdict(stop_count: int) -> None:
    """Each by what its second run, alone, came to; none is run for ever."""
    seen: dict[int, int] = {}

    def stopped(sandbox: FakeSandbox, header: dict[str, Any]) -> None:
        number = header["call"]["args"][0]
        seen[number] = seen.get(number, 0) + 1
        stop: dict[str, Any] = {"killed": "hard_stop", "exit_code": None, "signal": 9}
        answer = result_frame(
            header["seq"],
            frame=report_frame(number),
            cpu_time_ns=round(1.5e9) if seen[number] > 1 else 10**6,
            wall_time_ns=round(HARD_STOP_S * 1e9),
            **(stop if seen[number] <= stop_count else {}),
        )
        asyncio.get_running_loop().call_later(HARD_STOP_S, sandbox.deliver, answer)

    response = run_in_virtual_time(verified(3, stopped))
    verdict = {1: "correct", 2: "timeout"}[stop_count]
    assert [item.verdict for item in response.items] == [verdict] * 3
    assert [item.error for item in response.items] == [None] * 3
    assert seen == {0: 2, 1: 2, 2: 2}


@dataclass
class Idle:
    """A backend whose jobs end, from some time on, without having run anything."""

    ran_counts: list[int]
    """How many calls the first jobs run."""
    facts: Any = FACTS
    answer_bytes_max: int = 2**24
    admission: Admission = field(
        default_factory=lambda: Admission(slot_count=2, queue_size=10, queue_wait_max_s=30.0)
    )
    job_count: int = 0

    async def execute(
        self, _backend: object, request: ExecuteRequest, *, caller: Caller
    ) -> ExecuteResponse:
        del caller
        self.job_count += 1
        ran_count = self.ran_counts.pop(0) if self.ran_counts else 0
        executions = [
            Execution(status=Status.OK, output=call.args[0])
            if n < ran_count and call.args
            else Execution(status=Status.NOT_RUN)
            for n, call in enumerate(request.calls)
        ]
        return ExecuteResponse(
            executions=executions,
            isolation="process",
            engine="fake",
            image="sha256:0",
            queue_time_s=0.0,
            certificate=None,
        )


def test_items_of_a_job_that_ran_none_of_them_are_our_failure_after_two_tries() -> None:
    """What had been run before has its verdict; there is no third try, nor a verdict."""
    backend = Idle([1, 1])
    with patch("execbox_service.operations.verify.execute", backend.execute):
        work = verify(cast(Backend, backend), request_of(3), caller=Caller("p"))
        response = run_in_virtual_time(work)
    assert [item.verdict for item in response.items] == ["correct", "correct", None]
    error = response.items[2].error
    assert error is not None
    assert (error.code, error.retryable) == ("nothing_run", True)
    assert backend.job_count == 4
