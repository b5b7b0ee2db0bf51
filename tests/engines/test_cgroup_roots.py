"""Finding where control groups may be made: tables, and trees of plain files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from execbox_service.engines.bubblewrap import cgroup_roots

V1 = """\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_mounts_are_read_with_every_controller_they_share() -> None:
    """Controllers mounted together are found under each of their names; version 2 under none."""
    mounts = cgroup_roots.parse_mounts(V1)
    assert mounts["memory"] == ("/sys/fs/cgroup/memory", "/")
    assert mounts["cpu"] == mounts["cpuacct"] == ("/sys/fs/cgroup/cpu,cpuacct", "/")
    assert mounts[""] == ("/sys/fs/cgroup/unified", "/")
    assert cgroup_roots.parse_mounts(V2)[""] == ("/sys/fs/cgroup", "/")


def test_mounts_that_cover_others_are_the_ones_that_count() -> None:
    """As a group given to a container covers the read-only one that it would have had."""
    covering = "90 35 0:32 /execbox /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    elsewhere = "91 35 0:32 /other /mnt/memory rw,relatime - cgroup cgroup rw,memory\n"
    mounts = cgroup_roots.parse_mounts(V1 + covering + elsewhere)
    assert mounts["memory"] == ("/sys/fs/cgroup/memory", "/execbox")


def test_own_groups_are_read_for_both_versions() -> None:
    """A path may hold colons; the entry without controllers is version 2's."""
    own = cgroup_roots.parse_own_groups("4:memory:/a:b\n3:cpu,cpuacct:/\n0::/user.slice/x.scope\n")
    assert own == {"memory": "/a:b", "cpu": "/", "cpuacct": "/", "": "/user.slice/x.scope"}


@pytest.mark.parametrize(
    ("place", "own", "directory"),
    [
        (("/sys/fs/cgroup", "/"), "/", "/sys/fs/cgroup"),
        (("/sys/fs/cgroup", "/"), "/user.slice/a.scope", "/sys/fs/cgroup/user.slice/a.scope"),
        (("/sys/fs/cgroup/memory", "/docker/1"), "/docker/1", "/sys/fs/cgroup/memory"),
        (("/sys/fs/cgroup/memory", "/docker/1"), "/docker/1/x", "/sys/fs/cgroup/memory/x"),
        (("/sys/fs/cgroup", "/docker/1"), "/elsewhere", "/sys/fs/cgroup"),
        (("/sys/fs/cgroup", "/"), "/../outside", "/sys/fs/cgroup"),
    ],
)
def test_own_directory_never_leaves_the_mount(
    place: tuple[str, str], own: str, directory: str
) -> None:
    """Whatever part of the tree a mount shows, the directory is below its mount point."""
    assert cgroup_roots.own_directory(place, own) == directory


def tree(root: Path, groups: dict[str, str], *, processes: dict[str, str]) -> None:
    """Plain files for groups: path to the controllers enabled below it."""
    for name, controllers in groups.items():
        directory = root / name
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "cgroup.controllers").write_text("cpu memory pids io\n")
        (directory / "cgroup.subtree_control").write_text(controllers)
        (directory / "cgroup.procs").write_text(processes.get(name, ""))


def find(root: Path, own: str, *, move: bool = False) -> cgroup_roots.Roots:
    return cgroup_roots._find_v2((str(root), "/"), {"": own}, move=move)


def test_v2_takes_the_nearest_group_that_hands_on_memory_and_pids(tmp_path: Path) -> None:
    """Processes beside the service's make its own group useless; an ancestor will do."""
    tree(
        tmp_path,
        {"": "cpu memory pids", "a": "memory pids", "a/b": "pids", "a/b/c": ""},
        processes={"a/b/c": f"{os.getpid()}\n1\n"},
    )
    roots = find(tmp_path, "/a/b/c")
    assert roots.directories == {"memory": str(tmp_path / "a")}
    # It only looks, but may have what it lacks.
    assert roots.cpu_limited
    assert "cpu" not in (tmp_path / "a" / "cgroup.subtree_control").read_text()


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Has a write to ``cgroup.subtree_control`` do among plain files what it does in the kernel:
    groups below get a controller that this one has. Returns where it was written, in order."""
    written: list[str] = []

    def write(path: str, text: str) -> None:
        group = Path(path).parent
        name = text.removeprefix("+")
        if name not in (group / "cgroup.controllers").read_text().split():
            raise FileNotFoundError(path)
        enabled = group / "cgroup.subtree_control"
        enabled.write_text(f"{enabled.read_text()} {name}")
        for below in group.iterdir():
            if below.is_dir():
                controllers = below / "cgroup.controllers"
                controllers.write_text(f"{controllers.read_text()} {name}")
        written.append(group.name)

    monkeypatch.setattr(cgroup_roots, "_write", write)
    return written


def test_v2_as_root_under_systemd_has_the_cpu_handed_down(
    tmp_path: Path, kernel: list[str]
) -> None:
    """systemd enables cpu only where a unit asks for it; a session's slices have none."""
    tree(
        tmp_path,
        {"": "memory pids", "user.slice": "memory pids", "user.slice/user-0.slice": "memory pids"},
        processes={},
    )
    tree(tmp_path, {"user.slice/user-0.slice/session-1.scope": ""}, processes={})
    for name in ("user.slice", "user.slice/user-0.slice"):
        (tmp_path / name / "cgroup.controllers").write_text("memory pids")
    roots = find(tmp_path, "/user.slice/user-0.slice/session-1.scope", move=True)
    assert roots.directories == {"memory": str(tmp_path / "user.slice" / "user-0.slice")}
    assert kernel == [tmp_path.name, "user.slice", "user-0.slice"]
    assert roots.cpu_limited


