"""`execbox pipeline`: its options, one run of the whole chain, and what it came to."""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from execbox import wire
from execbox.cli import assemble, infer, prompts, revise, steps, verify
from execbox.cli.outcomes import ExitCode
from execbox.cli.progress_display import shown_progress
from execbox.cli.terminal import Terminal
from execbox.cli.wire_options import add_number_option, limits_of
from execbox.client import AsyncClient
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
Everything from functions to training records: generate pairs (where the functions have none),
ask a model, verify, let it revise by the feedback, verify again, assemble. Each step's file is
kept in the directory, so that any of them can be looked at, replaced or done again."""

_EPILOG = """\
examples:
  export EXECBOX_MODEL_URL=http://127.0.0.1:8000/v1 EXECBOX_MODEL=my-model
  execbox pipeline examples/functions.jsonl --directory out
  execbox pipeline pairs.jsonl --directory out --rounds 3 --form messages

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
        "--rounds", type=int, default=2, metavar="N", help="answers at most (default 2)"
    )
    parser.add_argument("--request", type=Path, metavar="FILE", help="as of `execbox revise`")
    parser.add_argument("--restart", action="store_true", help="discard what the directory holds")
    steps.add_requests_option(parser)
    steps.add_json_option(parser)
    prompts.add_prompt_options(parser)
    infer.add_model_options(parser)
    verify.add_check_options(parser)
    assemble.add_assemble_options(parser)


def pipeline(args: argparse.Namespace, terminal: Terminal) -> int:
    """Run the chain."""
    options = PipelineOptions(
        rounds_count=args.rounds,
        request=revise.request_of(args.request),
        prompts=prompts.options_of(args),
        infer=infer.infer_options_of(args, samples_count=1),
        verify=verify.check_options_of(args),
        assemble=assemble.assemble_options_of(args),
    )
    generate = None if have_pairs(args.functions) else _generate_step(args)

    def show(stage: Stage) -> None:
        if not args.json:
            steps.show_summary(stage.summary, stage.output, terminal, as_json=False)

    with steps.resumable(terminal), shown_progress(terminal) as listener:
        result = asyncio.run(
            run_pipeline(
                args.functions,
                args.directory,
                model=infer.model_of(args),
                service=AsyncClient(args.url),
                generate=generate,
                options=options,
                restart=args.restart,
                listener=listener,
                on_stage=show,
            )
        )
    _show(result, terminal, as_json=args.json)
    return ExitCode.NOT_OK if result.retryable_count else ExitCode.OK


def _show(result: PipelineResult, terminal: Terminal, *, as_json: bool) -> None:
    if as_json:
        terminal.line(json.dumps(asdict(result), default=str))
        return
    terminal.line()
    revise.show_rounds(result.rounds, terminal)
    terminal.line()
    terminal.labelled("training records: ", str(result.output), style="good")


def _generate_step(args: argparse.Namespace) -> OpenStep:
    run = RunOptions(
        limits=_generate_limits(args),
        prelude=args.prelude,
        convert=args.convert,
        isolation=args.isolation,
        concurrency=args.requests,
    )
    return open_generate_step(AsyncClient(args.url), GenerateOptions(count=args.count, run=run))


def _generate_limits(args: argparse.Namespace) -> wire.Limits:
    """As for checking, but a function that hangs in every draw is given up sooner."""
    limits = limits_of(args).model_dump(exclude={"job_time_s"})
    return RunOptions().limits.model_copy(update=limits)
