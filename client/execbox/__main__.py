"""``python -m execbox``: the `execbox` command where its script is not on PATH; nothing else."""

from __future__ import annotations

import sys

from execbox.cli import main

if __name__ == "__main__":
    sys.exit(main())
