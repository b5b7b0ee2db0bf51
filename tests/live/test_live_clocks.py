"""A service on real containers whose date is set while it works, or that stands still a while."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest
from harness.bench import containers_of
from harness.local_service import LocalService
from harness.moved_clock import MovedClock, NoMovedClock

from execbox import Client
from execbox.wire import Execution, Limits
from tests.required import skip_or_fail

pytestmark = pytest.mark.docker

DAY_S: Final = 86_400.0
INSTANCE: Final = f"clocks-{os.getpid()}"
SLEEPS: Final = "import time\ndef main_solution(s):\n    time.sleep(s)\n    return s"


@pytest.fixture
def clock() -> Iterator[MovedClock]:
    try:
        with MovedClock() as made:
            yield made
    except NoMovedClock as error:
        skip_or_fail(error)


@pytest.fixture
def service(clock: MovedClock) -> Iterator[LocalService]:
    """By that clock, looking for orphans every second."""
    running = LocalService(
        engine="docker", slot_count="2", pool_size="2", sweep_interval_s="1", instance=INSTANCE
    )
    running.environment = clock.environment
    with running:
        yield running


def executed(service: LocalService, argument: float, **given: Any) -> Execution:
    limits = Limits.model_validate(given)
    with Client(config=service.config()) as client:
        answer = client.execute(SLEEPS, [[argument]], isolation="process", limits=limits)
        return answer.executions[0]


def test_service_whose_date_is_set_keeps_every_deadline_and_container(
    service: LocalService, clock: MovedClock
) -> None:
    """On, as after a suspend, and back, as by a first answer of a time server."""
    with (
        ThreadPoolExecutor(1) as thread,
        Client(config=service.config()) as client,
        client.session() as session,
    ):
        session.run("x = 20")
        assert executed(service, 0.0).output == 0
        for offset_s in (2 * DAY_S, -2 * DAY_S):
            warm_before = {each["Id"] for each in containers_of(INSTANCE)}
            running = thread.submit(executed, service, 1.0, wall_time_s=2)
            time.sleep(0.4)
            clock.set_back_or_on(offset_s)
            slept = running.result(60)
            assert (slept.status, slept.output) == ("ok", 1.0)
            assert slept.usage is not None
            assert 0.9 < slept.usage.wall_time_s < 2
            assert executed(service, 60.0, wall_time_s=0.5).status == "timeout"
            # Searches for orphans, by the new date.
            time.sleep(2.5)
            assert session.run("print(x + 1)").stdout == "21\n"
            assert warm_before <= {each["Id"] for each in containers_of(INSTANCE)}
    assert "without an owner" not in service.log_tail()


def test_service_that_stood_still_gives_the_verdict_the_code_deserves(
    service: LocalService,
) -> None:
    """As a virtual machine that is moved: its containers went on, and their limits were theirs."""
    with ThreadPoolExecutor(2) as threads:
        executed(service, 0.0)
        fits = threads.submit(executed, service, 0.5, wall_time_s=1)
        exceeds = threads.submit(executed, service, 60.0, wall_time_s=1)
        time.sleep(0.3)
        os.kill(service.pid, signal.SIGSTOP)
        try:
            time.sleep(4)
        finally:
            os.kill(service.pid, signal.SIGCONT)
        assert (fits.result(60).status, exceeds.result(60).status) == ("ok", "timeout")
