"""Keeping the event loop free: large work beside it, much small work in turns with it.

Nothing here looks at what is worked on. Which work is large is decided by its size in bytes alone.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any, Final, ParamSpec, TypeVar

from execbox_service.json_steps import free_in_steps

__all__ = [
    "ASIDE_BYTES",
    "PORTION_COUNT",
    "collect_now_and_then",
    "free_aside",
    "in_turns",
    "leave_collecting_to_us",
    "portions",
    "read_aside",
]

ASIDE_BYTES: Final = 64 * 1024
"""Reading less takes milliseconds, even thousands of items that take a dozen bytes each, and
changing threads would not be worth it."""
_TURN_S: Final = 0.005
PORTION_COUNT: Final = 50
"""Of work that takes some ten microseconds."""
_FULL_COLLECTION_NEVER: Final = 1_000_000_000
_COLLECTION_S: Final = 30.0
_LITTLE_HELD_BYTES: Final = 16 * 1024 * 1024
_LITTLE_AFTER_COUNT: Final = 20
_ANYHOW_AFTER_COUNT: Final = 120
"""An hour in which requests hold much every time that is looked."""

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
    if size_bytes < ASIDE_BYTES:
        return read(*args, **named)
    work = partial(read, *args, **named)
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_thread(), context.run, work)


async def free_aside(size_bytes: int, *values: Any) -> None:
    """Free values of so many bytes together, which nothing needs any more, where they are large."""
    if values and size_bytes >= ASIDE_BYTES:
        await read_aside(size_bytes, free_in_steps, *values)


async def in_turns(
    work: Callable[[_Item], _T],
    items: Iterable[_Item],
    *,
    is_large: Callable[[_Item], bool] = lambda _item: False,
    large: Callable[[_Item], _T] | None = None,
) -> list[_T]:
    """``work`` of every item, in order; other tasks have their turn every few milliseconds, and
    large items are worked on in a thread: ``large``, where that does the same in steps."""
    done: list[_T] = []
    in_thread = work if large is None else large
    ends_s = time.perf_counter() + _TURN_S
    for item in items:
        done.append(
            await read_aside(ASIDE_BYTES, in_thread, item) if is_large(item) else work(item)
        )
        if time.perf_counter() >= ends_s:
            await asyncio.sleep(0)
            ends_s = time.perf_counter() + _TURN_S
    return done


def portions(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    """For ``in_turns``, where the work on one item takes less than having a turn for it."""
    for start in range(0, len(items), PORTION_COUNT):
        yield items[start : start + PORTION_COUNT]


def leave_collecting_to_us() -> None:
    """Let the garbage collector never look at everything by itself.

    It would look through the documents of all requests under way, which make no garbage, and keep
    every request waiting: 0.16 s for a million arrays (measured). What is there now is never looked
    at.
    """
    gc.collect()
    gc.freeze()
    young, middle, _old = gc.get_threshold()
    gc.set_threshold(young, middle, _FULL_COLLECTION_NEVER)


async def collect_now_and_then(held_bytes: Callable[[], int]) -> None:
    """Collect garbage, for ever: when requests hold nothing, and after a while when they hold
    little, since looking through what they hold takes time in which no request is answered. There
    is little garbage, so it can wait; but not for hours."""
    waited_count = 0
    while True:
        await asyncio.sleep(_COLLECTION_S)
        held = held_bytes()
        patient = waited_count < _LITTLE_AFTER_COUNT or held > _LITTLE_HELD_BYTES
        if held and patient and waited_count < _ANYHOW_AFTER_COUNT:
            waited_count += 1
            continue
        gc.collect()
        waited_count = 0


@cache
def _thread() -> ThreadPoolExecutor:
    """One: threads that read at the same time share one interpreter, and would only take more of
    it from the loop together."""
    return ThreadPoolExecutor(1, thread_name_prefix="execbox-read")
