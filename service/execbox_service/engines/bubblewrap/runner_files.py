"""Where a bubblewrap sandbox takes the runner from, and a directory made at start, gone at the end.

The directory has empty places for the launcher to mount on and, unless this service is in an image
made of the sandbox image, what that one has in /usr/lib/execbox: the runner, system-call numbers,
the clock preload.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path
from typing import Final

from execbox_service.engines.base import EngineUnavailable
from execbox_service.engines.bubblewrap import claims

logger = logging.getLogger(__name__)

# Not where TMPDIR points: root's own directories are closed to the root of a user namespace.
_PARENT: Final = "/tmp"  # noqa: S108 - made by mkdtemp
_PREFIX: Final = "execbox-runner-"
_RUNNER: Final = "execbox_runner"
_COMPILE_S: Final = 120.0
CLOCK_LIBRARY: Final = "libexecbox_clock.so"
_IMAGE_LIBRARY: Final = Path("/usr/lib/execbox")
_IMAGE_NAME: Final = _IMAGE_LIBRARY / "sandbox-image"
"""In the image of ``deploy/Dockerfile`` only: the id of the sandbox image it was made of."""
_USERS: Final = "root:x:0:0:root:/tmp:/bin/false\nnobody:x:65534:65534:nobody:/tmp:/bin/false\n"
_GROUPS: Final = "root:x:0:\nnogroup:x:65534:\n"


def sources() -> Path:
    """Where ``sandbox-image`` is: in a wheel below the service, in a checkout on its own.

    Raises EngineUnavailable.
    """
    shipped = Path(str(resources.files("execbox_service"))) / "_image" / "sandbox-image"
    if shipped.is_dir():
        return shipped
    found = importlib.util.find_spec(_RUNNER)
    if found is None or not found.submodule_search_locations:
        raise EngineUnavailable(
            "this installation has no sandbox runner; install execbox again, from its own wheel"
        )
    return Path(found.submodule_search_locations[0]).parent


def image_here() -> str | None:
    """The id of the sandbox image that this service's own image was made of, if it was."""
    try:
        return _IMAGE_NAME.read_text("ascii").strip()
    except FileNotFoundError:
        return None


def syscall_numbers(machine: str) -> dict[str, int]:
    """The kernel's system calls by name. Raises EngineUnavailable for an unknown machine."""
    path = sources() / f"syscalls-{machine}.json"
    try:
        numbers: dict[str, int] = json.loads(path.read_text("ascii"))
    except FileNotFoundError as error:
        raise EngineUnavailable(
            f"the bubblewrap engine knows no system calls of the architecture {machine}; use Docker"
        ) from error
    return numbers


class RunnerFiles:
    """One service's directory, readable by all: what is in it is public."""

    def __init__(self) -> None:
        self.path = Path()
        self._claim = -1

    @property
    def library(self) -> Path:
        """What a sandbox sees as its library directory."""
        return self.path / "library" if image_here() is None else _IMAGE_LIBRARY

    def make(self, python: str) -> None:
        """Make it, byte-compiled for one interpreter. Raises EngineUnavailable."""
        _sweep()
        try:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_PARENT))
            self._claim = claims.claim(str(self.path))
            self.path.chmod(0o755)
            for name in ("library", "etc", "mounts", "mounts/tmp", "mounts/shm", "mounts/prefix"):
                (self.path / name).mkdir(mode=0o755)
            (self.path / "etc/passwd").write_text(_USERS, "ascii")
            (self.path / "etc/group").write_text(_GROUPS, "ascii")
            if image_here() is None:
                self._copy_runner(python)
        except (OSError, claims.ClaimLost, subprocess.SubprocessError) as error:
            self.remove()
            raise EngineUnavailable(f"the runner cannot be put in place: {error}") from error
        if image_here() is None:
            self._compile_clock()

    def remove(self) -> None:
        """Remove it; never raises."""
        if self._claim >= 0:
            os.close(self._claim)
            self._claim = -1
            shutil.rmtree(self.path, ignore_errors=True)

    def _copy_runner(self, python: str) -> None:
        source = sources()
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source / _RUNNER, self.library / _RUNNER, ignore=ignore)
        shutil.copyfile(source / "start.py", self.library / "start.py")
        numbers = source / f"syscalls-{platform.machine()}.json"
        shutil.copyfile(numbers, self.library / "syscalls.json")
        _run(
            [python, "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"],
            str(self.library),
        )
        for directory, names, files in os.walk(self.library):
            for name in (*names, *files):
                path = os.path.join(directory, name)
                os.chmod(path, 0o755 if name in names else 0o644)

    def _compile_clock(self) -> None:
        """Make the clock preload, as the image's build does; where that fails there is none."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            return
        target = self.library / CLOCK_LIBRARY
        flags = ["-std=c11", "-O2", "-fPIC", "-shared", "-Wl,-z,relro,-z,now", "-s"]
        try:
            files = sorted(map(str, (sources() / "clock").glob("*.c")))
            _run([compiler, *flags, "-o", str(target)], *files)
            target.chmod(0o644)
        except (OSError, subprocess.SubprocessError) as error:
            logger.warning("the clock preload cannot be compiled: %s", error)
            target.unlink(missing_ok=True)


def _sweep() -> None:
    """Remove what services that no longer live have left."""
    for path, fd in claims.abandoned(_PARENT, _PREFIX):
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.close(fd)


def _run(command: list[str], *paths: str) -> None:
    subprocess.run([*command, *paths], check=True, capture_output=True, timeout=_COMPILE_S)
