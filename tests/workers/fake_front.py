"""``python -m tests.workers.fake_front LOOK_S``: ``execbox serve`` with fake workers. No tests."""

from __future__ import annotations

import sys

from execbox_service.main import serve_workers
from execbox_service.settings import load_settings

if __name__ == "__main__":
    command = [sys.executable, "-m", "tests.workers.fake_worker"]
    sys.exit(serve_workers(load_settings({}), command, look_s=float(sys.argv[1])))
