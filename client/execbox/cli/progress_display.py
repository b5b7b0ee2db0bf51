"""Showing how far a run has come, on standard error; the numbers are ``steps.progress``'s.

On a terminal a bar, by rich where that is installed (the extra ``cli``), else one line that is
rewritten; elsewhere a plain line every ``LOG_S`` seconds, so that a log file stays readable.
"""

from __future__ import annotations

import importlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from execbox.cli.tables import draws_by_rich
from execbox.cli.terminal import Terminal, visible
from execbox.dataset.steps.progress import Snapshot

__all__ = ["LOG_S", "Display", "line_of", "shown_progress"]

LOG_S = 10.0
"""Seconds between two lines where standard error is no terminal."""

_REWRITE_S = 0.2
_REASONS_MAX = 6
_CLEAR = "\r\x1b[K"


class Display(Protocol):
    """A ``Listener`` that shows what it is told."""

    def __call__(self, snapshot: Snapshot) -> None: ...

    def clear(self) -> None:
        """Wipe away what is rewritten, so that something else can be written; it comes again."""


@contextmanager
def shown_progress(
    terminal: Terminal, *, clock: Callable[[], float] = time.monotonic
) -> Iterator[Display]:
    """A display for one run or several; what was rewritten is wiped away at the end.

    Where the terminal is quiet nothing is shown.
    """
    interactive = terminal.err.isatty()
    display: Display
    if terminal.quiet:
        display = _Nothing()
    elif draws_by_rich(terminal, stream_is_terminal=interactive):
        display = _Bar(terminal, clock)
    elif interactive and not terminal.is_dumb:
        display = _Line(terminal, clock)
    else:
        display = _Log(terminal, clock)
    try:
        yield display
    finally:
        display.clear()


class _Nothing:
    def __call__(self, snapshot: Snapshot) -> None:
        pass

    def clear(self) -> None:
        pass


class _Log:
    """A line now and then."""

    def __init__(self, terminal: Terminal, clock: Callable[[], float]) -> None:
        self._terminal = terminal
        self._clock = clock
        self._shown_s = clock()

    def __call__(self, snapshot: Snapshot) -> None:
        if self._clock() - self._shown_s < LOG_S:
            return
        self._shown_s = self._clock()
        self._terminal.err.write(_one_line(snapshot) + "\n")
        self._terminal.err.flush()

    def clear(self) -> None:
        pass


class _Line:
    """One line that is rewritten."""

    def __init__(self, terminal: Terminal, clock: Callable[[], float]) -> None:
        self._terminal = terminal
        self._clock = clock
        self._shown_s = float("-inf")

    def __call__(self, snapshot: Snapshot) -> None:
        if self._clock() - self._shown_s < _REWRITE_S:
            return
        self._shown_s = self._clock()
        width = shutil.get_terminal_size().columns - 1
        self._terminal.err.write(_CLEAR + _one_line(snapshot)[:width])
        self._terminal.err.flush()

    def clear(self) -> None:
        self._terminal.err.write(_CLEAR)
        self._terminal.err.flush()


class _Bar:
    """rich's own progress bar, drawn when it is told something; no thread of its own."""

    def __init__(self, terminal: Terminal, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._shown_s = float("-inf")
        self._progress = _rich_progress(terminal)
        self._task: Any = None
        self._step: str | None = None

    def __call__(self, snapshot: Snapshot) -> None:
        if self._clock() - self._shown_s < _REWRITE_S:
            return
        self._shown_s = self._clock()
        if snapshot.step != self._step:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._step = snapshot.step
            self._task = self._progress.add_task(visible(snapshot.step), about="")
        self._progress.update(
            self._task,
            total=snapshot.total_bytes or None,
            completed=snapshot.read_bytes,
            about=visible(" | ".join(_parts(snapshot))).replace("\n", " "),
        )
        self._progress.start()  # Does nothing where it is shown already.
        # A run may be killed at any moment, and must not leave a terminal without its cursor.
        self._progress.console.show_cursor(True)
        self._progress.refresh()

    def clear(self) -> None:
        self._progress.stop()


def _rich_progress(terminal: Terminal) -> Any:
    progress = importlib.import_module("rich.progress")
    column = importlib.import_module("rich.table").Column
    console = importlib.import_module("rich.console").Console(
        file=terminal.err,
        force_terminal=True,
        no_color=terminal.no_color,
        highlight=False,
        markup=False,
    )
    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=20),
        progress.TaskProgressColumn(),
        progress.TextColumn(
            "{task.fields[about]}",
            markup=False,
            table_column=column(no_wrap=True, overflow="ellipsis"),
        ),
        console=console,
        transient=True,
        auto_refresh=False,
        # What a command prints goes through its Terminal, which holds the streams themselves.
        redirect_stdout=False,
        redirect_stderr=False,
    )


def line_of(snapshot: Snapshot) -> str:
    """The snapshot as one line: share, count, rate, and counts by reason."""
    return " | ".join([f"{snapshot.step}: {snapshot.share:4.0%} read", *_parts(snapshot)])


def _one_line(snapshot: Snapshot) -> str:
    return visible(line_of(snapshot)).replace("\n", " ")


def _parts(snapshot: Snapshot) -> list[str]:
    done = sum(snapshot.counts.values()) + sum(snapshot.failures.values())
    parts = [f"{done} done", f"{snapshot.rate_per_s:.1f}/s", f"{snapshot.elapsed_s:.0f} s"]
    if snapshot.counts:
        parts.append(_reasons(snapshot.counts))
    if snapshot.tallies:
        parts.append(_reasons(snapshot.tallies))
    if snapshot.failures:
        parts.append("without result: " + _reasons(snapshot.failures))
    return parts


def _reasons(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    text = ", ".join(f"{reason} {count}" for reason, count in ordered[:_REASONS_MAX])
    return text + (", ..." if len(ordered) > _REASONS_MAX else "")
