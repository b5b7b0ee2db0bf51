"""Reading large documents beside the event loop, so that small requests do not wait for them.

What is read, and what is wrong with it, is in ``validation.py``; nothing here looks at a document.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Final, ParamSpec, TypeVar

__all__ = ["ASIDE_BYTES", "read_aside"]

ASIDE_BYTES: Final = 256 * 1024
"""Reading less takes a few milliseconds, and changing threads would not be worth it."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def read_aside(
    size_bytes: int, read: Callable[_P, _T], /, *args: _P.args, **named: _P.kwargs
) -> _T:
    """``read(...)``, in a thread where it has to do with so many bytes. Raises what it raises.

    A thread gives way to the loop whenever Python code runs in it: between any two objects of a
    document, but not within one run of arrays and whole numbers.
    """
    work = partial(read, *args, **named)
    if size_bytes < ASIDE_BYTES:
        return work()
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_thread(), context.run, work)


@cache
def _thread() -> ThreadPoolExecutor:
    """One: threads that read at the same time share one interpreter, and would only take more of
    it from the loop together."""
    return ThreadPoolExecutor(1, thread_name_prefix="execbox-read")
