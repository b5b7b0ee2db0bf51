"""A service on real containers for other projects' packages, and one that cannot be reached."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.local_service import free_port

from execbox import Client, ClientConfig, RetryPolicy
from tests.environment import no_settings_from_outside  # noqa: F401 - a fixture
from tests.live_service import LiveService, live_service

SETTINGS = {"pool_size": "2", "key_session_count_max": "4", "cpu_time_s_max": "20"}


@pytest.fixture(scope="package")
def service() -> Iterator[LiveService]:
    """Two slots, limits that are soon reached, and few sessions."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("EXECBOX_URL", "EXECBOX_API_KEY"):
            patch.delenv(name, raising=False)
        with live_service(SETTINGS) as running:
            yield running


@pytest.fixture
def client(service: LiveService) -> Iterator[Client]:
    """A client of it."""
    with Client(service.url) as opened:
        yield opened


@pytest.fixture
def lost_client() -> Iterator[Client]:
    """A client of a service that is not there: whatever it is asked stays unknown."""
    config = ClientConfig(base_url=f"http://127.0.0.1:{free_port()}", retry=RetryPolicy.never())
    with Client(config=config) as opened:
        yield opened
