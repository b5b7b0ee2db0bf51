"""`execbox generate`: its options, with those that `certify` shares, and one run of the step."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from execbox import wire
from execbox.cli import steps
from execbox.cli.services import add_ray_option, add_url_options, spread_client_of
from execbox.cli.terminal import Terminal
from execbox.cli.wire_options import add_limit_options, add_number_option, limits_of
from execbox.dataset.steps.generate import GenerateOptions, open_generate_step
from execbox.dataset.steps.run_options import RunOptions

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["add_parser", "add_run_options", "generate", "run_options_of"]

_LIMITS = ("cpu_time_s", "wall_time_s", "memory_mb")

_DESCRIPTION = """\
Sample inputs for every function with its input generator, run them, and keep the pairs that are
ground truth: the same under another hash seed, clock, entropy and place, within the size rule,
and not None. What is dropped is counted by its reason.

FUNCTIONS.jsonl holds records with refcode, funcname and input_generator, or the raw answers of
CodeI/O's transform step, a text with four sections in "output". The result is the record with
"ios", as CodeI/O's scripts expect it; certificates and the account of what was dropped are in its
meta.execbox."""

_EPILOG = f"""\
examples:
  execbox generate examples/functions.jsonl -o pairs.jsonl
  execbox generate functions.jsonl -o pairs.jsonl --count 20 --runs 4 --seed 7
  execbox generate functions.jsonl -o pairs.jsonl --ray auto

{steps.RESUMING}"""


def add_parser(commands: Subparsers) -> None:
    """Add `generate` to the command line."""
    parser = steps.new_parser(
        commands,
        "generate",
        summary="sample input and output pairs that are ground truth",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        handler=generate,
    )
    parser.add_argument("functions", type=Path, metavar="FUNCTIONS.jsonl")
    steps.add_output_options(parser)
    group = parser.add_argument_group("pairs of each function")
    request, defaults = wire.GenerateRequest, GenerateOptions()
    add_number_option(group, request, "count", default=defaults.count, text="at most")
    add_number_option(
        group, request, "attempts", default=defaults.attempts, text="draws of inputs at most"
    )
    add_number_option(
        group,
        request,
        "give_up_after",
        default=defaults.give_up_after,
        text="draws in a row without a pair, of which one that hangs or eats memory counts ten",
    )
    add_number_option(group, request, "seed", default=defaults.seed, text="of the draws")
    add_run_options(parser)


def generate(args: argparse.Namespace, terminal: Terminal) -> int:
    """Sample the pairs."""
    options = GenerateOptions(
        count=args.count,
        attempts=args.attempts,
        give_up_after=args.give_up_after,
        seed=args.seed,
        run=run_options_of(args),
    )
    step = open_generate_step(spread_client_of(args), options)
    return steps.run_shown(terminal, args, step, source=args.functions)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """How functions are run and what is checked."""
    checks = parser.add_argument_group("checks")
    add_number_option(
        checks,
        wire.DeterminismCheck,
        "runs",
        default=RunOptions().runs,
        text="executions of each input that must agree",
    )
    checks.add_argument(
        "--complexity",
        choices=("codeio", "none"),
        default="codeio",
        help="codeio: drop what is larger than CodeI/O permits (default)",
    )
    checks.add_argument(
        "--prelude",
        choices=("codeio", "none"),
        default="codeio",
        help="names bound before a function's source, where its record does not say (default "
        "codeio, as in CodeI/O's scripts)",
    )
    checks.add_argument(
        "--convert",
        choices=get_args(wire.Conversion),
        default="none",
        help="codeio: sets, bytes, Decimal and numpy values become JSON (default none: dropped)",
    )
    add_limit_options(parser, names=_LIMITS)
    add_number_option(
        parser,
        wire.Limits,
        "job_time_s",
        shown_default=None,
        text="seconds for all executions of one function; without it, as many as all that is "
        "asked for takes at the limits of each",
    )
    service = parser.add_argument_group("service")
    add_url_options(service)
    add_ray_option(service)
    service.add_argument(
        "--isolation",
        choices=get_args(wire.Isolation),
        help="process: one container for many functions, fast; container: one for each (default: "
        "process where the service permits it)",
    )
    service.add_argument(
        "--requests",
        type=int,
        metavar="N",
        help="requests under way at once (default: what keeps the service's slots busy)",
    )


def run_options_of(args: argparse.Namespace) -> RunOptions:
    """How the options want functions run."""
    return RunOptions(
        limits=limits_of(args),
        runs=args.runs,
        complexity=None if args.complexity == "none" else "codeio",
        prelude=args.prelude,
        convert=args.convert,
        isolation=args.isolation,
        concurrency=args.requests,
    )
