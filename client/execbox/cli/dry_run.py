"""`--dry-run` of the commands that ask a model: what they would send, before it costs anything.

Counting is in ``dataset.steps.dry_run``.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from execbox.cli.terminal import Terminal
from execbox.dataset.steps.dry_run import Estimate

__all__ = ["add_dry_run_option", "show_estimate"]


def add_dry_run_option(parser: argparse._ActionsContainer) -> None:
    """``--dry-run``."""
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say how many requests would go to the model and how long they are; send none, and "
        "write nothing",
    )


def show_estimate(estimate: Estimate, args: argparse.Namespace, terminal: Terminal) -> None:
    """As a few lines, or with ``--json`` as one."""
    least, most = estimate.request_count_min, estimate.request_count_max
    answer_tokens_max = None if args.max_tokens is None else most * args.max_tokens
    if args.json:
        line = asdict(estimate) | {
            "dry_run": True,
            "prompt_tokens_about": estimate.prompt_tokens_about,
            "answer_tokens_max": answer_tokens_max,
        }
        terminal.line(json.dumps(line))
        return
    requests = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    terminal.labelled(
        f"{estimate.step}: ", f"{requests} requests would be sent; none was", style="bold"
    )
    terminal.line(f"  questions          {estimate.question_count:>12,}")
    terminal.line(f"  answered already   {estimate.answered_count:>12,}")
    if estimate.unusable_count:
        terminal.line(f"  unusable           {estimate.unusable_count:>12,}")
    terminal.line(_prompts(estimate))
    terminal.line(
        "  answers: as long as the model likes; --max-tokens bounds them"
        if answer_tokens_max is None
        else f"  tokens of answers  {answer_tokens_max:>12,}  at most"
    )


def _prompts(estimate: Estimate) -> str:
    if estimate.prompt_chars is None:
        return "  prompts: their length is known when the pairs have been made"
    first = "" if estimate.request_count_max <= estimate.question_count else ", of first requests"
    return (
        f"  characters         {estimate.prompt_chars:>12,}  of prompts{first}\n"
        f"  tokens of prompts  {estimate.prompt_tokens_about:>12,}  or so, at 4 characters each"
    )
