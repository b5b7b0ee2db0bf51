"""`execbox pipeline`: its options, one run of the whole chain, and what it came to."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from execbox import wire
from execbox.cli import assemble, infer, prompts, revise, steps, verify
from execbox.cli.answer_options import add_answer_options
from execbox.cli.dry_run import show_estimate
from execbox.cli.outcomes import CommandError, ExitCode
from execbox.cli.progress_display import shown_progress
from execbox.cli.services import async_client_of
from execbox.cli.terminal import Terminal
from execbox.cli.wire_options import add_number_option, limits_of
from execbox.dataset.files.append_log import as_dataset_error, replacing
from execbox.dataset.files.sources import can_be_read_again, open_source
from execbox.dataset.steps.certify import open_certify_step
from execbox.dataset.steps.dry_run import Estimate, PairSource, estimate_pipeline
from execbox.dataset.steps.generate import GenerateOptions, open_generate_step
from execbox.dataset.steps.pipeline import (
    PipelineOptions,
    PipelineResult,
    Stage,
    have_pairs,
    run_pipeline,
)
from execbox.dataset.steps.run_options import RunOptions
from execbox.dataset.steps.step import OpenStep

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["add_parser", "pipeline"]

_DESCRIPTION = """\
Everything from functions to training records: generate pairs, or certify those that the functions
have, ask a model, verify, let it revise by the feedback, verify again, assemble. Each step's file
is kept in the directory, so that any of them can be looked at, replaced or done again."""

_EPILOG = """\
examples:
  export EXECBOX_MODEL_URL=http://127.0.0.1:8000/v1 EXECBOX_MODEL=my-model
  execbox pipeline examples/functions.jsonl --directory out
  execbox pipeline pairs.jsonl --directory out --rounds 3 --form messages
  execbox pipeline certified.jsonl --directory out --no-certify

The run can be killed at any moment; the same command goes on where it was.

exit codes: 0 all is done; 1 some answers or verdicts are missing (run it again to try again);
2 the caller's mistake; 3 the service or the model failed (run it again to go on)"""


def add_parser(commands: Subparsers) -> None:
    """Add `pipeline` to the command line."""
    parser = steps.new_parser(
        commands,
        "pipeline",
        summary="the whole chain, from functions to training records",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        handler=pipeline,
    )
    parser.add_argument("functions", type=Path, metavar="FUNCTIONS.jsonl")
    parser.add_argument(
        "--directory", type=Path, required=True, metavar="DIR", help="where every file goes"
    )
    defaults = GenerateOptions()
    add_number_option(
        parser, wire.GenerateRequest, "count", default=defaults.count, text="pairs generated each"
    )
    parser.add_argument(
        "--certify",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="check pairs that exist, as `execbox certify` does, before anything is asked about "
        "them (default); --no-certify takes them as they are",
    )
    parser.add_argument(
        "--rounds", type=int, default=2, metavar="N", help="answers at most (default 2)"
    )
    parser.add_argument("--request", type=Path, metavar="FILE", help="as of `execbox revise`")
    parser.add_argument("--restart", action="store_true", help="discard what the directory holds")
    steps.add_requests_option(parser)
    add_answer_options(parser)
    prompts.add_prompt_options(parser)
    infer.add_model_options(parser)
    verify.add_check_options(parser)
    assemble.add_assemble_options(parser)


def pipeline(args: argparse.Namespace, terminal: Terminal) -> int:
    """Run the chain."""
    steps.refuse_twice(args.functions, args.request, args.templates, args.feedback_templates)
    options = PipelineOptions(
        rounds_count=args.rounds,
        request=revise.request_of(args.request),
        prompts=prompts.options_of(args),
        infer=infer.infer_options_of(args, samples_count=1),
        verify=verify.check_options_of(args),
        assemble=assemble.assemble_options_of(args),
    )
    functions = args.functions
    if not args.dry_run:
        functions = _readable_again(functions, args.directory)
    elif not can_be_read_again(functions):
        raise CommandError(f"{functions}: --dry-run needs a file here, which is read twice")
    has_pairs = have_pairs(functions)
    if args.dry_run:
        show_estimate(_estimate(args, options, functions, has_pairs=has_pairs), args, terminal)
        return ExitCode.OK
    make_pairs = _certify_step(args) if has_pairs else _generate_step(args)

    with steps.resumable(terminal), shown_progress(terminal) as display:

        def show(stage: Stage) -> None:
            display.clear()
            if not args.json:
                steps.show_summary(stage.summary, stage.output, terminal, as_json=False)

        result = asyncio.run(
            run_pipeline(
                functions,
                args.directory,
                model=infer.model_of(args),
                service=async_client_of(args),
                make_pairs=None if has_pairs and not args.certify else make_pairs,
                options=options,
                restart=args.restart,
                listener=display,
                on_stage=show,
            )
        )
    _show(result, terminal, as_json=args.json)
    return ExitCode.NOT_OK if result.retryable_count else ExitCode.OK


def _estimate(
    args: argparse.Namespace, options: PipelineOptions, functions: Path, *, has_pairs: bool
) -> Estimate:
    return estimate_pipeline(
        PairSource(
            functions=functions,
            generated_count=None if has_pairs else args.count,
            may_be_dropped=args.certify,
        ),
        args.directory,
        prompts=options.prompts,
        rounds_count=options.rounds_count,
        restart=args.restart,
    )


def _show(result: PipelineResult, terminal: Terminal, *, as_json: bool) -> None:
    if as_json:
        terminal.line(json.dumps(asdict(result), default=str))
        return
    if terminal.quiet:
        return
    terminal.line()
    if not result.rounds:
        terminal.line(
            f"nothing was asked yet: {result.retryable_count} of the functions have no pairs, "
            "because the service failed or does not permit what they need, and questions are "
            "numbered by functions; the same command goes on"
        )
        return
    revise.show_rounds(result.rounds, terminal)
    terminal.line()
    terminal.labelled("training records: ", str(result.output), style="good")


def _readable_again(functions: Path, directory: Path) -> Path:
    """The functions' file, or a copy of a pipe: it is looked at before it is worked on."""
    if can_be_read_again(functions):
        return functions
    copy: Path = directory / "functions.jsonl"
    with open_source(functions) as source, as_dataset_error(copy):
        directory.mkdir(parents=True, exist_ok=True)
        with replacing(copy) as file:
            shutil.copyfileobj(source.file, file)
    return copy


def _generate_step(args: argparse.Namespace) -> OpenStep:
    options = GenerateOptions(count=args.count, run=_run_options(args))
    return open_generate_step(async_client_of(args), options)


def _certify_step(args: argparse.Namespace) -> OpenStep:
    return open_certify_step(async_client_of(args), _run_options(args))


def _run_options(args: argparse.Namespace) -> RunOptions:
    return RunOptions(
        limits=_pair_limits(args),
        prelude=args.prelude,
        convert=args.convert,
        isolation=args.isolation,
        concurrency=args.requests,
    )


def _pair_limits(args: argparse.Namespace) -> wire.Limits:
    """As for checking, but for the time of all executions together, which goes with the pairs."""
    return wire.Limits.model_validate(limits_of(args).model_dump(exclude={"job_time_s"}))
