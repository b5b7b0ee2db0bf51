"""A service on real containers that several tests attack; starting one takes seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from execbox_service.settings import hash_api_key
from tests.live_service import LiveService, live_service, settings_of_attacks

GREEDY, CANARY = "greedy-key", "canary-key"


@pytest.fixture(autouse=True, scope="package")
def _no_settings_from_outside() -> Iterator[None]:
    """The services started here have the settings of their test and no others."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("EXECBOX_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="package")
def service(_no_settings_from_outside: None) -> Iterator[LiveService]:
    """Four slots, two keys, small limits, a queue that 500 requests overflow."""
    hashes = f"greedy:{hash_api_key(GREEDY)},canary:{hash_api_key(CANARY)}"
    settings = settings_of_attacks(api_key_hashes=hashes, queue_size="40", queue_wait_max_s="20")
    with live_service(settings) as running:
        yield running
