"""`--json` and `--quiet`: the same two options on every command that prints an answer or progress.

What each of them prints then is the command's; docs/command-line.md has the shapes of the lines.
"""

from __future__ import annotations

import argparse

__all__ = ["add_answer_options"]


def add_answer_options(
    parser: argparse.ArgumentParser,
    *,
    json: str = "print the result as one line of JSON",
    quiet: str = "print neither progress nor counts, only what went wrong",
) -> None:
    """``--json`` and ``--quiet``; the texts say what the command prints with them."""
    parser.add_argument("--json", action="store_true", help=json)
    parser.add_argument("-q", "--quiet", action="store_true", help=quiet)
