"""A service that is tied to the program that started it, and ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from harness.local_service import free_port

from tests.engines.conftest import need_engine

STARTER: Final = """
import os, subprocess, sys, time
command = [sys.executable, "-m", "execbox._tied_process", str(os.getpid()), "serve", *sys.argv[1:]]
child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
for line in child.stderr:
    if "is serving" in line:
        print(child.pid, flush=True)
time.sleep(600)
"""
END_S: Final = 40.0


def test_service_ends_when_its_starter_is_killed() -> None:
    """SIGKILL leaves a program no time to end what it has started."""
    need_engine("bubblewrap")
    options = ["--engine", "bubblewrap", "--port", str(free_port()), "--pool-size", "1"]
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, *options], stdout=subprocess.PIPE, text=True
    ) as starter:
        try:
            assert starter.stdout is not None
            service_id = int(starter.stdout.readline())
            os.kill(starter.pid, signal.SIGKILL)
            deadline_s = time.monotonic() + END_S
            while Path(f"/proc/{service_id}").exists():
                assert time.monotonic() < deadline_s, "it is still there"
                time.sleep(0.1)
        finally:
            starter.kill()
