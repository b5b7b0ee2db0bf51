"""Showing how far a run has come, on standard error; the numbers are ``steps.progress``'s.

On a terminal one line that is rewritten, elsewhere a plain line every ``LOG_S`` seconds, so that
a log file stays readable.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from execbox.cli.terminal import Terminal, visible
from execbox.dataset.steps.progress import Listener, Snapshot, unheard

__all__ = ["LOG_S", "line_of", "shown_progress"]

LOG_S = 10.0
"""Seconds between two lines where standard error is no terminal."""

_REWRITE_S = 0.2
_REASONS_MAX = 6
_CLEAR = "\r\x1b[K"


@contextmanager
def shown_progress(
    terminal: Terminal, *, clock: Callable[[], float] = time.monotonic
) -> Iterator[Listener]:
    """A listener for one run or several; what was rewritten is wiped away at the end.

    Where the terminal is quiet nothing is shown.
    """
    if terminal.quiet:
        yield unheard
        return
    interactive = terminal.err.isatty()
    shown_s = clock() if not interactive else float("-inf")

    def show(snapshot: Snapshot) -> None:
        nonlocal shown_s
        if clock() - shown_s < (_REWRITE_S if interactive else LOG_S):
            return
        shown_s = clock()
        text = visible(line_of(snapshot)).replace("\n", " ")
        if interactive:
            width = shutil.get_terminal_size().columns - 1
            terminal.err.write(_CLEAR + text[:width])
        else:
            terminal.err.write(text + "\n")
        terminal.err.flush()

    try:
        yield show
    finally:
        if interactive:
            terminal.err.write(_CLEAR)
            terminal.err.flush()


def line_of(snapshot: Snapshot) -> str:
    """The snapshot as one line: share, count, rate, and counts by reason."""
    done = sum(snapshot.counts.values()) + sum(snapshot.failures.values())
    parts = [
        f"{snapshot.step}: {snapshot.share:4.0%} read",
        f"{done} done",
        f"{snapshot.rate_per_s:.1f}/s",
        f"{snapshot.elapsed_s:.0f} s",
    ]
    if snapshot.counts:
        parts.append(_reasons(snapshot.counts))
    if snapshot.tallies:
        parts.append(_reasons(snapshot.tallies))
    if snapshot.failures:
        parts.append("without result: " + _reasons(snapshot.failures))
    return " | ".join(parts)


def _reasons(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    text = ", ".join(f"{reason} {count}" for reason, count in ordered[:_REASONS_MAX])
    return text + (", ..." if len(ordered) > _REASONS_MAX else "")
