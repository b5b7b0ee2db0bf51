"""An environment without ours, and a real service for tests that need one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.bench import IMAGE

from execbox import Client
from tests.environment import no_settings_from_outside  # noqa: F401 - a fixture


@pytest.fixture(scope="session")
def service_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service on Docker, in a process of its own; for tests marked ``docker``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("service") / "log"
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("EXECBOX_")
    }
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "execbox", "serve", "--port", str(port)],
            env=environment | {"EXECBOX_ENGINE": "docker", "EXECBOX_IMAGE": IMAGE},
            stdout=stream,
            stderr=stream,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        with Client(url) as client:
            client.wait_until_ready(timeout_s=60)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The public data to test on, where it lies beside the checkout."""
    folder = Path(__file__).parents[3] / "shared" / "corpus"
    if not folder.is_dir():
        pytest.skip("no ../shared/corpus")
    return folder
