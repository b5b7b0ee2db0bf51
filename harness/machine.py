"""What a measurement was made on, in words: cores, kernel, engine. Names no machine or user."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from execbox.wire import Capabilities

__all__ = ["describe_machine", "docker_version"]


def describe_machine(able: Capabilities, *, docker_version: str) -> dict[str, str]:
    """What the figures were measured on; no names of machines or users."""
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "processor": _processor(),
        "kernel": platform.release().split("-")[0],
        "Docker": docker_version,
        "Python in the image": able.python,
        "load before the run": f"{os.getloadavg()[0]:.1f}",
    }


def docker_version() -> str | None:
    """Of the daemon; None where none answers, or nothing is there to ask it."""
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
