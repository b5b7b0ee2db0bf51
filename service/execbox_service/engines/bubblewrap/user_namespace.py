"""One user namespace for all sandboxes of a service: root inside is nobody outside.

The runner needs many user ids: one for itself, and one for each execution. As root they are mapped
to ids that nothing else uses; otherwise to the range that /etc/subuid grants, by newuidmap.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from execbox_service.engines.base import Lacking
from execbox_service.engines.bubblewrap import container_flags

ROOT_FIRST_ID: Final = 0x7000_0000
"""Above the ranges systemd gives to containers, below 2**31, which some programs take for -1."""
ID_COUNT: Final = 65_536
_INSIDE_MIN: Final = 60_000
"""The runner uses user ids below this (``execbox_runner.user_ids.LAST_UID``)."""
_OWN_COUNT: Final = 1024
"""Ids at the bottom of what a container has, which its own processes and files may have."""
_STEP_S: Final = 10.0
_PROC_SYS: Final = Path("/proc/sys")
_SWITCHES: Final = {
    "kernel.apparmor_restrict_unprivileged_userns": ("1", "0"),
    "kernel.unprivileged_userns_clone": ("0", "1"),
    "user.max_user_namespaces": ("0", "10000"),
}
"""What kernels and distributions have for this: how it forbids, and how it permits."""


class NoUserNamespace(Lacking):
    """User namespaces, or the ids to map in one, cannot be had here."""


@dataclass(frozen=True)
class IdRange:
    """Ids that may be given to sandboxes: the first, and how many."""

    first: int
    count: int


def parse_granted(text: str, *, names: frozenset[str]) -> IdRange | None:
    """The largest range that a file of ``name:first:count`` lines grants to any of the names."""
    ranges = []
    for line in text.splitlines():
        parts = line.split("#")[0].strip().split(":")
        if len(parts) == 3 and parts[0] in names and parts[1].isdigit() and parts[2].isdigit():
            ranges.append(IdRange(int(parts[1]), int(parts[2])))
    return max(ranges, key=lambda granted: granted.count, default=None)


def choose_ids(mapped: str) -> IdRange:
    """Which ids root gives to sandboxes, of those its own namespace has.

    ``mapped`` is its uid_map or gid_map: lines of first, first outside, count. A container with a
    user namespace of its own (``hostUsers: false``) usually has 65,536. Raises NoUserNamespace.
    """
    ranges = [IdRange(int(line.split()[0]), int(line.split()[2])) for line in mapped.splitlines()]
    last = ROOT_FIRST_ID + ID_COUNT
    if any(one.first <= ROOT_FIRST_ID and last <= one.first + one.count for one in ranges):
        return IdRange(ROOT_FIRST_ID, ID_COUNT)
    largest = max(ranges, key=lambda one: one.count, default=IdRange(0, 0))
    count = min(ID_COUNT, largest.count - _OWN_COUNT)
    if count < _INSIDE_MIN:
        raise NoUserNamespace(
            f"the user namespace of this container has {largest.count} ids in a row, and "
            f"{_INSIDE_MIN + _OWN_COUNT} are needed",
            remedy="give it 65536, as Kubernetes and Docker do by default",
        )
    return IdRange(largest.first + largest.count - count, count)


def make() -> int:
    """A descriptor of a new, mapped user namespace in which no other can be made.

    It lives as long as the descriptor, or a process in it. Raises NoUserNamespace.
    """
    mapping = _mapping_commands() if os.geteuid() != 0 else None
    launch_path = str(Path(__file__).with_name("launch.py"))
    holder = subprocess.Popen(
        [sys.executable, "-I", "-S", launch_path, "hold"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with holder:
        try:
            _expect(holder, "made", remedy=lambda _said: _remedy())
            if mapping is None:
                _map_as_root(holder.pid)
            else:
                for command in mapping:
                    _run([command[0], str(holder.pid), *command[1:]])
            _tell(holder)
            _expect(holder, "closed", remedy=_remedy_inside)
            return os.open(f"/proc/{holder.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            remedy = container_flags.CAPABILITIES if mapping is None else _remedy()
            raise NoUserNamespace(f"user ids cannot be mapped: {error}", remedy=remedy) from error
        finally:
            holder.kill()


def _mapping_commands() -> list[list[str]]:
    """How newuidmap and newgidmap are called, but for the process id after their names."""
    name = str(os.geteuid())
    with contextlib.suppress(KeyError):
        name = pwd.getpwuid(os.geteuid()).pw_name
    commands = []
    for program, file, own in (
        ("newuidmap", "/etc/subuid", os.geteuid()),
        ("newgidmap", "/etc/subgid", os.getegid()),
    ):
        path = shutil.which(program)
        if path is None:
            raise NoUserNamespace(
                f"{program} is not installed",
                remedy="install it with: apt install uidmap (or dnf install shadow-utils)",
            )
        text = ""
        with contextlib.suppress(OSError):
            text = Path(file).read_text("utf-8")
        granted = parse_granted(text, names=frozenset({name, str(os.geteuid())}))
        if granted is None or granted.count < _INSIDE_MIN:
            have = granted.count if granted else 0
            raise NoUserNamespace(
                f"{file} grants {name} {have} ids and {_INSIDE_MIN} are needed",
                remedy="grant them with: sudo usermod --add-subuids 100000-165535 "
                f"--add-subgids 100000-165535 {name}",
            )
        inner = [str(granted.first), str(min(granted.count, ID_COUNT - 1))]
        commands.append([path, "0", str(own), "1", "1", *inner])
    return commands


def _map_as_root(pid: int) -> None:
    for name in ("uid_map", "gid_map"):
        ids = choose_ids(Path(f"/proc/self/{name}").read_text("ascii"))
        Path(f"/proc/{pid}/{name}").write_text(f"0 {ids.first} {ids.count}\n", "ascii")


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_STEP_S, check=False)
    if done.returncode != 0:
        said = done.stderr.strip()[:300]
        raise NoUserNamespace(f"{command[0]} failed: {said}", remedy=_remedy())


def _expect(holder: subprocess.Popen[str], word: str, *, remedy: Callable[[str], str]) -> None:
    """``remedy`` says what helps, of what the holder says where it does not say the word."""
    line = holder.stdout.readline() if holder.stdout is not None else ""
    if line.strip() != word:
        said = holder.stderr.read(500).strip() if holder.stderr is not None else ""
        raise NoUserNamespace(f"no user namespace can be made: {said}", remedy=remedy(said))


def _tell(holder: subprocess.Popen[str]) -> None:
    if holder.stdin is not None:
        holder.stdin.write("\n")
        holder.stdin.flush()


def _remedy() -> str:
    """What to do where the kernel makes or maps no namespace."""
    flags = "; ".join(container_flags.suspects())
    return _switch() or flags or "run the service as root on the machine itself, or use Docker"


def _remedy_inside(said: str) -> str:
    """What to do where a namespace is made, and nothing may be done in it.

    A container's /proc/sys is read-only; AppArmor on Ubuntu from 24.04 lets users make a namespace
    and denies them what they could do in it.
    """
    if os.strerror(errno.EROFS) in said:
        return container_flags.PROC
    return _switch() or container_flags.PROC


def _switch() -> str | None:
    """The command that permits it, where one of the switches forbids it."""
    for name, (bad, good) in _SWITCHES.items():
        with contextlib.suppress(OSError):
            if (_PROC_SYS / name.replace(".", "/")).read_text("ascii").strip() == bad:
                return f"allow it with: sudo sysctl {name}={good}; or use Docker"
    return None
