"""``python -m execbox_service.workers``: what the front starts, and nobody else."""

import sys

from execbox_service.workers.worker import run_worker

if __name__ == "__main__":
    sys.exit(run_worker(sys.argv[1:]))
