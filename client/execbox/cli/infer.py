"""`execbox infer`: its options, the model that they name, and one run of the step."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from execbox import strict_json
from execbox._model_endpoint import ModelEndpoint
from execbox.cli import steps
from execbox.cli.dry_run import add_dry_run_option, show_estimate
from execbox.cli.outcomes import CommandError, ExitCode
from execbox.cli.terminal import Terminal
from execbox.config import model_config_from_env
from execbox.dataset.steps.dry_run import estimate_step
from execbox.dataset.steps.infer import InferOptions, infer_step, open_infer_step
from execbox.dataset.steps.model import CallableModel, Model

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["add_model_options", "add_parser", "infer", "infer_options_of", "model_of"]

_DESCRIPTION = """\
Ask a model every question: any OpenAI-compatible endpoint, or a Python function from messages to
text. Failures are retried with growing pauses, Retry-After and rate-limit headers are obeyed, and
a question that stays without an answer is listed, never dropped."""

_EPILOG = f"""\
examples:
  export EXECBOX_MODEL_URL=http://127.0.0.1:8000/v1 EXECBOX_MODEL=my-model
  execbox infer prompts.jsonl -o answers.jsonl --temperature 0.7 --max-tokens 4096
  execbox infer prompts.jsonl -o answers.jsonl --samples 10 --concurrency 64
  execbox infer prompts.jsonl -o answers.jsonl --option 'reasoning_effort="low"'
  execbox infer prompts.jsonl -o answers.jsonl --model-callable my_module:answer

The endpoint's key is read from EXECBOX_MODEL_API_KEY, never from the command line.

{steps.RESUMING}"""


def add_parser(commands: Subparsers) -> None:
    """Add `infer` to the command line."""
    parser = steps.new_parser(
        commands,
        "infer",
        summary="ask a model every question",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        handler=infer,
    )
    parser.add_argument(
        "prompts", type=Path, metavar="PROMPTS.jsonl", help='records with "messages"'
    )
    steps.add_output_options(parser)
    add_model_options(parser)
    parser.add_argument(
        "--samples", type=int, default=1, metavar="N", help="answers to each question (default 1)"
    )


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Which model, how it is sampled, and how many questions at once."""
    group = parser.add_argument_group("model")
    group.add_argument("--model-url", metavar="URL", help="default: EXECBOX_MODEL_URL")
    group.add_argument("--model", metavar="NAME", help="default: EXECBOX_MODEL")
    group.add_argument(
        "--model-callable",
        metavar="MODULE:FUNCTION",
        help="ask this Python function instead of an endpoint; it runs here, unisolated",
    )
    group.add_argument("--temperature", type=float, metavar="N")
    group.add_argument("--top-p", type=float, metavar="N")
    group.add_argument("--max-tokens", type=int, metavar="N")
    group.add_argument(
        "--option",
        action="append",
        default=[],
        type=_option,
        metavar="NAME=JSON",
        help="any further member of the request; can be repeated",
    )
    group.add_argument(
        "--answer-timeout-s", type=float, default=600.0, metavar="N", help="default 600"
    )
    group.add_argument(
        "--concurrency", type=int, default=16, metavar="N", help="questions at once (default 16)"
    )
    add_dry_run_option(group)


def model_of(args: argparse.Namespace) -> Model:
    """The model that the options name; not open yet."""
    if args.model_callable is not None:
        return _callable(args.model_callable)
    config = model_config_from_env(
        args.model_url,
        model=args.model,
        answer_timeout_s=args.answer_timeout_s,
        fallback=args.settings.model,
    )
    return ModelEndpoint(config, sampling=_sampling(args))


def infer_options_of(args: argparse.Namespace, *, samples_count: int) -> InferOptions:
    """How often and how many at once, with what makes the answers what they are."""
    if args.model_callable is not None:
        made_by: dict[str, object] = {"model_callable": args.model_callable}
    else:
        model = model_config_from_env(
            args.model_url, model=args.model, fallback=args.settings.model
        ).model
        made_by = {"model": model, "sampling": _sampling(args)}
    return InferOptions(samples_count=samples_count, concurrency=args.concurrency, made_by=made_by)


def infer(args: argparse.Namespace, terminal: Terminal) -> int:
    """Ask every question."""
    model = model_of(args)
    options = infer_options_of(args, samples_count=args.samples)
    if args.dry_run:
        estimate = estimate_step(
            infer_step(model, options),
            source=args.prompts,
            output=args.output,
            restart=args.restart,
        )
        show_estimate(estimate, args, terminal)
        return ExitCode.OK
    return steps.run_shown(terminal, args, open_infer_step(model, options), source=args.prompts)


def _sampling(args: argparse.Namespace) -> dict[str, object]:
    named = {name: getattr(args, name) for name in ("temperature", "top_p", "max_tokens")}
    given = {name: value for name, value in named.items() if value is not None}
    return {**given, **dict(args.option)}


def _option(text: str) -> tuple[str, object]:
    name, separator, value = text.partition("=")
    if not separator or not name or name in ("model", "messages", "stream"):
        raise argparse.ArgumentTypeError(
            f"must be NAME=JSON, and neither model, messages nor stream: {text}"
        )
    try:
        return name, strict_json.decode(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{name}: not strict JSON: {error}") from error


def _callable(text: str) -> CallableModel:
    module_name, separator, name = text.partition(":")
    if not separator:
        raise CommandError(f"--model-callable must be MODULE:FUNCTION, not {text}")
    # As with `python -m`, but behind what is installed, which a file here must not hide.
    here = os.getcwd()
    if "" not in sys.path and here not in sys.path:
        sys.path.append(here)
    try:
        function = getattr(importlib.import_module(module_name), name)
    except Exception as error:  # the module is the caller's, and may raise anything
        problem = f"{type(error).__name__}: {error}"
        raise CommandError(f"--model-callable {text}: cannot be loaded: {problem}") from error
    if not callable(function):
        raise CommandError(f"--model-callable {text}: is not a function")
    return CallableModel(function, name=text)
