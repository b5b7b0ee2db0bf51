"""The clock that can be set for some processes only."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from harness.moved_clock import MovedClock, NoMovedClock

from tests.required import skip_or_fail

TELLS = """
import datetime, sys, threading, time
event = threading.Event()
for line in sys.stdin:
    began_s = time.monotonic()
    time.sleep(0.05)
    event.wait(0.05)
    took_s = time.monotonic() - began_s
    dates_s = time.time(), datetime.datetime.now().timestamp(), time.time_ns() / 1e9
    print(*dates_s, took_s, flush=True)
"""


@pytest.fixture
def clock() -> Iterator[MovedClock]:
    try:
        with MovedClock() as made:
            yield made
    except NoMovedClock as error:
        skip_or_fail(error)


def test_clock_is_set_for_its_processes_while_they_run(clock: MovedClock) -> None:
    """By every way to ask for the date; what waits for a duration waits as long as ever."""
    with subprocess.Popen(
        [sys.executable, "-c", TELLS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=dict(os.environ) | clock.environment,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for offset_s in (0.0, 86_400.0, -500_000.25, 0.0):
            clock.set_back_or_on(offset_s)
            process.stdin.write("\n")
            process.stdin.flush()
            *dates_s, took_s = map(float, process.stdout.readline().split())
            assert [abs(each - time.time() - offset_s) < 1 for each in dates_s] == [True] * 3
            assert 0.1 <= took_s < 5
        process.stdin.close()
