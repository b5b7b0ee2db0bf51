"""Which Python of this machine runs functions, where no image brings one: found, never configured.

It is outside any virtual environment: the service's own packages are no business of a function's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Final

from execbox_service.engines.base import Lacking

_MINIMUM: Final = (3, 11)
_QUESTION_S: Final = 30.0
_QUESTION: Final = (
    "import json, os, platform, sys; "
    "print(json.dumps([platform.python_version(), os.path.realpath(sys.executable), "
    "os.path.realpath(sys.base_prefix), list(sys.version_info[:2])]))"
)
_SYSTEM_PREFIXES: Final = ("/usr", "/usr/local")

PACKAGES_PROGRAM: Final = """\
import ctypes, json, locale, platform, sys
from importlib.metadata import distributions, packages_distributions
packages = {}
for found in distributions():
    name = found.metadata["Name"]
    if name and name not in packages:
        packages[name] = found.version or "unknown"
imports = {
    name: sorted(of)[0]
    for name, of in packages_distributions().items()
    if name.isidentifier() and not name.startswith("_") and sorted(of)[0] in packages
}
missing = []
try:
    ctypes.CDLL(sys.argv[1])
except OSError:
    missing += ["clock", "file_dates", "machine"]
try:
    locale.setlocale(locale.LC_ALL, "de_DE.UTF-8")
except locale.Error:
    missing.append("locale")
found = {"packages": packages, "imports": imports, "variations_missing": missing}
print(json.dumps({"python": platform.python_version(), **found}))
"""
"""Run in a sandbox with the path of the clock preload: prints what can be imported there, in the
form of the image's own list, and what determinism cannot be checked under."""


class NoHostPython(Lacking):
    """No Python that is recent enough to run functions."""


@dataclass(frozen=True)
class HostPython:
    """An interpreter. ``prefix`` is where it is installed if that is not in /usr, else None."""

    executable: str
    version: str
    prefix: str | None


def find() -> HostPython:
    """The system's Python if it is recent enough, else the one this service's was made from.

    Raises NoHostPython.
    """
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = ("/usr/bin/python3", os.path.join(sys.base_exec_prefix, "bin", name))
    tried = []
    for candidate in candidates:
        found = _ask(candidate)
        if isinstance(found, HostPython):
            return found
        tried.append(found)
    wanted = ".".join(map(str, _MINIMUM))
    raise NoHostPython(
        f"there is no Python {wanted} or newer outside a virtual environment ({'; '.join(tried)})",
        remedy="install one with: apt install python3 (or dnf install python3)",
    )


def _ask(candidate: str) -> HostPython | str:
    """What an interpreter is, or in words why it will not do."""
    try:
        said = subprocess.run(
            [candidate, "-I", "-S", "-c", _QUESTION],
            capture_output=True,
            check=True,
            timeout=_QUESTION_S,
            text=True,
        ).stdout
        version, executable, prefix, numbers = json.loads(said)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return f"{candidate}: {error}"
    if tuple(numbers) < _MINIMUM:
        return f"{candidate} is {version}"
    return HostPython(executable, version, None if prefix in _SYSTEM_PREFIXES else prefix)
