"""Writing down what a long measurement found: tables, JSON and a plot. Measures nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.report import describe_machine
from execbox.wire import Capabilities

RESULTS = Path(__file__).parent / "results"
OURS, OTHERS, ALARM = "#1b6ca8", "#9aa5b1", "#c0504d"


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

    def write(self, folder: Path, draw: Callable[[Path], None]) -> None:
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
        try:
            draw(folder / f"{self.name}.png")
        except ImportError:
            print("No plot: matplotlib is missing (pip install 'execbox[benchmarks]').")
        print(f"Written to {folder}.")


def machine_of(able: Capabilities) -> dict[str, str]:
    """What it was measured on."""
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        version = done.stdout.strip() or "none"
    except FileNotFoundError:
        version = "none"
    return describe_machine(able, docker_version=version)


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
