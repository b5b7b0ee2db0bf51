"""Writing down what a long run found: Markdown tables, numbers, claims, JSON, a plot's file.

Every program of ``benchmarks`` and ``acceptance`` writes with these. How a plot looks is in
``plot_style``; nothing is measured here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[1] / "results"
"""Where reports go that are not told where; not part of the repository."""
Draw = Callable[[Path], None]
"""Writes a plot to a file. Raises ImportError where matplotlib is missing."""


@dataclass(frozen=True)
class Claim:
    """Something that is to hold, and what was found."""

    text: str
    found: str
    holds: bool


@dataclass
class Findings:
    """One measurement: on what, how, the tables, and what holds."""

    name: str
    machine: dict[str, str]
    settings: dict[str, str]
    tables: list[str] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    data: dict[str, object] = field(default_factory=dict)
    """For the JSON: everything that the plot shows."""

    @property
    def hold(self) -> bool:
        """Whether every claim holds."""
        return all(claim.holds for claim in self.claims)

    def as_markdown(self) -> str:
        """The machine, the settings, the tables and the claims."""
        rows = [[claim.text, claim.found, "yes" if claim.holds else "NO"] for claim in self.claims]
        claims = table(["claim", "found", "holds"], rows)
        parts = [facts_text(self.machine), facts_text(self.settings), *self.tables, claims]
        return "\n\n".join(parts) + "\n"

    def write(self, folder: Path, draw: Draw | None = None) -> None:
        """Print it; write it, and the plot if there is one, into the folder."""
        record = {"machine": self.machine, "settings": self.settings, "claims": self.claims}
        write_report(
            folder, self.name, markdown=self.as_markdown(), record=record | self.data, draw=draw
        )


def write_report(
    folder: Path, name: str, *, markdown: str, record: object, draw: Draw | None = None
) -> None:
    """Print the page; write it, the record as JSON, and the plot, under one name."""
    folder.mkdir(parents=True, exist_ok=True)
    print(f"\n{markdown}")
    (folder / f"{name}.md").write_text(markdown, encoding="utf-8")
    (folder / f"{name}.json").write_text(as_json(record), encoding="utf-8")
    if draw is not None:
        draw_if_possible(draw, folder / f"{name}.png")
    print(f"Written to {folder}.")


def draw_if_possible(draw: Draw, path: Path) -> None:
    """Draw it, or say what is missing for it."""
    try:
        draw(path)
    except ImportError:
        print("No plot: matplotlib is missing (pip install 'execbox[benchmarks]').")


def as_json(record: object) -> str:
    """One JSON document, with dataclasses as objects, wherever in it they are."""
    return json.dumps(record, indent=1, default=_fields_of) + "\n"


def _fields_of(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form in a report")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, align: str | None = None) -> str:
    """A Markdown table. ``align`` has a letter for each column, ``l`` or ``r``; without it the
    first column is on the left and all others, numbers, on the right."""
    align = align if align is not None else "l".ljust(len(head), "r")
    rules = ["---" if letter == "l" else "---:" for letter in align]
    lines = [head, rules, *([_cell(text) for text in row] for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def facts_text(facts: Mapping[str, str]) -> str:
    """Names and values in a line."""
    return "; ".join(f"{name}: {value}" for name, value in facts.items())


def number(value: float | None) -> str:
    """Three digits or so; a dash for what was not measured."""
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def ratio(value: float) -> str:
    """How many times as much: more digits say nothing."""
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"
