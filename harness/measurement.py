"""What is around a long measurement: what it runs on, progress, its exit code. Writes nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from execbox import Client, ClientConfig
from execbox.wire import Capabilities
from harness.local_service import ServiceDidNotStart
from harness.machine import describe_machine, docker_version
from harness.report import Draw, Findings


def machine_of(able: Capabilities) -> dict[str, str]:
    """What it was measured on."""
    return describe_machine(able, docker_version=docker_version() or "none")


def capabilities_of(config: ClientConfig) -> Capabilities:
    """What a service can do, asked through a connection that is closed again."""
    with Client(config=config) as client:
        return client.capabilities()


def conclude(program: str, measure: Callable[[], tuple[Findings, Draw]], *, folder: Path) -> int:
    """Measure and write it down; the exit code: 1 if a claim fails, 2 if no service started."""
    try:
        findings, draw = measure()
    except ServiceDidNotStart as error:
        print(f"{program}: the service did not start:\n{error}", file=sys.stderr)
        return 2
    findings.write(folder, draw)
    return 0 if findings.hold else 1


def say(what: str) -> None:
    """Progress, for the person who waits, on stderr."""
    print(f"[{time.strftime('%H:%M:%S')}] {what}", file=sys.stderr, flush=True)
