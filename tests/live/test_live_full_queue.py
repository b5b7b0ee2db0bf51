"""A full queue on real containers, and execbox's own client, which waits until there is room."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from execbox import Client, ClientConfig, Overloaded, RetryPolicy, wire
from tests.api.harness import wait_until
from tests.live_service import LiveService, live_service

pytestmark = pytest.mark.docker

HELD_S = 14
"""Longer than eight tries take, a second or less apart."""
HOLDS = f"import time\n\ndef main_solution():\n    time.sleep({HELD_S})\n"
LIMITS = wire.Limits(wall_time_s=2.0 * HELD_S)
EAGER = RetryPolicy(backoff_s=0.01, backoff_max_s=0.01)


@pytest.fixture(scope="module")
def service() -> Iterator[LiveService]:
    """One slot, and no place to wait for it."""
    with live_service({"slot_count": "1", "queue_size": "0"}) as running:
        yield running


def test_client_waits_for_room_however_often_it_is_refused(service: LiveService) -> None:
    """By the clock and not by a number of tries; without its patience the answer is a 429."""
    url = f"http://127.0.0.1:{service.port}"
    with (
        Client(config=ClientConfig(base_url=url, retry=EAGER)) as client,
        Client(config=ClientConfig(base_url=url, retry=RetryPolicy.never())) as impatient,
        ThreadPoolExecutor(1) as thread,
    ):
        held = thread.submit(impatient.execute, HOLDS, [[]], limits=LIMITS)
        wait_until(lambda: b"execbox_slots_active 1" in service.get("/metrics").body)
        with pytest.raises(Overloaded, match="requests are waiting, which is the most"):
            impatient.run("print()")
        (run,) = client.run("print(6 * 7)", [{"expected": {"stdout": "42\n"}}]).runs
        assert run.verdict == "correct"
        # It was in the way for all of that time.
        (holding,) = held.result().executions
        assert holding.usage is not None
        assert holding.usage.wall_time_s >= HELD_S
