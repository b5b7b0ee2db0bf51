"""`execbox verify`: its options, with those that `pipeline` shares, and one run of the step."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from execbox import strict_json, wire
from execbox.cli import steps
from execbox.cli.input_files import read_bytes
from execbox.cli.outcomes import CommandError
from execbox.cli.services import async_client_of
from execbox.cli.terminal import Terminal
from execbox.cli.wire_options import add_limit_options, add_number_option, limits_of
from execbox.dataset.steps.verdicts import VerifyOptions
from execbox.dataset.steps.verify import open_verify_step

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["add_check_options", "add_parser", "check_options_of", "verify"]

ModelT = TypeVar("ModelT", bound=BaseModel)

_LIMITS = ("cpu_time_s", "wall_time_s", "memory_mb")

_DESCRIPTION = """\
Find out what every answer was worth. The answer is taken out of the model's text, an output is
compared with the known one, an input is run; each gets a verdict and feedback for a next turn."""

_EPILOG = f"""\
examples:
  execbox verify answers.jsonl -o verified.jsonl
  execbox verify gens.jsonl -o verified.jsonl --functions pairs.jsonl   (files of CodeI/O's scripts)
  execbox verify answers.jsonl -o verified.jsonl --comparator tolerance --rel 1e-6
  execbox verify answers.jsonl -o verified.jsonl --feedback-templates mine.json

A feedback templates file is a JSON object with any of "correct", "wrong_output",
"infeasible_input", "exception", "timeout" and so on; what can be filled in is in /docs of the
service.

{steps.RESUMING}"""


def add_parser(commands: Subparsers) -> None:
    """Add `verify` to the command line."""
    parser = steps.new_parser(
        commands,
        "verify",
        summary="check a model's predictions and write feedback",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        handler=verify,
    )
    parser.add_argument(
        "answers", type=Path, metavar="ANSWERS.jsonl", help='records with a model\'s "output"'
    )
    parser.add_argument(
        "--functions",
        type=Path,
        metavar="FILE.jsonl",
        help='functions with "ios", where the answers do not carry theirs',
    )
    steps.add_output_options(parser)
    add_check_options(parser)
    steps.add_requests_option(parser)


def add_check_options(parser: argparse.ArgumentParser) -> None:
    """How answers are compared, where and within which limits."""
    group = parser.add_argument_group("checking")
    group.add_argument(
        "--comparator",
        choices=get_args(wire.Comparator),
        default="codeio",
        help="codeio: numbers within 1e-3 whose integer parts agree (default)",
    )
    group.add_argument(
        "--extraction",
        choices=get_args(wire.Extraction),
        default="tolerant",
        help="how the answer is found in a text; strict: by the rule of CodeI/O's scripts",
    )
    add_number_option(group, wire.Tolerance, "rel", text="tolerance, as a part of the number")
    add_number_option(group, wire.Tolerance, "abs", text="tolerance, as a difference")
    group.add_argument(
        "--prelude",
        choices=get_args(wire.Prelude),
        default="codeio",
        help="for records that name none: codeio binds what LeetCode-style code takes for granted",
    )
    group.add_argument(
        "--convert",
        choices=get_args(wire.Conversion),
        default="none",
        help="for records that name none: codeio writes sets, bytes and numpy values as JSON",
    )
    group.add_argument(
        "--feedback-templates", type=Path, metavar="FILE.json", help="other wording of feedback"
    )
    group.add_argument(
        "--reveal-expected",
        action="store_true",
        help="name the right output in the feedback on a wrong one (the next turn may copy it)",
    )
    steps.add_service_options(parser)
    add_limit_options(parser, names=_LIMITS)


def check_options_of(args: argparse.Namespace) -> VerifyOptions:
    """How the options want answers checked."""
    bounds = {name: getattr(args, name) for name in ("rel", "abs")}
    given = {name: value for name, value in bounds.items() if value is not None}
    wanted = args.comparator == "tolerance" or given
    return VerifyOptions(
        comparator=args.comparator,
        extraction=args.extraction,
        tolerance=_model(wire.Tolerance, given, of="--rel, --abs") if wanted else None,
        limits=limits_of(args),
        isolation=args.isolation,
        prelude=args.prelude,
        convert=args.convert,
        feedback_templates=_feedback_templates(args.feedback_templates),
        reveal_expected=args.reveal_expected,
        concurrency=args.requests,
    )


def verify(args: argparse.Namespace, terminal: Terminal) -> int:
    """Check every answer."""
    steps.refuse_twice(args.answers, args.functions, args.feedback_templates)
    step = open_verify_step(async_client_of(args), check_options_of(args), functions=args.functions)
    return steps.run_shown(terminal, args, step, source=args.answers)


def _feedback_templates(path: Path | None) -> wire.FeedbackTemplates | None:
    if path is None:
        return None
    try:
        members = strict_json.decode(read_bytes(str(path)))
    except ValueError as error:
        raise CommandError(f"{path}: not strict JSON: {error}") from error
    return _model(wire.FeedbackTemplates, members, of=str(path))


def _model(model: type[ModelT], members: object, *, of: str) -> ModelT:
    try:
        return model.model_validate(members)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise CommandError(f"{of}: {where}: {first['msg']}") from error
