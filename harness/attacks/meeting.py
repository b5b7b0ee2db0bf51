"""Running two jobs so that they could meet, one that plants and one that looks. No tests.

What is planted and looked for is in ``channels``.
"""

from __future__ import annotations

import asyncio
from typing import Any

from execbox.wire import Execution, Status

PLANT, LOOK, BOTH = (True, False), (False, True), (True, True)
"""The first arguments of a program of channels."""
_OVERLAPS_MAX = 4


def found(execution: Execution) -> dict[str, Any]:
    """What a program of channels returned."""
    assert execution.status is Status.OK, execution
    assert isinstance(execution.output, dict)
    return execution.output


async def side_by_side(
    bench: Any, code: str, *, isolation: str, keys: tuple[str, str], hold_s: float = 1.0
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run one that plants and waits, and beside it one that looks, the whole of it meanwhile."""
    for _ in range(_OVERLAPS_MAX):
        limits = {"wall_time_s": 30}
        first = asyncio.create_task(
            bench.call(code, *PLANT, hold_s, isolation=isolation, principal=keys[0], limits=limits)
        )
        await asyncio.sleep(hold_s / 2)
        second = await bench.call(code, *LOOK, 0, isolation=isolation, principal=keys[1])
        planted, looked = found(await first), found(second)
        if planted["planted_s"] <= looked["began_s"] and looked["ended_s"] <= planted["ended_s"]:
            return planted, looked
        hold_s *= 2
    raise AssertionError("the two never ran at the same time")
