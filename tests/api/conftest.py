"""Servers that several tests share: starting one takes longer than most tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from execbox_service.settings import hash_api_key
from tests.environment import no_settings_from_outside  # noqa: F401 - a fixture

from .harness import RunningServer, running_server

KEY = "right-key-0123456789"


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    """Without keys, with small caps on bodies and headers, and short deadlines."""
    with running_server(body_bytes_max="100000", header_bytes_max="8192") as running:
        yield running


@pytest.fixture(scope="session")
def keyed_server() -> Iterator[RunningServer]:
    """Requires a key; two are known."""
    hashes = f"other:{hash_api_key('other-key')},tester:{hash_api_key(KEY)}"
    with running_server(api_key_hashes=hashes) as running:
        yield running
