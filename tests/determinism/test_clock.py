"""The clock preload: the date is another one, and everything that waits waits as ever."""

from __future__ import annotations

from typing import Any

import pytest
from harness.bench import Bench

from execbox.wire import Status
from execbox_service.sandboxes.driver import Variation
from tests.determinism.varied import DAY_S, clock, run_varied, seconds_from_now

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

FROZEN_S = 1_800_000_000
CLOCKS = {
    "none": Variation(),
    "ahead": clock(offset_s=400 * DAY_S),
    "behind": clock(offset_s=-4000 * DAY_S),
    "frozen": clock(frozen_s=FROZEN_S),
    "stepped": clock(offset_s=400 * DAY_S, step_ns=1_300),
}

# Each waits for 0.03 s; a wait that takes the date for its deadline would end at once or never.
WAITING = """
import asyncio, concurrent.futures, queue, select, signal, threading, time

WAIT_S = 0.03

def sleep():
    time.sleep(WAIT_S)

def asyncio_sleep():
    asyncio.run(asyncio.sleep(WAIT_S))

def asyncio_timeout():
    async def never():
        try:
            await asyncio.wait_for(asyncio.Event().wait(), WAIT_S)
        except TimeoutError:
            return
        raise AssertionError
    asyncio.run(never())

def asyncio_call_later():
    async def later():
        called = asyncio.Event()
        asyncio.get_running_loop().call_later(WAIT_S, called.set)
        await called.wait()
    asyncio.run(later())

def lock():
    held = threading.Lock()
    held.acquire()
    assert not held.acquire(timeout=WAIT_S)

def rlock_of_another_thread():
    held, done = threading.RLock(), threading.Event()
    holder = threading.Thread(target=lambda: (held.acquire(), done.wait()))
    holder.start()
    assert not held.acquire(timeout=WAIT_S)
    done.set()
    holder.join()

def event():
    assert not threading.Event().wait(WAIT_S)

def condition():
    changed = threading.Condition()
    with changed:
        assert not changed.wait(WAIT_S)

def condition_wait_for():
    changed = threading.Condition()
    with changed:
        assert not changed.wait_for(lambda: False, WAIT_S)

def semaphore():
    assert not threading.Semaphore(0).acquire(timeout=WAIT_S)

def barrier():
    try:
        threading.Barrier(2).wait(WAIT_S)
    except threading.BrokenBarrierError:
        return
    raise AssertionError

def queue_get():
    try:
        queue.Queue().get(timeout=WAIT_S)
    except queue.Empty:
        return
    raise AssertionError

def simple_queue_get():
    try:
        queue.SimpleQueue().get(timeout=WAIT_S)
    except queue.Empty:
        return
    raise AssertionError

def future_result():
    try:
        concurrent.futures.Future().result(timeout=WAIT_S)
    except TimeoutError:
        return
    raise AssertionError

def thread_join():
    done = threading.Event()
    waiting = threading.Thread(target=done.wait)
    waiting.start()
    waiting.join(WAIT_S)
    assert waiting.is_alive()
    done.set()
    waiting.join()

def timer():
    called = threading.Event()
    threading.Timer(WAIT_S, called.set).start()
    assert called.wait(5)

def itimer():
    called = []
    signal.signal(signal.SIGALRM, lambda *_: called.append(1))
    signal.setitimer(signal.ITIMER_REAL, WAIT_S)
    signal.pause()
    assert called

def sigtimedwait():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    assert signal.sigtimedwait([signal.SIGUSR1], WAIT_S) is None

def select_nothing():
    select.select([], [], [], WAIT_S)

def polling_of_the_date_ends():
    # Looks at the date until it has moved, as busy waits do, but not where it stands still.
    end_s = time.time() + WAIT_S
    for _ in range(60):
        if time.time() >= end_s:
            return
        time.sleep(WAIT_S / 30)

def main_solution():
    waits = [sleep, asyncio_sleep, asyncio_timeout, asyncio_call_later, lock,
             rlock_of_another_thread, event, condition, condition_wait_for, semaphore, barrier,
             queue_get, simple_queue_get, future_result, thread_join, timer, itimer, sigtimedwait,
             select_nothing, polling_of_the_date_ends]
    waited_s = {}
    for wait in waits:
        start_s = time.monotonic()
        wait()
        waited_s[wait.__name__] = time.monotonic() - start_s
    return waited_s
"""

READING = """
import datetime, time

def main_solution():
    return {
        "time": time.time(),
        "time_ns": time.time_ns() / 1e9,
        "clock_gettime": time.clock_gettime(time.CLOCK_REALTIME),
        "now": datetime.datetime.now(datetime.timezone.utc).timestamp(),
        "today": datetime.datetime.combine(
            datetime.date.today(), datetime.time(12), datetime.timezone.utc).timestamp(),
        "gmtime": time.mktime(time.gmtime()),
    }
"""


@pytest.mark.alone
@pytest.mark.parametrize("name", CLOCKS)
async def test_waiting_under_another_clock_takes_as_long_as_ever(bench: Bench, name: str) -> None:
    """Durations are the monotonic clock's, which nobody touches."""
    ended = await run_varied(bench, WAITING, CLOCKS[name])
    assert ended.status is Status.OK, ended.error
    assert isinstance(ended.output, dict)
    odd = {wait: waited_s for wait, waited_s in ended.output.items() if not 0.025 < waited_s < 1.0}
    assert (odd, len(ended.output)) == ({}, 20)


@pytest.mark.parametrize(
    ("name", "moved_s"), [("none", 0), ("ahead", 400 * DAY_S), ("behind", -4000 * DAY_S)]
)
async def test_reading_the_date_gives_the_moved_one(bench: Bench, name: str, moved_s: int) -> None:
    """Through every door that Python has to the date."""
    ended = await run_varied(bench, READING, CLOCKS[name])
    output: dict[str, Any] = ended.output
    for door, moment_s in output.items():
        within_s = DAY_S if door == "today" else 60
        assert abs(seconds_from_now(moment_s) - moved_s) < within_s, door


async def test_reading_a_frozen_date_gives_the_same_one_twice(bench: Bench) -> None:
    """Also in another execution, a moment later."""
    first = await run_varied(bench, READING, CLOCKS["frozen"])
    second = await run_varied(bench, READING, CLOCKS["frozen"])
    assert first.output == second.output
    assert isinstance(first.output, dict)
    assert first.output["time"] == first.output["now"] == FROZEN_S


async def test_looking_at_a_stepped_clock_takes_time(bench: Bench) -> None:
    """However coarse the machine's clock is, two looks are never at the same moment."""
    code = """
import time, datetime

def main_solution():
    looks = [time.time_ns() for _ in range(200)]
    nows = [datetime.datetime.now() for _ in range(200)]
    return [min(b - a for a, b in zip(looks, looks[1:])),
            min((b - a).total_seconds() for a, b in zip(nows, nows[1:]))]
"""
    ended = await run_varied(bench, code, CLOCKS["stepped"])
    assert isinstance(ended.output, list)
    assert ended.output[0] >= 1_300
    assert ended.output[1] >= 1e-6
