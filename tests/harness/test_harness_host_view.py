"""Finding containers' control groups on the host, as each version and driver names them."""

from __future__ import annotations

from pathlib import Path

import pytest
from docker.errors import DockerException
from harness.docker_daemon import daemon_socket, daemon_url, open_docker
from harness.host_view import cgroup_container_ids

ID = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "place",
    [
        f"memory/docker/{ID}",
        f"docker/{ID}",
        f"system.slice/docker-{ID}.scope",
        f"memory/system.slice/docker-{ID}.scope",
    ],
)
def test_cgroup_of_a_container_is_found_where_a_daemon_makes_it(place: str, tmp_path: Path) -> None:
    """By the cgroupfs driver and by systemd's, in version 1 and in version 2."""
    (tmp_path / place).mkdir(parents=True)
    assert cgroup_container_ids(tmp_path) == {ID}


@pytest.mark.parametrize(
    "place", ["docker/buildkit", f"system.slice/{ID}.service", "system.slice/docker.service"]
)
def test_cgroup_of_something_else_is_no_container(place: str, tmp_path: Path) -> None:
    """The daemon's own service, and what it builds images in."""
    (tmp_path / place).mkdir(parents=True)
    assert cgroup_container_ids(tmp_path) == set()


@pytest.mark.parametrize(
    ("host", "url", "socket"),
    [
        (None, "unix:///var/run/docker.sock", "/var/run/docker.sock"),
        ("", "unix:///var/run/docker.sock", "/var/run/docker.sock"),
        ("unix:///run/other.sock", "unix:///run/other.sock", "/run/other.sock"),
        ("tcp://127.0.0.1:2375", "tcp://127.0.0.1:2375", None),
    ],
)
def test_daemon_is_the_one_that_docker_host_names(
    host: str | None, url: str, socket: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for the docker command."""
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    if host is not None:
        monkeypatch.setenv("DOCKER_HOST", host)
    assert (daemon_url(), daemon_socket()) == (url, socket)


def test_client_asks_the_daemon_that_docker_host_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests looked at this machine's own daemon while the service used a different one."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(DockerException, match=r"host='127.0.0.1', port=1"):
        open_docker()
