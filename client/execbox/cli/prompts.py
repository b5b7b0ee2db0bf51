"""`execbox prompts`: its options, with those that `pipeline` shares, and one run of the step."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from execbox.cli import steps
from execbox.cli.outcomes import CommandError
from execbox.cli.terminal import Terminal
from execbox.dataset.scoring.cruxeval_questions import (
    CRUXEVAL_TEMPLATES,
    CruxevalOptions,
    cruxeval_prompts_step,
)
from execbox.dataset.steps.prompts import (
    PromptOptions,
    Templates,
    prompts_step,
    templates_from_file,
)
from execbox.dataset.steps.step import Step

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
  execbox prompts cruxeval.jsonl --task cruxeval -o prompts.jsonl --kinds output

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
        "functions",
        type=Path,
        metavar="FUNCTIONS.jsonl",
        help='functions with their "ios", or CRUXEval\'s samples',
    )
    parser.add_argument(
        "--task",
        choices=("codeio", "cruxeval"),
        default="codeio",
        help="codeio: about pairs (default); cruxeval: the benchmark's, about its samples",
    )
    steps.add_output_options(parser)
    add_prompt_options(parser)


def add_prompt_options(parser: argparse.ArgumentParser) -> None:
    """Which questions are asked, and how."""
    group = parser.add_argument_group("questions")
    group.add_argument(
        "--pairs",
        type=int,
        metavar="N",
        help=f"pairs of each function (default {PromptOptions().pairs_count})",
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
    return PromptOptions(
        pairs_count=PromptOptions().pairs_count if args.pairs is None else args.pairs,
        kinds=_kinds_of(args),
        seed=args.seed,
        show_code=not args.no_code,
        templates=Templates() if args.templates is None else templates_from_file(args.templates),
    )


def prompts(args: argparse.Namespace, terminal: Terminal) -> int:
    """Make the questions."""
    steps.refuse_twice(args.functions, args.templates)
    step = prompts_step(options_of(args)) if args.task == "codeio" else _cruxeval_step(args)
    return steps.run_shown(terminal, args, step, source=args.functions)


def _cruxeval_step(args: argparse.Namespace) -> Step:
    for flag, is_given in (
        ("--pairs", args.pairs is not None),
        ("--seed", args.seed is not None),
        ("--no-code", args.no_code),
    ):
        if is_given:
            raise CommandError(f"{flag} means nothing with --task cruxeval: a sample is one pair")
    templates = CRUXEVAL_TEMPLATES
    if args.templates is not None:
        templates = templates_from_file(args.templates, instead_of=templates)
    return cruxeval_prompts_step(CruxevalOptions(kinds=_kinds_of(args), templates=templates))


def _kinds_of(args: argparse.Namespace) -> tuple[Literal["input", "output"], ...]:
    return ("input", "output") if args.kinds == "both" else (args.kinds,)
