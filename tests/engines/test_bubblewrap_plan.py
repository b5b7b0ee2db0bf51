"""The plan of a bubblewrap sandbox: what it must have whatever the settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from execbox_service.engines.bubblewrap.host_python import HostPython
from execbox_service.engines.bubblewrap.plan import Machine, Parts, Plan, make_plan, runner_command
from execbox_service.engines.container_spec import ContainerSpec

SPEC = ContainerSpec(
    image="x",
    instance="y",
    docker_host=None,
    oci_runtime=None,
    cpu_count=1.0,
    memory_mb=512,
    runner_allowance_mb=128,
    tmp_mb=7,
    tmp_inode_count=99,
    pid_count=128,
    open_file_count=33,
)
PARTS = Parts(
    procs_paths=["/groups/cgroup.procs"],
    group_binds=[("/groups", "/sys/fs/cgroup")],
    user_namespace_fd=8,
    seccomp_fd=9,
)


def plan(*, prefix: str | None = None, as_root: bool = True) -> Plan:
    machine = Machine(
        bwrap="/usr/bin/bwrap",
        setpriv="/usr/bin/setpriv",
        python=HostPython("/usr/bin/python3.11", "3.11.2", prefix),
        files=Path("/files"),
        library=Path("/files/library"),
        as_root=as_root,
    )
    return make_plan(SPEC, machine, parts=PARTS, command=runner_command(machine))


def pairs(command: list[str], option: str) -> list[tuple[str, str]]:
    """The two arguments of every occurrence of an option."""
    return [(command[at + 1], command[at + 2]) for at, word in enumerate(command) if word == option]


@pytest.mark.parametrize(
    "option",
    [
        *("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup"),
        *("--as-pid-1", "--new-session", "--die-with-parent", "--clearenv", "--proc", "--seccomp"),
    ],
)
def test_plan_has_every_namespace_and_protection(option: str) -> None:
    """None of these may get lost when the plan is edited."""
    command = plan().command
    assert option in command[: command.index("--")]


def test_plan_lets_a_sandbox_write_to_its_own_tmpfs_only() -> None:
    """All else of the machine is bound read-only; the root and /dev are closed at the end."""
    command = plan(prefix="/opt/python").command
    assert pairs(command, "--bind") == [
        ("/files/mounts/tmp", "/tmp"),
        ("/files/mounts/shm", "/dev/shm"),
    ]
    devices = {source for source, _target in pairs(command, "--dev-bind")}
    assert devices == {f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom")}
    remounted = [index for index, word in enumerate(command) if word == "--remount-ro"]
    assert [command[index + 1] for index in remounted[-2:]] == ["/dev", "/"]
    last_mount = max(
        index for index, word in enumerate(command) if word in {"--bind", "--ro-bind", "--tmpfs"}
    )
    assert last_mount < remounted[-2]


def test_plan_sizes_what_can_be_written_in_bytes_and_files() -> None:
    """The launcher mounts these itself: bubblewrap cannot limit the number of files."""
    assert plan().tmpfs == [
        ("/files/mounts/tmp", "mode=1777,size=7m,nr_inodes=99"),
        ("/files/mounts/shm", "mode=1777,size=1m,nr_inodes=1024"),
    ]


def test_plan_keeps_three_capabilities_and_bounds_the_rest() -> None:
    """SETPCAP is there for dropping the bounding set, and is not on the list that stays."""
    command = plan().command
    added = [command[at + 1] for at, word in enumerate(command) if word == "--cap-add"]
    assert sorted(added) == ["CAP_KILL", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID"]
    inner = command[command.index("--") + 1 :]
    assert inner[:4] == [
        "/usr/bin/setpriv",
        "--bounding-set=-all,+setuid,+setgid,+kill",
        "--inh-caps=-all",
        "--",
    ]


def test_plan_takes_limits_from_the_settings() -> None:
    """Descriptors are the operator's choice; the others are what containers get, too."""
    assert plan().limits == {
        "CORE": 1,
        "STACK": (64 * 2**20, None),
        "NOFILE": 33,
        "MSGQUEUE": 0,
        "MEMLOCK": 0,
        "SIGPENDING": 256,
    }


@pytest.mark.parametrize(
    ("prefix", "as_root", "staged", "source"),
    [
        (None, True, [], None),
        ("/root/python", True, [("/root/python", "/files/mounts/prefix")], "/files/mounts/prefix"),
        ("/home/a/python", False, [], "/home/a/python"),
    ],
)
def test_plan_reaches_an_interpreter_in_a_private_directory(
    prefix: str | None, as_root: bool, staged: list[tuple[str, str]], source: str | None
) -> None:
    """Root's own directories are closed to the root of a user namespace, a user's are not."""
    made = plan(prefix=prefix, as_root=as_root)
    assert made.private_binds == staged
    found = {target: origin for origin, target in pairs(made.command, "--ro-bind")}
    assert found.get(prefix or "") == source


def test_plan_survives_its_way_to_the_launcher() -> None:
    """It travels as JSON, and nothing in it is the client's."""
    made = plan()
    assert json.loads(made.to_json())["command"] == made.command
