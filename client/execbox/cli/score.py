"""`execbox score`: options, verdicts and their score. How scores come about is in ``dataset``."""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from execbox.cli import steps
from execbox.cli.answer_options import add_answer_options
from execbox.cli.outcomes import ExitCode
from execbox.cli.progress_display import shown_progress
from execbox.cli.services import async_client_of
from execbox.cli.tables import show_counts
from execbox.cli.terminal import Terminal
from execbox.dataset.files.append_log import as_dataset_error
from execbox.dataset.files.destinations import is_stream, open_stream
from execbox.dataset.files.generations import read_generations
from execbox.dataset.scoring import cruxeval, leetcode_o
from execbox.dataset.scoring.cruxeval_answers import fits_other_mode
from execbox.dataset.scoring.score import Interval, Score, score_verified
from execbox.dataset.steps.file_run import run_step
from execbox.dataset.steps.progress import Summary
from execbox.dataset.steps.step import OpenStep
from execbox.dataset.steps.verdicts import VerifyOptions

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = [
    "add_ks_option",
    "add_parser",
    "score_cruxeval",
    "score_leetcode_o",
    "score_predictions",
]

_EPILOG = """\
examples:
  execbox score cruxeval generations.json --samples cruxeval.jsonl --mode output
  execbox prompts cruxeval.jsonl --task cruxeval -o prompts.jsonl      (and infer, to answers.jsonl)
  execbox score cruxeval answers.jsonl --samples cruxeval.jsonl --mode input
  execbox score leetcode-o predictions.jsonl
  execbox score predictions verified.jsonl --k 1,5

exit codes: 0 scored; 1 scored, but some records have no verdict; 2 the caller's mistake; 3 the
service failed"""

_CRUXEVAL = """\
Score CRUXEval generations. Calls are really made; function, prediction and expected value never
meet in one execution. A generation that CRUXEval disqualifies counts as wrong; beside the score
stands what the widespread scorer makes of the same verdicts, which leaves them out. A chat model's
prediction is taken out of [ANSWER] tags, a fenced block, or a completed assertion."""

_LEETCODE_O = """\
Score LeetCode-O predictions: lines of its data with a model's text as "output". A question counts
where all its examples are right."""


def add_parser(commands: Subparsers) -> None:
    """Add `score` and its benchmarks to the command line."""
    parser = commands.add_parser(
        "score",
        help="pass@k of predictions, CRUXEval and LeetCode-O",
        description="pass@k by the unbiased estimator, its 95 %% interval, and failures by kind.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(title="what to score", metavar="KIND", required=True)
    _add_cruxeval(kinds)
    _add_leetcode_o(kinds)
    predictions = steps.new_parser(
        kinds,
        "predictions",
        summary="what verify wrote",
        description="Score what `execbox verify` wrote; infer's ID#1, ID#2 are one problem's.",
        epilog=_EPILOG,
        handler=score_predictions,
    )
    predictions.add_argument("verified", type=Path, metavar="VERIFIED.jsonl")
    _add_common(predictions, ks="1")


def score_cruxeval(args: argparse.Namespace, terminal: Terminal) -> int:
    """Judge all generations, then show their score."""
    terminal = _beside_verdicts(args, terminal)
    steps.refuse_twice(args.generations, args.samples)
    generations = read_generations(args.generations, asked_for=args.mode)
    other = fits_other_mode(generations, mode=args.mode)
    if other is not None:
        terminal.error(
            f"most of these generations {'are' if other == 'input' else 'are no'} calls of f, as "
            f"predictions of the {other} are: is --mode {other} meant?"
        )
    step = cruxeval.open_cruxeval_step(
        async_client_of(args),
        mode=args.mode,
        generations=generations,
        isolation=args.isolation,
        concurrency=args.requests,
    )
    with _judged(args, terminal, step, source=args.samples) as (verdicts, summary):
        _show_score(cruxeval.score_file(verdicts, ks=args.k), args, terminal)
    return _exit_code(summary, terminal)


def score_leetcode_o(args: argparse.Namespace, terminal: Terminal) -> int:
    """Judge all predictions, then show their score."""
    terminal = _beside_verdicts(args, terminal)
    given = {
        name: (getattr(args, f"{name}_field"),)
        for name in ("expected", "question", "difficulty", "language")
        if getattr(args, f"{name}_field") is not None
    }
    step = leetcode_o.open_leetcode_o_step(
        async_client_of(args),
        VerifyOptions(isolation=args.isolation, concurrency=args.requests),
        fields=replace(leetcode_o.Fields(), **given),
        predictions=args.predictions if _is_kept(args.output) else None,
    )
    with _judged(args, terminal, step, source=args.predictions) as (verdicts, summary):
        _show_leetcode(leetcode_o.score_file(verdicts, ks=args.k), args, terminal)
    return _exit_code(summary, terminal)


def score_predictions(args: argparse.Namespace, terminal: Terminal) -> int:
    """Show the score of a verified file."""
    _show_score(score_verified(args.verified, ks=args.k), args, terminal)
    return ExitCode.OK


def _add_cruxeval(kinds: Subparsers) -> None:
    parser = steps.new_parser(
        kinds,
        "cruxeval",
        summary="CRUXEval-I and CRUXEval-O",
        description=_CRUXEVAL,
        epilog=_EPILOG,
        handler=score_cruxeval,
    )
    parser.add_argument(
        "generations",
        type=Path,
        metavar="GENERATIONS",
        help='{"sample_0": ["..."]} as the benchmark has it, or JSONL as infer writes it',
    )
    parser.add_argument(
        "--samples", type=Path, required=True, metavar="CRUXEVAL.jsonl", help="the benchmark"
    )
    parser.add_argument("--mode", choices=("input", "output"), required=True)
    _add_verdict_options(parser)
    _add_common(parser, ks="1,5")


def _add_leetcode_o(kinds: Subparsers) -> None:
    parser = steps.new_parser(
        kinds,
        "leetcode-o",
        summary="LeetCode-O",
        description=_LEETCODE_O,
        epilog=_EPILOG,
        handler=score_leetcode_o,
    )
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS.jsonl")
    defaults = asdict(leetcode_o.Fields())
    for name in ("expected", "question", "difficulty", "language"):
        parser.add_argument(
            f"--{name}-field",
            metavar="PATH",
            help=f"where it is in a line (default: the first of {', '.join(defaults[name])})",
        )
    _add_verdict_options(parser)
    _add_common(parser, ks="1")


def _add_verdict_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE.jsonl",
        help="keep the verdicts, and go on with them after an interruption",
    )
    parser.add_argument("--restart", action="store_true", help="discard what the output holds")
    steps.add_requests_option(parser)
    steps.add_service_options(parser)


