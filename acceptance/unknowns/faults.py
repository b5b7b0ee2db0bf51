"""What fails while checks are made, and how often: each on its own, until the checks are done."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Final

from acceptance.unknowns.place import Place
from execbox import Client, ClientConfig, ExecboxError, Overloaded
from execbox.config import RetryPolicy

__all__ = ["FAULTS", "NOTHING", "Fault", "Strikes"]

NOTHING: Final = "nothing"

_KILL_EVERY_S: Final = 1.0
_FIRST_S: Final = 1.0
_DOWN_S: Final = 0.7
_UP_S: Final = 3.0
_DAEMON_UP_S: Final = 15.0
"""Three times what the pool takes to be full again on two busy cores: most of the time work is
done, so that thousands of checks meet many restarts."""
_FROZEN_S: Final = 2.5
_FLOOD: Final = 16
_FLOOD_PAUSE_S: Final = 0.25
"""Long enough for others to find a place at times, before one of so many has it."""
_SLEEPS: Final = "import time\n\ndef main_solution():\n    time.sleep(0.15)\n"


class Strikes:
    """How often something failed."""

    def __init__(self, seen_elsewhere: Callable[[], int] = lambda: 0) -> None:
        """``seen_elsewhere``: how often, as far as not told by ``add``."""
        self._seen_elsewhere = seen_elsewhere
        self._added_count = 0
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """So far."""
        return self._added_count + self._seen_elsewhere()

    def add(self, count: int = 1) -> None:
        """From any thread."""
        with self._lock:
            self._added_count += count


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that fails."""

    name: str
    text: str
    """In the page."""
    failing: Callable[[Place], AbstractContextManager[Strikes]]
    """Counts them as they come."""
    part: int = 0
    """Which of the parts of the checks is asked for meanwhile."""
    is_chosen: bool = False
    """Whether a run is about it that names none."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Of the service."""
    needs_daemon: bool = False
    """Of one's own."""


@contextmanager
def _nothing(_place: Place) -> Iterator[Strikes]:
    yield Strikes()


@contextmanager
def _again(pause_s: float, work: Callable[[int], bool]) -> Iterator[Strikes]:
    """``work`` soon, and then again and again, with the number of the time; at the end of the block
    it is let end. It says whether it struck. Raises what it raised: then nothing failed any more.
    """
    done = threading.Event()
    strikes = Strikes()

    def working() -> None:
        for number in itertools.count():
            # However short the block is, it meets one failure.
            if done.wait(pause_s if number else _FIRST_S):
                return
            strikes.add(int(work(number)))

    with ThreadPoolExecutor(1) as thread:
        run = thread.submit(working)
        try:
            yield strikes
        finally:
            done.set()
        run.result()


@contextmanager
def _containers_are_killed(place: Place) -> Iterator[Strikes]:
    with _again(_KILL_EVERY_S, lambda _: place.kill_a_container()) as strikes:
        yield strikes


@contextmanager
def _daemon_restarts(place: Place) -> Iterator[Strikes]:
    daemon = place.daemon
    if daemon is None:
        raise RuntimeError("the machine's daemon is left alone")

    def restart(number: int) -> bool:
        if number % 2:
            daemon.stop()
        else:
            daemon.kill()
        time.sleep(_DOWN_S)
        daemon.start()
        return True

    with _again(_DAEMON_UP_S, restart) as strikes:
        yield strikes


@contextmanager
def _daemon_hangs(place: Place) -> Iterator[Strikes]:
    daemon = place.daemon
    if daemon is None:
        raise RuntimeError("the machine's daemon is left alone")

    def hang(_number: int) -> bool:
        daemon.freeze()
        try:
            time.sleep(_FROZEN_S)
        finally:
            daemon.thaw()
        return True

    with _again(_FROZEN_S, hang) as strikes:
        yield strikes


@contextmanager
def _service_restarts(place: Place) -> Iterator[Strikes]:
    def restart(number: int) -> bool:
        place.restart_service(in_order=bool(number % 2))
        return True

    with _again(_UP_S, restart) as strikes:
        yield strikes


@contextmanager
def _network_drops(place: Place) -> Iterator[Strikes]:
    broken_before = place.network.broken_count
    place.network.failing = True
    try:
        yield Strikes(lambda: place.network.broken_count - broken_before)
    finally:
        place.network.failing = False


@contextmanager
def _queue_is_full(place: Place) -> Iterator[Strikes]:
    """Others want more than there is, and soon ask again when they are refused, which is what is
    counted."""
    done = threading.Event()
    strikes = Strikes()
    config = ClientConfig(base_url=place.service_url, retry=RetryPolicy.never())

    def flood() -> None:
        with Client(config=config) as client:
            while not done.is_set():
                try:
                    client.execute(_SLEEPS, [[]], isolation="process")
                except Overloaded:
                    strikes.add()
                except ExecboxError:
                    pass
                done.wait(_FLOOD_PAUSE_S)

    with ThreadPoolExecutor(_FLOOD) as threads:
        flooding = [threads.submit(flood) for _ in range(_FLOOD)]
        try:
            yield strikes
        finally:
            done.set()
        for each in flooding:
            each.result()


FAULTS: Final = (
    Fault(name=NOTHING, text="nothing fails", failing=_nothing),
    Fault(
        name="containers",
        text="containers are killed, one every second",
        failing=_containers_are_killed,
        part=0,
        is_chosen=True,
    ),
    Fault(
        name="queue",
        text="the queue is full: room for 8, and 16 others ask all the time",
        failing=_queue_is_full,
        settings={"queue_size": "8", "queue_wait_max_s": "2"},
        part=1,
        is_chosen=True,
    ),
    Fault(
        name="network",
        text="about one request in ten meets a connection that breaks, in each of five ways",
        failing=_network_drops,
        part=2,
        is_chosen=True,
    ),
    Fault(
        name="daemon",
        text="the Docker daemon is killed or stopped after every 15 s, and started again",
        failing=_daemon_restarts,
        needs_daemon=True,
        part=3,
        is_chosen=True,
    ),
    Fault(
        name="frozen",
        text="the Docker daemon answers nothing, for 2.5 s of every 5 s",
        failing=_daemon_hangs,
        needs_daemon=True,
    ),
    Fault(
        name="service",
        text="execbox itself is killed or stopped after every 3 s, and started again",
        failing=_service_restarts,
    ),
)
