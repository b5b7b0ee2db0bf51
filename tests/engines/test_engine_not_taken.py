"""What a service that runs without Docker says of Docker, so that `make demo` can show it."""

from __future__ import annotations

from harness.local_service import LocalService

from tests.engines.conftest import need_engine


def test_service_that_goes_on_without_docker_says_why_and_what_helps() -> None:
    """Else whoever has Docker, and is not let in, would never know."""
    need_engine("bubblewrap")
    with LocalService(engine="auto", docker_host="unix:///nowhere/docker.sock") as service:
        (reason,) = service.engines_not_taken()
    assert reason.startswith("docker: no Docker daemon answers at /nowhere/docker.sock; start")
