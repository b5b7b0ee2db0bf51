"""`execbox certify`: its options, and one run of the step; sorting pairs is in ``dataset``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from execbox.cli import steps
from execbox.cli.generate import add_run_options, run_options_of
from execbox.cli.services import spread_client_of
from execbox.cli.terminal import Terminal
from execbox.dataset.steps.certify import open_certify_step
from execbox.dataset.steps.sorting import CORRECTED

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["add_parser", "certify"]

_DESCRIPTION = """\
Run the pairs of an existing dataset again, in fresh processes and under the determinism check,
and sort them: kept, corrected (with the true output), dropped, each with its reason.

PAIRS.jsonl holds functions with their "ios", as CodeI/O publishes them. The result is the same
records with the pairs that hold; what became of every other one is in meta.execbox, and of
records that have none left in OUTPUT.errors.jsonl."""

_CORRECTED = "\n".join(f"  {reason:<20} {text}" for reason, text in CORRECTED.items())

_EPILOG = f"""\
why an output is corrected:
{_CORRECTED}

examples:
  execbox certify pairs.jsonl -o certified.jsonl
  execbox certify pairs.jsonl -o certified.jsonl --runs 5 --complexity none

{steps.RESUMING}"""


def add_parser(commands: Subparsers) -> None:
    """Add `certify` to the command line."""
    parser = steps.new_parser(
        commands,
        "certify",
        summary="check the pairs of a dataset: keep, correct or drop them",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        handler=certify,
    )
    parser.add_argument(
        "pairs", type=Path, metavar="PAIRS.jsonl", help='functions with their "ios"'
    )
    steps.add_output_options(parser)
    add_run_options(parser)


def certify(args: argparse.Namespace, terminal: Terminal) -> int:
    """Sort the pairs."""
    step = open_certify_step(spread_client_of(args), run_options_of(args))
    return steps.run_shown(terminal, args, step, source=args.pairs)
