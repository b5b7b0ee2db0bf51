"""Starting a service of any checkout whose sandboxes answer at once, and reading its CPU time.

The service itself is ``instant_service.py``, a program.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from harness.local_service import ServiceDidNotStart, free_port
from harness.meters import process_cpu_s

_PROGRAM = Path(__file__).with_name("instant_service.py")
_READY_S = 30.0
_STOP_S = 20.0


class InstantService:
    """``start`` once, ``stop`` once. Its log goes nowhere, but is written."""

    def __init__(self, checkout: Path, **settings: str) -> None:
        """``checkout``: the folder of a revision of this repository."""
        self.port = free_port()
        self._checkout = checkout
        self._settings = {"port": str(self.port), "slot_count": "2"} | settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Raises ServiceDidNotStart."""
        # The service is the checkout's; what answers it is this revision's.
        places = (self._checkout / "client", self._checkout / "service", _PROGRAM.parents[1])
        path = os.pathsep.join(map(str, places))
        self._process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), json.dumps(self._settings)],
            env=os.environ | {"PYTHONPATH": path},
            stderr=subprocess.DEVNULL,
        )
        ends_s = time.monotonic() + _READY_S
        while time.monotonic() < ends_s and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz"):
                    return
            except OSError:
                time.sleep(0.1)
        self.stop()
        raise ServiceDidNotStart(f"the service of {self._checkout} did not start")

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(_STOP_S)

    def cpu_s(self) -> float:
        """CPU seconds of its process so far, by the kernel's clock of it."""
        if self._process is None:
            raise RuntimeError("the service has not been started")
        return process_cpu_s(self._process.pid)
