"""A Docker daemon of one's own: what it forgets when it is killed, that nothing of it stays, and
that it changes nothing of the machine's."""

from __future__ import annotations

import os
import time

import pytest
from harness.bench import IMAGE
from harness.docker_daemon import docker_client
from harness.host_view import CGROUPS, cgroup_container_ids, shims
from harness.own_daemon import NoOwnDaemon, OwnDaemon

from tests.required import skip_or_fail

pytestmark = pytest.mark.docker


def started(own: OwnDaemon) -> str:
    """A container that waits."""
    with docker_client(own.url) as api:
        made = api.create_container(IMAGE, entrypoint=["sleep", "600"], network_disabled=True)
        api.start(made["Id"])
        return str(made["Id"])


def shim_ids() -> set[str]:
    return {shim.container_id for shim in shims()}


def test_killed_daemon_names_what_it_forgot_and_nothing_of_it_stays() -> None:
    """What it lists is not forgotten, nor is what began after its death."""
    try:
        with OwnDaemon(IMAGE) as own:
            before_s = time.clock_gettime(time.CLOCK_BOOTTIME)
            lost, known = started(own), started(own)
            (shim,) = [each for each in shims() if each.container_id == lost]
            assert shim.started_s > before_s - 1
            assert shim.containerd_socket.startswith(f"{own.folder}/")
            assert own.forgotten() == set()
            own.kill()
            # As where it was killed between making the container and writing that down.
            (own.folder / "data" / "containers" / lost / "config.v2.json").unlink()
            own.start()
            later = started(own)
            assert own.forgotten() == {lost}
            assert {lost, later} <= shim_ids() & cgroup_container_ids(CGROUPS)
    except NoOwnDaemon as error:
        skip_or_fail(error)
    assert not {lost, known, later} & (shim_ids() | cgroup_container_ids(CGROUPS))
    assert not own.folder.exists()


def test_own_daemon_keeps_away_from_the_machines_network() -> None:
    """One without a bridge removes docker0 where it is started, and with it the network of every
    container that the machine's daemon begins from then on."""
    try:
        with OwnDaemon(IMAGE) as own:
            theirs = os.readlink(f"/proc/{own.pid}/ns/net")
            container = started(own)
            with docker_client(own.url) as api:
                assert api.inspect_container(container)["State"]["Running"]
    except NoOwnDaemon as error:
        skip_or_fail(error)
    assert theirs != os.readlink("/proc/self/ns/net")
