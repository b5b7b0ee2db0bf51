"""How long a thread that wants to run has to wait for the interpreter. No tests."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from collections.abc import Iterator

from execbox_service.scheduling.offload import leave_collecting_to_us

WAIT_MAX_S = 0.1
"""What the event loop may be kept from other work by one step. The longest steps take 15 to 30 ms
of a machine that is ours alone, and twice that on a slow one: a list of eight million members is
moved by the memory allocator in one go. What was never cut into steps takes half a second."""


class Waits:
    """The longest wait of a thread that wants to run every millisecond.

    In CPU time of this process: what other programs take of the machine is no wait of ours.
    """

    longest_s = 0.0
    spent_s = 0.0
    """Of CPU time, in all."""
    over = False

    def watch(self) -> None:
        while not self.over:
            began_s = time.process_time()
            time.sleep(0.001)
            self.longest_s = max(self.longest_s, time.process_time() - began_s)


@contextlib.contextmanager
def longest_wait() -> Iterator[Waits]:
    """Watch while the block runs."""
    waits = Waits()
    began_s = time.process_time()
    thread = threading.Thread(target=waits.watch)
    thread.start()
    try:
        yield waits
    finally:
        waits.over = True
        thread.join()
        waits.spent_s = time.process_time() - began_s


@contextlib.contextmanager
def collector_at_rest() -> Iterator[None]:
    """The garbage collector as the service has it, so that what other tests left is not looked
    at."""
    threshold = gc.get_threshold()
    leave_collecting_to_us()
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        gc.unfreeze()
