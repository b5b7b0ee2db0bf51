"""What a fake service of the dataset steps has beside its answers: its capabilities. No tests.

How one answers, and fails, is with the tests that need it.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from execbox import wire


@dataclass(kw_only=True)
class FakeService:
    """A service of so many slots; entering and leaving it does nothing."""

    slots: int = 2

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
