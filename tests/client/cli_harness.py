"""What the tests of the command share: an answer, a usage error, a process of its own. No tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import execbox
from execbox.cli import main

SOURCE = "def main_solution(n):\n    return n\n"
USAGE = {"cpu_time_s": 0.25, "wall_time_s": 0.5, "peak_memory_bytes": 10 * 1024 * 1024}
CLIENT_ROOT = Path(execbox.__file__).parent.parent


def response(*executions: Mapping[str, object]) -> dict[str, object]:
    """An execute response; each execution is ok unless its fields say otherwise."""
    return {
        "executions": [{"status": "ok", "output": None, "usage": USAGE, **e} for e in executions],
        "isolation": "container",
        "engine": "fake",
        "image": "sha256:0",
        "queue_time_s": 0.0,
        "a_field_of_the_future": True,
    }


def usage_error(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    return capsys.readouterr().err


def command(*argv: str, **environment: str) -> tuple[list[str], dict[str, str]]:
    inherited = {name: value for name, value in os.environ.items() if name == "PATH"}
    path = {"PYTHONPATH": str(CLIENT_ROOT)}
    return [sys.executable, "-m", "execbox", *argv], inherited | path | environment
