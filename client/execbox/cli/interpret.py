"""`execbox interpret`: its options, and one run of the step; the conversation is in ``dataset``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from execbox.cli import steps
from execbox.cli.dry_run import show_estimate
from execbox.cli.infer import add_model_options, infer_options_of, model_of
from execbox.cli.input_files import utf8_text
from execbox.cli.outcomes import ExitCode
from execbox.cli.services import async_client_of
from execbox.cli.terminal import Terminal
from execbox.cli.wire_options import add_limit_options, limits_of
from execbox.dataset.steps.dry_run import estimate_step
from execbox.dataset.steps.interpret import (
    INSTRUCTIONS,
    InterpretOptions,
    interpret_step,
    open_interpret_step,
    question_of,
)

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["add_parser", "interpret"]

_IDLE_TIME_MAX_S = 3600.0
"""What a service takes."""
_LIMITS = ("cpu_time_s", "wall_time_s", "memory_mb", "stdout_bytes")

_DESCRIPTION = """\
Have a model answer questions by running code, as R1-Code-Interpreter does: the block of Python in
its reply is run in the service, and what it printed is the next message, until it says
<<<answer>>> or has used up its blocks. Each record gets the transcript."""

_EPILOG = f"""\
examples:
  execbox interpret questions.jsonl -o answers.jsonl
  execbox interpret questions.jsonl -o answers.jsonl --run-as session --blocks 8
  python examples/scripted_model.py execbox interpret examples/questions.jsonl -o answers.jsonl

QUESTIONS.jsonl holds "question", a text that is put behind the instructions, or "messages", which
are sent as they are; and "expected", if the answer is known. What a failed service or model leaves
is asked again by the same command and never counts as an answer.

{steps.RESUMING}"""


def add_parser(commands: Subparsers) -> None:
    """Add `interpret` to the command line."""
    parser = steps.new_parser(
        commands,
        "interpret",
        summary="have a model answer questions by running code",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        handler=interpret,
    )
    parser.add_argument(
        "questions", type=Path, metavar="QUESTIONS.jsonl", help='records with "question"'
    )
    steps.add_output_options(parser)
    add_model_options(parser)
    group = parser.add_argument_group("running")
    group.add_argument(
        "--blocks", type=int, default=5, metavar="N", help="blocks of each question (default 5)"
    )
    group.add_argument(
        "--run-as",
        choices=("program", "session"),
        default="program",
        help="program: each block by itself (default); session: with the variables of those before",
    )
    group.add_argument(
        "--shown-chars",
        type=int,
        default=4000,
        metavar="N",
        help="of each text that is fed back (default 4000); the record has all of it",
    )
    for name, holds in (("question", "what is asked"), ("expected", "what is right")):
        group.add_argument(
            f"--{name}-field", default=name, metavar="NAME", help=f"{holds} (default {name})"
        )
    group.add_argument(
        "--instructions",
        type=Path,
        metavar="FILE",
        help="other words before the question, with $blocks and $state",
    )
    steps.add_service_options(parser)
    add_limit_options(parser, names=_LIMITS)


def interpret(args: argparse.Namespace, terminal: Terminal) -> int:
    """Hold every conversation."""
    steps.refuse_twice(args.questions, args.instructions)
    model = model_of(args)
    asked = infer_options_of(args, samples_count=1)
    options = InterpretOptions(
        blocks_max=args.blocks,
        run_as=args.run_as,
        limits=limits_of(args),
        isolation=args.isolation,
        instructions=_instructions(args.instructions),
        shown_chars_max=args.shown_chars,
        question_field=args.question_field,
        expected_field=args.expected_field,
        concurrency=asked.concurrency,
        idle_time_s=_idle_time_s(args.answer_timeout_s),
        made_by=asked.made_by,
    )
    if args.dry_run:
        estimate = estimate_step(
            interpret_step(model, async_client_of(args), options),
            source=args.questions,
            output=args.output,
            restart=args.restart,
            messages=lambda value: question_of(value, options),
            requests_max=options.blocks_max + 1,
        )
        show_estimate(estimate, args, terminal)
        return ExitCode.OK
    step = open_interpret_step(model, async_client_of(args), options)
    return steps.run_shown(terminal, args, step, source=args.questions)


def _idle_time_s(answer_timeout_s: float) -> float:
    """How long a session waits for the model, which may be asked again after a time-out."""
    return min(_IDLE_TIME_MAX_S, max(InterpretOptions().idle_time_s, 1.5 * answer_timeout_s))


def _instructions(path: Path | None) -> str:
    return INSTRUCTIONS if path is None else utf8_text(str(path))
