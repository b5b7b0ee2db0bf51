"""`execbox report`: its options, and one page of a run's files; what is in it is ``report``'s."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from execbox.cli import steps
from execbox.cli.answer_options import add_answer_options
from execbox.cli.outcomes import CommandError, ExitCode
from execbox.cli.progress_display import shown_progress
from execbox.cli.score import add_ks_option
from execbox.cli.terminal import Terminal
from execbox.dataset.files.append_log import as_dataset_error, replacing
from execbox.dataset.files.destinations import is_stream, open_stream
from execbox.dataset.files.results_file import target_of
from execbox.dataset.files.sources import STANDARD_STREAM
from execbox.report.numbers import numbers_of
from execbox.report.page import MARK, page_of
from execbox.report.reading import Report, read_report

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["add_parser", "report"]

_PROBLEMS_SHOWN = 10

_DESCRIPTION = """\
Write one page of HTML of what a run came to: pairs kept, draws rejected and why, causes of
non-determinism, sizes, verdicts, revision rounds, pass@k, times. It holds its pictures and asks
nothing of any other host.

Each FILE may be whatever a step writes (pairs, verified answers of any round, training records,
OUTPUT.errors.jsonl, what --json prints, verdicts of a score) or an answer of the service; what a
line is, is seen by what it holds."""

_EPILOG = """\
examples:
  execbox report out/*.jsonl -o report.html
  execbox report verified-1.jsonl verified-2.jsonl -o rounds.html
  zcat pairs.jsonl.gz | execbox report - -o -

Lines that cannot be used are named, here and on the page, and count for nothing. An output that
is there is replaced where it is such a page, and otherwise left as it is.

exit codes: 0 every line was used; 1 some were not; 2 the caller's mistake"""


def add_parser(commands: Subparsers) -> None:
    """Add `report` to the command line."""
    parser = steps.new_parser(
        commands,
        "report",
        summary="one page of what a run came to, with pictures",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        handler=report,
    )
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="JSONL, plain or gzip, or Parquet; - is standard input",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE.html",
        help="where the page goes; also a pipe or device, and - for standard output",
    )
    add_ks_option(parser, default="1,5,10")
    add_answer_options(parser)


def report(args: argparse.Namespace, terminal: Terminal) -> int:
    """Read the files, write the page, and say what could not be used."""
    steps.refuse_twice(*args.files)
    _check_output(args.output)
    terminal = steps.beside_results(terminal, args.output)
    with shown_progress(terminal) as listener:
        found = read_report(args.files, ks=args.k, listener=listener)
    _write(args.output, page_of(found))
    _show_problems(found, terminal)
    if args.json:
        terminal.line(json.dumps(numbers_of(found), allow_nan=False))
    elif not args.quiet:
        name = "standard output" if args.output == STANDARD_STREAM else str(args.output)
        terminal.labelled("report: ", f"{found.record_count:,} records in {name}", style="good")
    return ExitCode.NOT_OK if found.problem_reasons.total() else ExitCode.OK


def _check_output(output: Path) -> None:
    """Raises ``CommandError`` and ``DatasetError`` for what a page must not be written to."""
    if is_stream(output):
        return
    if output.suffix == ".gz":
        raise CommandError(f"{output}: browsers open no .gz; name a file such as report.html")
    path = target_of(output)
    with as_dataset_error(path):
        if not path.exists() or not path.stat().st_size:
            return
        with path.open("rb") as file:
            begin = file.read(len(MARK.encode()))
    if begin != MARK.encode():
        raise CommandError(
            f"{path}: exists and was not written by this command; move it away, or give a "
            "different --output"
        )


def _write(output: Path, page: str) -> None:
    with as_dataset_error(output):
        if is_stream(output):
            with open_stream(output) as stream:
                left = memoryview(page.encode())
                while left:
                    left = left[stream.write(left) or 0 :]
            return
        target = target_of(output)
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as file:
            file.write(page.encode())


def _show_problems(found: Report, terminal: Terminal) -> None:
    total = found.problem_reasons.total()
    for problem in found.problems[:_PROBLEMS_SHOWN]:
        terminal.error(f"not used: {problem}")
    if total > _PROBLEMS_SHOWN:
        terminal.error(f"and {total - _PROBLEMS_SHOWN:,} more that could not be used")
