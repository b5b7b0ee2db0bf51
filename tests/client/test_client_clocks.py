"""Clients whose date is set while they wait, and clients that stand still for a while."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from harness.moved_clock import MovedClock, NoMovedClock
from harness.unsteady_network import UnsteadyNetwork

from tests.api.harness import running_server, wait_until
from tests.required import skip_or_fail

DAY_S = 86_400.0
WAITS = """
import sys, time
from execbox import Client, ClientConfig, ConnectFailed, RetryPolicy
policy = RetryPolicy(connect_retries_max=1000, backoff_s=0.1, backoff_max_s=0.1,
                     window_s=float(sys.argv[2]))
print(flush=True)
with Client(config=ClientConfig(base_url=sys.argv[1], retry=policy)) as client:
    began_s = time.monotonic()
    try:
        print(client.execute("pass", [[7]]).executions[0].output[0], flush=True)
    except ConnectFailed:
        print("given up after", round(time.monotonic() - began_s), flush=True)
"""
BATCH = """
import sys
from execbox import Client
from tests.required import skip_or_fail
lines = [{"id": str(n), "op": "execute", "function": {"code": "sleep 0.2"},
          "calls": [{"args": [n]}]} for n in range(60)]
with Client(sys.argv[1]) as client:
    results = list(client.batch(lines))
assert all(result.answer.executions[0].output == [int(result.id)] for result in results)
print(len({result.id for result in results}), len(results))
"""


@pytest.fixture
def clock() -> Iterator[MovedClock]:
    try:
        with MovedClock() as made:
            yield made
    except NoMovedClock as error:
        skip_or_fail(error)


def begun(program: str, *arguments: str, clock: MovedClock | None = None) -> subprocess.Popen[str]:
    environment = {**os.environ, **({} if clock is None else clock.environment)}
    words = [sys.executable, "-c", program, *arguments]
    return subprocess.Popen(words, stdout=subprocess.PIPE, env=environment, text=True)


@pytest.mark.parametrize("offset_s", [DAY_S, -DAY_S])
def test_client_whose_date_is_set_is_as_patient_as_it_was_told(
    clock: MovedClock, offset_s: float
) -> None:
    """A service that comes in time is reached, and one that never comes is given up in time."""
    with running_server() as server, UnsteadyNetwork(seed=1) as network:
        for window_s, comes in (("60", True), ("3", False)):
            clock.set_back_or_on(0.0)
            with begun(WAITS, network.url, window_s, clock=clock) as process:
                assert process.stdout is not None
                process.stdout.readline()
                time.sleep(0.5)
                clock.set_back_or_on(offset_s)
                time.sleep(0.5)
                network.port = server.port if comes else None
                said = process.communicate(timeout=30)[0].strip()
            network.port = None
            assert said == ("7" if comes else "given up after 3")


def test_client_that_stood_still_takes_its_batch_up_again() -> None:
    """As a laptop that is closed: the service has ended what nobody took, or goes on at once."""
    with running_server(slot_count="2", send_timeout_s="1") as server:
        with begun(BATCH, server.url) as process:
            wait_until(lambda: len(server.runtime.requests) > 4, timeout_s=20)
            process.send_signal(signal.SIGSTOP)
            time.sleep(2.5)
            process.send_signal(signal.SIGCONT)
            assert process.communicate(timeout=30)[0] == "60 60\n"
        assert process.returncode == 0
