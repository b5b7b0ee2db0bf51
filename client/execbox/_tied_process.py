"""The command, in a process that is told to end when the one that started it ends, however that is.

    python -m execbox._tied_process PARENT_PID ARGUMENTS OF execbox...

For programs that start a service and may be killed: nothing of theirs is left. Linux only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Tie this process to its parent, then run the command."""
    parent_id = int(sys.argv[1])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_id:
        # It ended before this process was tied to it.
        return 1
    from execbox.cli import main as run_command

    return run_command(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
