"""What the commands over JSONL files share: their options, and how a finished run is shown.

What each step does is in ``execbox.dataset``; the display while it runs in ``progress_display``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from execbox import wire
from execbox.cli.answer_options import add_answer_options
from execbox.cli.outcomes import CommandError, ExitCode
from execbox.cli.progress_display import shown_progress
from execbox.cli.services import add_url_options
from execbox.cli.tables import show_counts
from execbox.cli.terminal import Terminal
from execbox.dataset.files.destinations import is_standard_output, is_stream
from execbox.dataset.files.resume import errors_path
from execbox.dataset.files.sources import STANDARD_STREAM
from execbox.dataset.steps.file_run import run_step
from execbox.dataset.steps.progress import Summary
from execbox.dataset.steps.step import OpenStep, Step

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = [
    "RESUMING",
    "add_output_options",
    "add_requests_option",
    "add_service_options",
    "beside_results",
    "new_parser",
    "refuse_twice",
    "resumable",
    "run_shown",
    "show_summary",
]

RESUMING = """\
The run can be killed at any moment; the same command goes on where it was. Lines that cannot be
used, and records without a result, are in OUTPUT.errors.jsonl with the reason. Any input may be
- (standard input), gzip or Parquet; an output that is no file (-, a pipe) cannot be gone on with,
and what has no result is told on standard error.

exit codes: 0 every record has a result; 1 some have none; 2 the caller's mistake; 3 the service
or the model failed (run the same command again to go on)"""


def new_parser(
    commands: Subparsers,
    name: str,
    *,
    summary: str,
    description: str,
    epilog: str,
    handler: Callable[[argparse.Namespace, Terminal], int],
) -> argparse.ArgumentParser:
    """A command's parser, in the form that all of them have."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(handler=handler)
    return parser


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """``--output``, ``--resume``, ``--restart``, ``--json`` and ``--quiet``."""
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE.jsonl",
        help="where results go; also FILE.jsonl.gz, FILE.parquet, a pipe or device, and - for "
        "standard output",
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--resume", action="store_true", help="go on where an earlier run stopped (the default)"
    )
    choice.add_argument(
        "--restart", action="store_true", help="discard what the output holds and begin anew"
    )
    add_answer_options(parser)


def add_service_options(parser: argparse.ArgumentParser) -> None:
    """Which service, and how it isolates."""
    group = parser.add_argument_group("service")
    add_url_options(group)
    group.add_argument(
        "--isolation",
        choices=get_args(wire.Isolation),
        help="container: one for each job; process: one for many (default: the fastest permitted)",
    )


def add_requests_option(parser: argparse.ArgumentParser) -> None:
    """``--requests``."""
    parser.add_argument(
        "--requests",
        type=int,
        metavar="N",
        help="requests to the service at once (default: what keeps its slots busy)",
    )


def refuse_twice(*sources: Path | None) -> None:
    """Raise ``CommandError`` where standard input is to be several files at once."""
    if sources.count(STANDARD_STREAM) > 1:
        raise CommandError("- is standard input, which can be only one of the files")


def run_shown(
    terminal: Terminal, args: argparse.Namespace, step: Step | OpenStep, *, source: Path
) -> int:
    """Run a step over one file with its progress shown, then its summary; the exit code."""
    streamed = is_stream(args.output)
    terminal = beside_results(terminal, args.output)

    with resumable(terminal, streamed=streamed), shown_progress(terminal) as display:

        def tell(failure: Mapping[str, object]) -> None:
            display.clear()
            terminal.failure(failure)

        summary = run_step(
            step,
            source=source,
            output=args.output,
            restart=args.restart,
            listener=display,
            on_failure=tell,
        )
    if not summary.line_count:
        terminal.error(f"{source}: holds no records: it is empty")
    show_summary(summary, args.output, terminal, as_json=args.json)
    return ExitCode.NOT_OK if summary.failure_count else ExitCode.OK


def beside_results(terminal: Terminal, output: Path) -> Terminal:
    """The terminal, all on standard error where ``output`` is standard output.

    The results are there; what is said about them must not come between.
    """
    return replace(terminal, out=terminal.err) if is_standard_output(output) else terminal


@contextmanager
def resumable(terminal: Terminal, *, streamed: bool = False) -> Iterator[None]:
    """Says, when the user interrupts, that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        again = "begin again" if streamed else "go on"
        terminal.error(f"stopped; run the same command again to {again}")
        raise


def show_summary(summary: Summary, output: Path, terminal: Terminal, *, as_json: bool) -> None:
    """Counts by reason; with ``as_json`` as one line; nothing but failures where it is quiet."""
    errors = None if is_stream(output) else str(errors_path(output))
    if as_json:
        line = asdict(summary) | {"output": str(output), "errors": errors}
        terminal.line(json.dumps(line))
        return
    if terminal.quiet:
        if summary.failures:
            listed = f"listed in {errors}" if errors else "listed above"
            terminal.error(f"{summary.failure_count} records without a result, {listed}")
        return
    earlier = f", {summary.resumed_count} of them from earlier runs" * bool(summary.resumed_count)
    terminal.labelled(
        f"{summary.step}: ",
        f"{summary.result_count} results in {_shown_name(output)}{earlier}, "
        f"{summary.elapsed_s:.1f} s",
        style="good",
    )
    show_counts(terminal, summary.counts)
    if summary.tallies:
        terminal.line("made of")
        show_counts(terminal, summary.tallies)
    if summary.failures:
        again = (
            f", {summary.retryable_count} of them are tried again by the same command"
            if summary.retryable_count
            else ""
        )
        terminal.labelled(
            f"{summary.failure_count} without a result",
            f", listed {f'in {errors}' if errors else 'above'}{again}",
            style="bad",
        )
        show_counts(terminal, summary.failures)


def _shown_name(output: Path) -> str:
    return "standard output" if output == STANDARD_STREAM else str(output)
