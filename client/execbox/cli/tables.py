"""Tables of results: drawn by rich on a terminal where it is installed, else by plain columns.

The extra is ``cli``. What the tables say is up to the commands.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from execbox.cli.terminal import Terminal, visible

__all__ = ["Column", "draws_by_rich", "show_counts", "show_table"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column's title; numbers are set to the right."""

    title: str
    is_number: bool = False


def draws_by_rich(terminal: Terminal, *, stream_is_terminal: bool) -> bool:
    """Whether what goes to a stream is drawn: a terminal that can, and rich is installed."""
    return (
        stream_is_terminal and not terminal.is_dumb and importlib.util.find_spec("rich") is not None
    )


def show_counts(terminal: Terminal, counts: Mapping[str, int], *, shares: bool = False) -> None:
    """Counts by reason, the largest first; with ``shares`` also of which part of all they are.

    On a terminal with rich the shares are there in any case, with a bar.
    """
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    total = max(sum(counts.values()), 1)
    if ordered and draws_by_rich(terminal, stream_is_terminal=terminal.out.isatty()):
        _draw_counts(terminal, ordered, total)
        return
    width = max(map(len, counts), default=0)
    for reason, count in ordered:
        share = f"  {count / total:6.1%}" if shares else ""
        terminal.line(f"  {reason:<{width}}  {count:>8}{share}")


def show_table(
    terminal: Terminal, columns: Sequence[Column], rows: Sequence[Sequence[str]]
) -> None:
    """Rows under titles."""
    if draws_by_rich(terminal, stream_is_terminal=terminal.out.isatty()):
        _draw(terminal, columns, rows)
        return
    lines = [[column.title for column in columns], *rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]

    def text(cells: Sequence[str]) -> str:
        placed = [
            f"{cell:>{width}}" if column.is_number else f"{cell:<{width}}"
            for cell, column, width in zip(cells, columns, widths, strict=True)
        ]
        return "  ".join(placed).rstrip()

    terminal.labelled(text(lines[0]), "", style="bold")
    for row in rows:
        terminal.line(text(row))


def _draw_counts(terminal: Terminal, ordered: Sequence[tuple[str, int]], total: int) -> None:
    table = importlib.import_module("rich.table").Table(box=None, padding=(0, 2), show_header=False)
    bar = importlib.import_module("rich.progress_bar").ProgressBar
    text = importlib.import_module("rich.text").Text
    for reason, count in ordered:
        table.add_row(
            text(visible(reason)),
            text(str(count), justify="right"),
            text(f"{count / total:.1%}", justify="right"),
            bar(total=total, completed=count, width=20),
        )
    _print(terminal, table)


def _draw(terminal: Terminal, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    boxes = importlib.import_module("rich.box")
    text = importlib.import_module("rich.text").Text
    table = importlib.import_module("rich.table").Table(box=boxes.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(text(column.title), justify="right" if column.is_number else "left")
    for row in rows:
        table.add_row(*(text(visible(cell)) for cell in row))
    _print(terminal, table)


def _print(terminal: Terminal, drawn: object) -> None:
    console = importlib.import_module("rich.console").Console(
        file=terminal.out, no_color=not terminal.colored, highlight=False, markup=False
    )
    console.print(drawn)