def test_v2_without_a_cpu_controller_anywhere_is_said_to_bound_no_share(
    tmp_path: Path, kernel: list[str]
) -> None:
    """A kernel may lack it, and a container's own tree need not show it."""
    tree(tmp_path, {"": "memory pids", "a": ""}, processes={"a": "1\n"})
    (tmp_path / "cgroup.controllers").write_text("memory pids")
    (tmp_path / "a" / "cgroup.controllers").write_text("memory pids")
    assert not find(tmp_path, "/a", move=True).cpu_limited
    assert kernel == []


def test_v2_unit_without_the_cpu_controller_is_said_to_bound_no_share(tmp_path: Path) -> None:
    """Delegate=yes hands down what the user's own manager has, which may lack cpu."""
    tree(tmp_path, {"": "", "unit": ""}, processes={"unit": f"{os.getpid()}\n"})
    (tmp_path / "unit" / "cgroup.controllers").write_text("memory pids")
    assert not find(tmp_path, "/unit").cpu_limited


def test_v2_divides_a_group_that_is_the_service_s_alone(tmp_path: Path) -> None:
    """As in a systemd unit with Delegate=yes: it moves into a leaf, and enables controllers."""
    tree(tmp_path, {"": "", "unit": ""}, processes={"unit": f"{os.getpid()}\n"})
    roots = find(tmp_path, "/unit")
    assert roots.directories == {"memory": str(tmp_path / "unit")}
    assert not (tmp_path / "unit" / cgroup_roots.SERVICE_LEAF).exists()


def test_v2_service_already_in_its_leaf_uses_the_group_above(tmp_path: Path) -> None:
    """Starting a second time in one process finds what the first time made."""
    leaf = f"unit/{cgroup_roots.SERVICE_LEAF}"
    tree(tmp_path, {"": "", "unit": "memory pids cpu", leaf: ""}, processes={})
    roots = find(tmp_path, f"/{leaf}", move=True)
    assert roots.directories == {"memory": str(tmp_path / "unit")}
    assert roots.cpu_limited


def test_v2_divides_the_top_that_a_container_sees_with_all_processes_in_it(tmp_path: Path) -> None:
    """An init process beside the service came with it; both move into the leaf."""
    tree(tmp_path, {"": ""}, processes={"": f"{os.getpid()}\n0\n"})
    (tmp_path / "cgroup.type").write_text("domain\n")
    leaf = tmp_path / cgroup_roots.SERVICE_LEAF
    # What the kernel makes in a new group, plain files do not have.
    leaf.mkdir()
    (leaf / "cgroup.procs").write_text("")
    # The kernel adds to this file; a plain one keeps the last controller that was written.
    with pytest.raises(cgroup_roots.NoCgroups):
        find(tmp_path, "/", move=True)
    assert (leaf / "cgroup.procs").read_text() == str(os.getpid())
    assert (tmp_path / "cgroup.subtree_control").read_text().startswith("+")


def test_v2_leaves_the_machine_s_own_top_alone(tmp_path: Path) -> None:
    """It has no ``cgroup.type``, and its processes are everybody's."""
    tree(tmp_path, {"": ""}, processes={"": "1\n2\n"})
    with pytest.raises(cgroup_roots.NoCgroups):
        find(tmp_path, "/", move=True)
    assert not (tmp_path / cgroup_roots.SERVICE_LEAF).exists()


def test_v2_without_controllers_says_what_to_do(tmp_path: Path) -> None:
    """No memory controller, no memory_exceeded: that is refused with the remedy."""
    tree(tmp_path, {"": "cpu", "a": "pids"}, processes={"a": "1\n"})
    with pytest.raises(cgroup_roots.NoCgroups, match="Delegate=yes") as caught:
        find(tmp_path, "/a")
    assert "memory" in caught.value.found
