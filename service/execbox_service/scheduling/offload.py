"""Keeping the event loop free: large work beside it, much small work in turns with it.

Nothing here looks at what is worked on. Which work is large is decided by its size in bytes alone.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Final, ParamSpec, TypeVar

__all__ = ["ASIDE_BYTES", "in_turns", "leave_collecting_to_us", "read_aside"]

ASIDE_BYTES: Final = 256 * 1024
"""Reading less takes a few milliseconds, and changing threads would not be worth it."""
_TURN_S: Final = 0.005
_FULL_COLLECTION_NEVER: Final = 1_000_000_000

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Item = TypeVar("_Item")


async def read_aside(
    size_bytes: int, read: Callable[_P, _T], /, *args: _P.args, **named: _P.kwargs
) -> _T:
    """``read(...)``, in a thread where it has to do with so many bytes. Raises what it raises.

    A thread gives way to the loop whenever Python code runs in it, but not within one call of what
    is written in C: ``json_steps`` is for that.
    """
    work = partial(read, *args, **named)
    if size_bytes < ASIDE_BYTES:
        return work()
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_thread(), context.run, work)


async def in_turns(
    work: Callable[[_Item], _T],
    items: Iterable[_Item],
    *,
    is_large: Callable[[_Item], bool] = lambda _item: False,
) -> list[_T]:
    """``work`` of every item, in order; other tasks have their turn every few milliseconds, and
    large items are worked on in a thread."""
    done: list[_T] = []
    ends_s = time.perf_counter() + _TURN_S
    for item in items:
        done.append(await read_aside(ASIDE_BYTES, work, item) if is_large(item) else work(item))
        if time.perf_counter() >= ends_s:
            await asyncio.sleep(0)
            ends_s = time.perf_counter() + _TURN_S
    return done


def leave_collecting_to_us() -> None:
    """Let the garbage collector never look at everything by itself.

    It would look through the documents of all requests under way, which make no garbage, and keep
    everybody waiting: 0.16 s for a million arrays (measured). What is there now is never looked at.
    """
    gc.collect()
    gc.freeze()
    young, middle, _old = gc.get_threshold()
    gc.set_threshold(young, middle, _FULL_COLLECTION_NEVER)


@cache
def _thread() -> ThreadPoolExecutor:
    """One: threads that read at the same time share one interpreter, and would only take more of
    it from the loop together."""
    return ThreadPoolExecutor(1, thread_name_prefix="execbox-read")
