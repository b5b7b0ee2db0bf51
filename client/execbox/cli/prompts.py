"""`execbox prompts`: its options, with those that `pipeline` shares, and one run of the step."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from execbox.cli import steps
from execbox.cli.terminal import Terminal
from execbox.dataset.steps.prompts import (
    PromptOptions,
    Templates,
    prompts_step,
    templates_from_file,
)

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["add_parser", "add_prompt_options", "options_of", "prompts"]

_DESCRIPTION = """\
Make questions for a model of functions and their pairs: given the input, what is the output, and
given the output, what is an input. The file's order is the order of the functions."""

_EPILOG = f"""\
examples:
  execbox prompts pairs.jsonl -o prompts.jsonl
  execbox prompts pairs.jsonl -o prompts.jsonl --pairs 5 --seed 7 --kinds output
  execbox prompts pairs.jsonl -o prompts.jsonl --templates mine.json

A templates file is a JSON object with any of "output", "input", "code", "system"; $problem,
$requirements, $code, $refcode, $input and $output are filled in.

{steps.RESUMING}"""


def add_parser(commands: Subparsers) -> None:
    """Add `prompts` to the command line."""
    parser = steps.new_parser(
        commands,
        "prompts",
        summary="make input- and output-prediction questions of functions and pairs",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        handler=prompts,
    )
    parser.add_argument(
        "functions", type=Path, metavar="FUNCTIONS.jsonl", help='functions with their "ios"'
    )
    steps.add_output_options(parser)
    add_prompt_options(parser)


def add_prompt_options(parser: argparse.ArgumentParser) -> None:
    """Which questions are asked, and how."""
    group = parser.add_argument_group("questions")
    group.add_argument(
        "--pairs", type=int, default=3, metavar="N", help="pairs of each function (default 3)"
    )
    group.add_argument(
        "--kinds",
        choices=("both", "input", "output"),
        default="both",
        help="what is to be predicted (default both)",
    )
    group.add_argument(
        "--seed", type=int, metavar="N", help="draw the pairs by this seed (default: the first)"
    )
    group.add_argument("--no-code", action="store_true", help="do not show the function's code")
    group.add_argument("--templates", type=Path, metavar="FILE.json", help="other wording")


def options_of(args: argparse.Namespace) -> PromptOptions:
    """The questions that the options ask for."""
    kinds: tuple[Literal["input", "output"], ...] = (
        ("input", "output") if args.kinds == "both" else (args.kinds,)
    )
    return PromptOptions(
        pairs_count=args.pairs,
        kinds=kinds,
        seed=args.seed,
        show_code=not args.no_code,
        templates=Templates() if args.templates is None else templates_from_file(args.templates),
    )


def prompts(args: argparse.Namespace, terminal: Terminal) -> int:
    """Make the questions."""
    step = prompts_step(options_of(args))
    return steps.run_shown(terminal, args, step, source=args.functions)
