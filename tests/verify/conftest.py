"""A real service over HTTP, in a process of its own, that several tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.local_service import LocalService


@pytest.fixture(scope="session")
def service() -> Iterator[LocalService]:
    """On Docker, with two slots and a queue that a batch would overflow."""
    with LocalService(engine="docker", slot_count="2", queue_size="2") as running:
        yield running
