"""The process that becomes a sandbox, up to its exec of bubblewrap. Run as a script; trusted.

    python3 -I -S launch.py PLAN

PLAN is the JSON of ``plan.Plan``. Standard library only, and nothing of ours. With the
word ``hold`` instead, it is a process that keeps a new user namespace alive while its parent
writes the maps. Ends with status 1 and one line on stderr if any step fails.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
from typing import Any, NoReturn

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18

_libc = ctypes.CDLL(None, use_errno=True)


class StepFailed(Exception):
    """A step failed; the text names it and says what the kernel said."""


def main() -> NoReturn:
    """Do what the argument says. Never returns."""
    try:
        if sys.argv[1] == "hold":
            hold()
        else:
            launch(json.loads(sys.argv[1]))
    except (OSError, ValueError, StepFailed) as error:
        sys.stderr.write(f"execbox launch: {error}\n")
    sys.stderr.flush()
    os._exit(1)


def launch(plan: dict[str, Any]) -> None:
    """Join the groups, take the limits, enter the user namespace, mount, and exec bubblewrap."""
    for path in plan["procs_paths"]:
        with open(path, "w", encoding="ascii") as file:
            file.write("0")
    for name, value in plan["limits"].items():
        _limit(getattr(resource, f"RLIMIT_{name}"), value)
    if plan["private_binds"]:
        # In a mount namespace of the service's own user: the places may be closed to all others.
        _private_mounts()
        for source, target in plan["private_binds"]:
            _mount(source, target, None, flags=MS_BIND | MS_REC)
    fd = plan["user_namespace_fd"]
    _check("entering the user namespace", _libc.setns(fd, CLONE_NEWUSER))
    os.close(fd)
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    _private_mounts()
    for target, options in plan["tmpfs"]:
        _mount("tmpfs", target, "tmpfs", flags=MS_NOSUID | MS_NODEV | MS_NOEXEC, options=options)
    os.umask(0o022)
    os.chdir("/")
    os.execve(plan["command"][0], plan["command"], {})  # noqa: S606 - a shell is not wanted


def hold() -> NoReturn:
    """Make a user namespace, wait for its maps, close it to further ones, wait to be ended."""
    _check("making a user namespace", _libc.unshare(CLONE_NEWUSER))
    sys.stdout.write("made\n")
    sys.stdout.flush()
    sys.stdin.readline()
    # No process inside can make a further namespace and so gain capabilities.
    with open("/proc/sys/user/max_user_namespaces", "w", encoding="ascii") as file:
        file.write("0")
    sys.stdout.write("closed\n")
    sys.stdout.flush()
    sys.stdin.readline()
    os._exit(0)


def _limit(which: int, value: int | list[int | None]) -> None:
    """Set both limits to a number, no higher than permitted; or of a pair the soft one only."""
    _soft, hard = resource.getrlimit(which)
    soft = value if isinstance(value, int) else value[0] or 0
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(which, (soft, soft if isinstance(value, int) else hard))


def _private_mounts() -> None:
    _check("making a mount namespace", _libc.unshare(CLONE_NEWNS))
    _mount(None, "/", None, flags=MS_REC | MS_PRIVATE)


def _mount(
    source: str | None, target: str, kind: str | None, *, flags: int, options: str | None = None
) -> None:
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    data = None if options is None else options.encode()
    result = _libc.mount(*texts, ctypes.c_ulong(flags), data)
    _check(f"mounting {target}", result)


def _check(step: str, result: int) -> None:
    if result != 0:
        raise StepFailed(f"{step}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
