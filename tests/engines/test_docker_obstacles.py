"""What keeps the Docker engine from a daemon, told apart, each with the command that helps."""

from __future__ import annotations

import errno
import gc
import os
import socket
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from docker.errors import DockerException
from harness.docker_daemon import docker_client

from execbox_service.engines.base import Lacking
from execbox_service.engines.docker.connection import connect
from execbox_service.engines.docker.engine import _short
from execbox_service.engines.docker.obstacles import (
    DaemonFacts,
    Surroundings,
    unreachable,
    unsuitable,
)
from execbox_service.engines.docker.surroundings import ask, look_around

ABSENT = Surroundings(
    address="/var/run/docker.sock", error_number=errno.ENOENT, user_name="ada", has_apt=True
)
DENIED = replace(ABSENT, error_number=errno.EACCES, is_daemon_installed=True)
GOOD = DaemonFacts(
    api_version="1.41",
    version="20.10.24",
    components=("Engine", "containerd", "runc"),
    limits_memory=True,
    limits_processes=True,
    limits_cpu=True,
    oci_runtimes=("io.containerd.runc.v2", "runc"),
    data_root="/var/lib/docker",
    free_bytes=2**34,
)


@pytest.mark.parametrize(
    ("around", "found", "remedy"),
    [
        pytest.param(ABSENT, "there is no Docker here", "sudo apt install docker.io", id="none"),
        pytest.param(
            replace(ABSENT, has_apt=False),
            "there is no Docker here",
            "install Docker Engine or Docker Desktop",
            id="none, and no apt",
        ),
        pytest.param(
            replace(ABSENT, has_apt=False, has_dnf=True),
            "there is no Docker here",
            "sudo dnf install moby-engine",
            id="none on Fedora",
        ),
        pytest.param(
            replace(ABSENT, is_daemon_installed=True, has_systemd=True),
            "installed and not running",
            "sudo systemctl start docker",
            id="not running, systemd",
        ),
        pytest.param(
            replace(ABSENT, error_number=errno.ECONNREFUSED, is_daemon_installed=True),
            "installed and not running",
            "sudo service docker start",
            id="ended, socket left",
        ),
        pytest.param(
            replace(ABSENT, rootless_socket="/run/user/1000/docker.sock"),
            "there is a rootless one",
            "export DOCKER_HOST=unix:///run/user/1000/docker.sock",
            id="a rootless daemon elsewhere",
        ),
        pytest.param(
            replace(ABSENT, address="/srv/docker.sock", is_chosen=True),
            "no Docker daemon answers at /srv/docker.sock",
            "unset DOCKER_HOST",
            id="none where it was said to be",
        ),
        pytest.param(
            replace(ABSENT, address="tcp://10.0.0.1:2375", is_unix=False),
            "no Docker daemon answers at tcp://10.0.0.1:2375",
            "start that daemon",
            id="none at a distance",
        ),
        pytest.param(
            DENIED, "ada has no permission", "sudo usermod -aG docker ada", id="no permission"
        ),
        pytest.param(
            replace(DENIED, is_listed_in_group=True),
            "since after this login",
            "newgrp docker",
            id="in the group, but not in this login",
        ),
        pytest.param(
            replace(DENIED, mode_permits=True, is_selinux_enforcing=True),
            "SELinux denies ada",
            "sudo ausearch -m AVC",
            id="SELinux",
        ),
        pytest.param(
            replace(DENIED, is_selinux_enforcing=True),
            "ada has no permission",
            "sudo usermod -aG docker ada",
            id="no permission, where SELinux is on as well",
        ),
    ],
)
def test_daemon_that_is_not_reached_is_said_with_what_helps(
    around: Surroundings, found: str, remedy: str
) -> None:
    """One cause each, and the command for this user and system."""
    lacking = unreachable(around)
    assert lacking is not None
    assert found in lacking.found
    assert remedy in lacking.remedy


def test_socket_that_lets_in_is_no_obstacle() -> None:
    """Whatever is the trouble then, it is not what this looks at."""
    assert unreachable(replace(ABSENT, error_number=0)) is None