def add_ks_option(parser: argparse.ArgumentParser, *, default: str) -> None:
    """``--k``."""
    parser.add_argument(
        "--k", type=_ks, default=_ks(default), metavar="K,K", help=f"of pass@k (default {default})"
    )


def _add_common(parser: argparse.ArgumentParser, *, ks: str) -> None:
    add_ks_option(parser, default=ks)
    add_answer_options(parser, quiet="print no progress, only the score and what went wrong")


def _ks(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isdecimal() and int(part[:9]) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"must be numbers like 1,5,10, not {text!r}")
    return tuple(int(part) for part in parts)


def _beside_verdicts(args: argparse.Namespace, terminal: Terminal) -> Terminal:
    return terminal if args.output is None else steps.beside_results(terminal, args.output)


@contextmanager
def _judged(
    args: argparse.Namespace, terminal: Terminal, step: OpenStep, *, source: Path
) -> Iterator[tuple[Path, Summary]]:
    """The file of verdicts, there as long as it is looked at, and how the run went."""
    with tempfile.TemporaryDirectory() as folder:
        kept = _is_kept(args.output)
        output: Path = args.output if kept else Path(folder) / "verdicts.jsonl"
        with shown_progress(terminal) as listener:
            summary = run_step(
                step, source=source, output=output, restart=args.restart, listener=listener
            )
        if args.output is not None and not kept:
            with as_dataset_error(args.output), io.BufferedWriter(open_stream(args.output)) as to:
                to.write(output.read_bytes())
        if summary.resumed_count and not (args.json or terminal.quiet):
            terminal.line(
                f"{summary.result_count} verdicts in {output}, {summary.resumed_count} of them "
                "from earlier runs"
            )
        yield output, summary


def _is_kept(output: Path | None) -> bool:
    """Whether the verdicts are in a file that another run can go on with."""
    return output is not None and not is_stream(output)


def _exit_code(summary: Summary, terminal: Terminal) -> int:
    if not summary.failures:
        return ExitCode.OK
    counts = ", ".join(f"{reason} {count}" for reason, count in summary.failures.items())
    terminal.error(f"{summary.failure_count} records have no verdict and are not scored: {counts}")
    return ExitCode.NOT_OK


def _show_score(score: Score, args: argparse.Namespace, terminal: Terminal) -> None:
    if args.json:
        terminal.line(json.dumps(asdict(score)))
        return
    terminal.line(
        f"{score.problem_count} problems, {score.generation_count} generations, "
        f"{score.disqualified_count} disqualified (wrong here, left out by the reference scorer)"
    )
    _show_passes(score, terminal)
    _show_outcomes(score, terminal)


def _show_passes(score: Score, terminal: Terminal) -> None:
    for each in score.passes:
        terminal.labelled(
            f"pass@{each.k}: {100 * each.value:.1f}",
            f"   95 % {_range(each.interval)}; "
            f"counted as the reference scorer does: {100 * each.reference_value:.1f}",
            style="bold",
        )
    for k in score.skipped_ks:
        terminal.line(f"pass@{k}: not defined, some problems have fewer than {k} generations")


def _show_outcomes(score: Score, terminal: Terminal) -> None:
    for kind, counts in sorted(score.outcomes.items()):
        terminal.line(f"{kind} prediction:")
        show_counts(terminal, counts, shares=True)


def _show_leetcode(
    score: leetcode_o.LeetCodeScore, args: argparse.Namespace, terminal: Terminal
) -> None:
    if args.json:
        terminal.line(json.dumps(asdict(score)))
        return
    _show_accuracies([("Overall", score.overall), *score.groups.items()], terminal)
    terminal.line(f"no answer found: {score.no_answer:.1%}")
    _show_passes(score.score, terminal)
    _show_outcomes(score.score, terminal)


def _show_accuracies(
    accuracies: Sequence[tuple[str, leetcode_o.Accuracy]], terminal: Terminal
) -> None:
    width = max(len(name) for name, _ in accuracies)
    for name, accuracy in accuracies:
        terminal.line(
            f"{name:<{width}}  questions {100 * accuracy.questions:5.1f} of "
            f"{accuracy.question_count} (95 % {_range(accuracy.interval)})  "
            f"examples {100 * accuracy.examples:5.1f} of {accuracy.example_count}"
        )


def _range(interval: Interval) -> str:
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f}, {interval.method}"
