"""`execbox revise`: its options, one run of the step, and the table of rounds."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from execbox.cli import steps
from execbox.cli.input_files import utf8_text
from execbox.cli.tables import Column, show_table
from execbox.cli.terminal import Terminal
from execbox.dataset.steps.revise import DEFAULT_REQUEST, Round, revise_step

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["add_parser", "request_of", "revise", "show_rounds"]

_ROUNDS = [
    *(Column(title, is_number=True) for title in ("round", "answered", "correct", "corrected")),
    *(Column(title, is_number=True) for title in ("still wrong", "unanswered")),
    Column("right so far"),
]

_DESCRIPTION = """\
Make the next turn's questions: for every answer that was not right, the conversation so far, its
feedback, and the request to try again. What was right needs none. Any number of rounds."""

_EPILOG = f"""\
examples:
  execbox revise verified.jsonl -o prompts-2.jsonl
  execbox infer prompts-2.jsonl -o answers-2.jsonl
  execbox verify answers-2.jsonl -o verified-2.jsonl

{steps.RESUMING}"""


def add_parser(commands: Subparsers) -> None:
    """Add `revise` to the command line."""
    parser = steps.new_parser(
        commands,
        "revise",
        summary="make the next turn's questions of feedback",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        handler=revise,
    )
    parser.add_argument(
        "verified", type=Path, metavar="VERIFIED.jsonl", help="what verify wrote, of any round"
    )
    steps.add_output_options(parser)
    parser.add_argument(
        "--request", type=Path, metavar="FILE", help="other wording of the turn, with $feedback"
    )


def request_of(path: Path | None) -> str:
    """The wording of a revision's user turn."""
    if path is None:
        return DEFAULT_REQUEST
    return utf8_text(str(path))


def revise(args: argparse.Namespace, terminal: Terminal) -> int:
    """Make the next turn."""
    steps.refuse_twice(args.verified, args.request)
    step = revise_step(request=request_of(args.request))
    return steps.run_shown(terminal, args, step, source=args.verified)


def show_rounds(rounds: Sequence[Round], terminal: Terminal) -> None:
    """What each round came to, as the paper's figure 7 plots it."""
    first = rounds[0].answered_count
    right, rows = 0, []
    for each in rounds:
        right += each.correct_count + each.corrected_count
        share = f"{right} of {first} ({right / first:.1%})" if first else "-"
        counts = [each.answered_count, each.correct_count, each.corrected_count]
        counts += [each.wrong_count, each.missing_count]
        rows.append([str(each.number), *map(str, counts), share])
    show_table(terminal, _ROUNDS, rows)
