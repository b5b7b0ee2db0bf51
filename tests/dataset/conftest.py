"""An environment without ours, and a real service for tests that need one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.bench import IMAGE
from harness.local_service import LocalService

from tests.environment import no_settings_from_outside  # noqa: F401 - a fixture


@pytest.fixture(scope="session")
def service_url() -> Iterator[str]:
    """A service on Docker, in a process of its own; for tests marked ``docker``."""
    with LocalService(engine="docker", image=IMAGE) as service:
        yield service.url


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The public data to test on, where it lies beside the checkout."""
    folder = Path(__file__).parents[3] / "shared" / "corpus"
    if not folder.is_dir():
        pytest.skip("no ../shared/corpus")
    return folder
