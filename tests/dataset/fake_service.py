"""What fake services of the dataset steps have in common: capabilities, and one pair to generate.

How one answers otherwise, and fails, is with the tests that need it. No tests.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from execbox import wire


@dataclass(kw_only=True)
class FakeService:
    """A service of so many slots; entering and leaving it does nothing."""

    slots: int = 2
    under_way: int = 0
    most_under_way: int = 0

    async def capabilities(self) -> wire.Capabilities:
        return wire.Capabilities(
            version="0",
            engine="fake",
            image="sha256:0",
            python="3.11.2",
            packages={},
            isolation=["container", "process"],
            profiles=["default"],
            concurrency=self.slots,
            limits_default={},
            limits_max={},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    async def one_pair(self, *, isolation: wire.Isolation) -> wire.GenerateResponse:
        """The same pair for everybody, after a moment in which others can be under way."""
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0.002)
        self.under_way -= 1
        return wire.GenerateResponse(
            pairs=[wire.Pair(input={"n": 1}, output=2)],
            rejected={},
            examples={},
            attempts=1,
            stopped="count",
            isolation=isolation,
            engine="fake",
            image="sha256:0",
            queue_time_s=0.0,
        )
