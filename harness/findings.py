"""What is around a long measurement: the service it starts, and writing down what it found.

Tables, JSON and a plot. How a plot looks is in ``plot_style``. Measures nothing.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from execbox import Client, ClientConfig
from execbox.wire import Capabilities
from harness.local_service import ServiceDidNotStart
from harness.machine import describe_machine, docker_version

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
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
        return all(claim.holds for claim in self.claims)

    def as_markdown(self) -> str:
        """The machine, the settings, the tables and the claims."""
        lines = ["; ".join(f"{key}: {value}" for key, value in self.machine.items())]
        lines += ["; ".join(f"{key}: {value}" for key, value in self.settings.items())]
        rows = [[claim.text, claim.found, "yes" if claim.holds else "NO"] for claim in self.claims]
        return "\n\n".join([*lines, *self.tables, table(["claim", "found", "holds"], rows)]) + "\n"

    def write(self, folder: Path, draw: Draw) -> None:
        """Print it; write it and the plot into the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        text = self.as_markdown()
        print(f"\n{text}")
        (folder / f"{self.name}.md").write_text(text, encoding="utf-8")
        record = {
            "machine": self.machine,
            "settings": self.settings,
            "claims": [claim.__dict__ for claim in self.claims],
        }
        encoded = json.dumps(record | self.data, indent=1)
        (folder / f"{self.name}.json").write_text(encoded + "\n", encoding="utf-8")
        draw_if_possible(draw, folder / f"{self.name}.png")
        print(f"Written to {folder}.")


def machine_of(able: Capabilities) -> dict[str, str]:
    """What it was measured on."""
    return describe_machine(able, docker_version=docker_version() or "none")


def capabilities_of(config: ClientConfig) -> Capabilities:
    """What a service can do, asked through a connection that is closed again."""
    with Client(config=config) as client:
        return client.capabilities()


def conclude(name: str, measure: Callable[[], tuple[Findings, Draw]], *, folder: Path) -> int:
    """Measure and write it down; the exit code: 1 if a claim fails, 2 if no service started."""
    try:
        findings, draw = measure()
    except ServiceDidNotStart as error:
        print(f"benchmarks.{name}: the service did not start:\n{error}", file=sys.stderr)
        return 2
    findings.write(folder, draw)
    return 0 if findings.hold else 1


def draw_if_possible(draw: Draw, path: Path) -> None:
    """Draw it, or say what is missing for it."""
    try:
        draw(path)
    except ImportError:
        print("No plot: matplotlib is missing (pip install 'execbox[benchmarks]').")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, numbers to the right."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def number(value: float) -> str:
    """Three digits or so."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def say(what: str) -> None:
    """Progress, for whoever waits."""
    print(f"[{time.strftime('%H:%M:%S')}] {what}", file=sys.stderr, flush=True)
