"""The `execbox` command: the only package that prints or exits; what it does is in its modules.

Each command is a module with ``add_parser`` and a handler; ``entry`` puts them together.
"""

from __future__ import annotations

from execbox.cli.entry import main

__all__ = ["main"]
