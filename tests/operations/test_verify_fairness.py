"""What a long verify request leaves to the other requests of its key, in virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from execbox.wire import VerifyRequest
from execbox_service.metrics import Metrics
from execbox_service.operations.backend import Backend
from execbox_service.operations.verify import verify
from execbox_service.sandboxes.pool import Pool
from execbox_service.scheduling.admission import Admission
from execbox_service.scheduling.caller import Caller
from tests.fake_engine import FACTS, FakeEngine
from tests.scheduling.stage import POOL, taking
from tests.virtual_time import now_s, run_in_virtual_time

HOLD_S = 0.25
"""How long a job keeps a slot that a different job wants."""


def request_of(count: int) -> VerifyRequest:
    """Input predictions for one function, run one after the other."""
    item = {
        "kind": "input",
        "function": {"code": "def main_solution(n):\n    return n\n"},
        "output": 0,
    }
    items = [item | {"id": str(n), "prediction": n} for n in range(count)]
    return VerifyRequest.model_validate({"items": items, "isolation": "process"})


@pytest.mark.parametrize("item_s", [0.5, 1.0])
def test_single_request_waits_for_one_item_of_a_long_verify_of_its_key(item_s: float) -> None:
    """A verify request that holds the only slot lets its key's single requests pass, as an
    execute request does: they waited for all of it, or were refused after 30 s."""

    async def main() -> None:
        pool = Pool(FakeEngine([taking(item_s)] * 10), replace(POOL, warm_count=2))
        pool.start()
        admission = Admission(slot_count=1, queue_size=10, queue_wait_max_s=30.0)
        backend = Backend(admission, pool, FACTS, Metrics(), answer_bytes_max=2**24)
        await asyncio.sleep(0.1)
        long = asyncio.create_task(verify(backend, request_of(100), caller=Caller("a")))
        await asyncio.sleep(3 * item_s)
        waits_s = []
        while not long.done():
            began_s = now_s()
            async with admission.slot(Caller("a")):
                waits_s.append(now_s() - began_s)
            await asyncio.sleep(2.5 * item_s)
        assert max(waits_s) <= HOLD_S + 2 * item_s
        assert len(waits_s) > 20
        assert len((await long).items) == 100
        await pool.stop()

    run_in_virtual_time(main())
