"""`execbox image build`: starts the script that builds the sandbox image, and knows no more of it.

The script and the folder that it builds are shipped with this package, laid out as in a checkout.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from execbox_service.engines.base import EngineUnavailable
from execbox_service.engines.bubblewrap.runner_files import sources
from execbox_service.settings import ConfigurationError, load_settings

__all__ = ["CannotBuild", "ImageOptions", "Told", "build_command", "build_image", "image_name"]

Told: TypeAlias = Literal["as it comes", "on standard error", "if it fails"]
"""Where and when what the build says is shown."""


class CannotBuild(Exception):
    """The build cannot begin; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """What to build. ``None`` leaves it to the script."""

    tag: str | None = None
    requirements: Path | None = None
    """A file of packages that functions may import beside those of the lock."""
    languages: bool = False
    """With bash and g++, too."""
    update: bool = False
    """Take nothing from Docker's cache."""


def image_name(options: ImageOptions) -> str:
    """What the image will be called."""
    return options.tag or f"execbox-sandbox:{'languages' if options.languages else 'local'}"


def build_image(options: ImageOptions, *, told: Told = "as it comes") -> int:
    """Build it and show what the script says; returns the exit code.

    0 when the image is there, 1 if it could not be built, 2 if the options cannot be used. Raises
    CannotBuild.
    """
    try:
        return _run(build_command(options), told=told)
    except FileNotFoundError as error:
        raise CannotBuild("there is no bash on this machine, which builds the image") from error


def build_command(options: ImageOptions) -> list[str]:
    """The script and its arguments. Raises CannotBuild."""
    try:
        script = sources().parent / "scripts" / "build-image.sh"
        docker_host = load_settings({}).docker_host
    except (EngineUnavailable, ConfigurationError) as error:
        raise CannotBuild(str(error)) from error
    if not script.is_file():
        raise CannotBuild(
            f"this installation lacks {script}; install execbox again, from its own wheel"
        )
    # Who asks for an image has not asked for packages on this machine.
    command = ["env", "EXECBOX_NO_INSTALL=1"]
    if docker_host is not None:
        command.append(f"DOCKER_HOST={docker_host}")
    command += ["bash", str(script), "languages" if options.languages else "sandbox"]
    command += ["--tag", image_name(options)]
    if options.requirements is not None:
        command += ["--requirements", str(options.requirements)]
    if options.update:
        command.append("--update")
    return command


def _run(command: list[str], *, told: Told) -> int:
    if told == "as it comes":
        return subprocess.run(command, check=False).returncode
    if told == "on standard error":
        return subprocess.run(command, check=False, stdout=sys.stderr).returncode
    kept = subprocess.run(
        command,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
    )
    if kept.returncode != 0:
        sys.stderr.write(kept.stdout)
    return kept.returncode