@pytest.mark.parametrize(
    ("facts", "found", "remedy"),
    [
        pytest.param(
            replace(GOOD, components=("Podman Engine", "Conmon", "OCI Runtime"), version="5.4.2"),
            "the daemon is Podman 5.4.2",
            "EXECBOX_ENGINE=bubblewrap",
            id="podman",
        ),
        pytest.param(
            replace(GOOD, api_version="1.40", version="19.03.15"),
            "(version 19.03.15, API 1.40) is too old",
            "apt install docker.io",
            id="too old",
        ),
        pytest.param(
            replace(GOOD, is_rootless=True, limits_memory=False, limits_processes=False),
            "rootless Docker daemon cannot limit its containers' memory and processes",
            "Delegate=cpu cpuset io memory pids",
            id="rootless without limits",
        ),
        pytest.param(
            replace(GOOD, limits_memory=False),
            "cannot limit its containers' memory: this kernel's control groups",
            "cgroup_enable=memory",
            id="no memory controller",
        ),
        pytest.param(
            replace(GOOD, limits_processes=False),
            "cannot limit its containers' processes",
            "CONFIG_CGROUP_PIDS",
            id="no pids controller",
        ),
        pytest.param(
            replace(GOOD, is_rootless=True, limits_cpu=False),
            "rootless Docker daemon cannot limit its containers' CPU share",
            "Delegate=cpu cpuset io memory pids",
            id="rootless without cpu, as systemd hands over by itself",
        ),
        pytest.param(
            replace(GOOD, free_bytes=2**20),
            "data root /var/lib/docker is full: 1 MB are free",
            "docker system prune",
            id="disk full",
        ),
    ],
)
def test_daemon_that_cannot_run_sandboxes_is_said_with_what_helps(
    facts: DaemonFacts, found: str, remedy: str
) -> None:
    """It answers, but containers would lack what protects or limits them, or cannot be made."""
    lacking = unsuitable(facts)
    assert lacking is not None
    assert found in lacking.found
    assert remedy in lacking.remedy


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(GOOD, id="20.10"),
        pytest.param(replace(GOOD, api_version="1.52"), id="29"),
        pytest.param(replace(GOOD, is_rootless=True), id="rootless with limits"),
        pytest.param(replace(GOOD, free_bytes=None), id="a daemon elsewhere"),
        pytest.param(DaemonFacts(api_version="1.41"), id="the gate, which says no more"),
    ],
)
def test_daemon_that_can_run_sandboxes_is_let_be(facts: DaemonFacts) -> None:
    """What a daemon does not say is held against nobody."""
    assert unsuitable(facts) is None


def test_oci_runtime_that_the_daemon_lacks_is_said_with_those_it_has() -> None:
    """The doctor said ok, and the service could not make its first container."""
    lacking = unsuitable(GOOD, oci_runtime="runsc")
    assert lacking is not None
    assert "no OCI runtime runsc" in lacking.found
    assert "io.containerd.runc.v2, runc" in lacking.found
    assert "daemon.json" in lacking.remedy


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (GOOD, "runc"),
        (GOOD, None),
        (GOOD, "io.containerd.runsc.v1"),
        (GOOD, "/usr/local/bin/containerd-shim-runsc-v1"),
        (DaemonFacts(api_version="1.41"), "runsc"),
    ],
)
def test_oci_runtime_that_the_daemon_may_have_is_let_be(
    facts: DaemonFacts, name: str | None
) -> None:
    """Shims need not be listed, and the gate does not say."""
    assert unsuitable(facts, oci_runtime=name) is None


@pytest.mark.docker
def test_connect_for_an_oci_runtime_that_is_not_there_is_refused() -> None:
    """Before anything is made."""
    with pytest.raises(Lacking, match="no OCI runtime no-such-runtime"):
        connect(None, oci_runtime="no-such-runtime")


def test_surroundings_of_a_socket_nobody_listens_on_are_seen(tmp_path: Path) -> None:
    """A daemon that ended leaves its socket; a path without one is a different thing."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    assert look_around(f"unix://{path}").error_number == errno.ECONNREFUSED
    absent = look_around(f"unix://{tmp_path}/none")
    assert (absent.error_number, absent.is_chosen) == (errno.ENOENT, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_surroundings_of_a_socket_that_is_forbidden_are_seen() -> None:
    """As an ordinary user who is not in the docker group sees it."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as daemon:
        Path(folder).chmod(0o755)
        path = Path(folder) / "docker.sock"
        daemon.bind(str(path))
        daemon.listen()
        path.chmod(0o600)
        os.seteuid(65534)
        try:
            around = look_around(f"unix://{path}")
        finally:
            os.seteuid(0)
    assert around.error_number == errno.EACCES
    assert not around.mode_permits
    lacking = unreachable(around)
    assert lacking is not None
    assert "has no permission" in lacking.found


def test_connect_where_nothing_listens_says_what_helps(tmp_path: Path) -> None:
    """From the SDK's words nobody could tell what to do."""
    with pytest.raises(Lacking, match=r"no Docker daemon answers at .*start that daemon"):
        connect(f"unix://{tmp_path}/none")


def test_connect_where_nothing_listens_leaves_no_socket_open(tmp_path: Path) -> None:
    """The SDK leaves its own to the garbage collector, which warns of it in the middle of
    something else."""
    gc.collect()
    gc.disable()
    try:
        before = os.listdir("/proc/self/fd")
        with pytest.raises(Lacking):
            connect(f"unix://{tmp_path}/none")
        assert os.listdir("/proc/self/fd") == before
    finally:
        gc.enable()


@pytest.mark.docker
def test_daemon_here_says_all_that_is_asked_and_nothing_speaks_against_it() -> None:
    """The names of what is read are those that daemons use."""
    with docker_client() as client:
        facts = ask(client)
    assert facts.version
    assert "Engine" in facts.components
    assert facts.limits_memory is True
    assert facts.limits_processes is True
    assert facts.limits_cpu is True
    assert facts.oci_runtimes
    assert facts.data_root
    assert unsuitable(facts) is None


def test_long_message_of_the_daemon_is_told_with_its_reason() -> None:
    """Which stands at its end, behind the address and the names of everything that was asked."""
    said = _short(DockerException(f"500 Server Error {'x' * 400}: no space left on device"))
    assert said.startswith("the Docker daemon: 500 Server Error")
    assert "xxx: no space left on device; the disk of its data root is full" in said
    assert len(said) < 420
