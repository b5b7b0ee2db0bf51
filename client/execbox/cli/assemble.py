"""`execbox assemble`: its options, one run of the step, and what the rounds came to."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from execbox.cli import revise, steps
from execbox.cli.terminal import Terminal
from execbox.dataset.files.sources import can_be_read_again
from execbox.dataset.steps.assemble import AssembleOptions, open_assemble_step
from execbox.dataset.steps.revise import round_counts

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["add_assemble_options", "add_parser", "assemble", "assemble_options_of"]

_DESCRIPTION = """\
Make training records of the verified files of all rounds, and show what the rounds came to."""

_EPILOG = f"""\
examples:
  execbox assemble verified.jsonl verified-2.jsonl -o train.jsonl
  execbox assemble verified.jsonl -o train.jsonl --dataset codeio
  execbox assemble verified.jsonl verified-2.jsonl -o train.jsonl --form messages

fields: prompt, turn_1, feedback_1, turn_2, feedback_2 (null where there was no second turn).
messages: a conversation that ends with the last answer; TRL loads it as it is, LLaMA-Factory with
the entry in docs/dataset.md.

{steps.RESUMING}"""


def add_parser(commands: Subparsers) -> None:
    """Add `assemble` to the command line."""
    parser = steps.new_parser(
        commands,
        "assemble",
        summary="make training records of all rounds",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        handler=assemble,
    )
    parser.add_argument(
        "rounds", type=Path, nargs="+", metavar="VERIFIED.jsonl", help="round 1, round 2, ..."
    )
    steps.add_output_options(parser)
    add_assemble_options(parser)


def add_assemble_options(parser: argparse.ArgumentParser) -> None:
    """Which records are made."""
    group = parser.add_argument_group("training records")
    group.add_argument(
        "--dataset",
        choices=("codeio", "codeio++"),
        default="codeio++",
        help="codeio: first answers; codeio++: with feedback and revisions (default)",
    )
    group.add_argument("--form", choices=("fields", "messages"), default="fields")
    group.add_argument(
        "--keep",
        choices=("all", "correct"),
        default="all",
        help="all: also what stayed wrong, as in the paper (default)",
    )


def assemble_options_of(args: argparse.Namespace) -> AssembleOptions:
    """The records that the options ask for."""
    return AssembleOptions(dataset=args.dataset, form=args.form, keep=args.keep)


def assemble(args: argparse.Namespace, terminal: Terminal) -> int:
    """Make the training records."""
    steps.refuse_twice(*args.rounds)
    step = open_assemble_step(args.rounds, assemble_options_of(args))
    code = steps.run_shown(terminal, args, step, source=args.rounds[0])
    if not (args.json or args.quiet):
        terminal = steps.beside_results(terminal, args.output)
        if all(map(can_be_read_again, args.rounds)):
            revise.show_rounds(round_counts(args.rounds), terminal)
        else:
            terminal.line("what the rounds came to is not counted: a pipe is read only once")
    return code
