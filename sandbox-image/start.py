"""The container's command: start the supervisor, or with ``zygote FD`` an interpreter beside it."""

from __future__ import annotations

import os
import sys

LIBRARY_PATH = os.path.dirname(os.path.abspath(__file__))


def main() -> None:
    """Load the runner and take it off the import path again: jobs import what users import."""
    sys.path.insert(0, LIBRARY_PATH)
    from execbox_runner import supervisor, zygote

    sys.path.remove(LIBRARY_PATH)
    if sys.argv[1:2] == ["zygote"]:
        zygote.main(int(sys.argv[2]), syscalls_path=os.path.join(LIBRARY_PATH, "syscalls.json"))
    supervisor.main(LIBRARY_PATH)


if __name__ == "__main__":
    main()
