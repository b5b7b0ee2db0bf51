"""Rows of docs/hosts.md, and the page that is made of them; nothing is run here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

from harness.report import table

_ROOT: Final = Path(__file__).resolve().parents[1]
ROWS: Final = _ROOT / "scripts" / "hosts" / "rows"
PAGE: Final = _ROOT / "docs" / "hosts.md"
NOT_RUN: Final = "not run"
STEPS: Final = ("demo", "conformance", "attacks", "determinism", "tests", "speed")


@dataclass
class Row:
    """What was seen on one host."""

    host: str
    engine: str
    kernel: str
    cgroups: str
    python: str
    user: str
    date: str
    command: str
    results: dict[str, str] = field(default_factory=dict)
    """By step; ``not run`` where it was left out."""
    weaker: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """Lines that begin with the step's name and a colon."""

    def write(self, file: Path) -> None:
        """As it is so far: steps that have not been reached were not run."""
        results = {step: self.results.get(step, NOT_RUN) for step in STEPS}
        file.write_text(json.dumps(asdict(replace(self, results=results))), "utf-8")

    def take(self, step: str, earlier: Row | None) -> None:
        """What an earlier run saw of a step, its failures included; without one, ``not run``."""
        self.results[step] = earlier.results.get(step, NOT_RUN) if earlier else NOT_RUN
        if earlier:
            self.failed += [line for line in earlier.failed if line.startswith(f"{step}:")]
            self.weaker += earlier.weaker if step == "demo" else []


def earlier_run(file: Path, now: Row) -> Row | None:
    """The row that is there, if it is of the same host on the same day."""
    if not file.exists():
        return None
    there = Row(**json.loads(file.read_text("utf-8")))
    seen = replace(now, results=there.results, weaker=there.weaker, failed=there.failed)
    return there if there == seen else None


def read_rows(folder: Path) -> list[Row]:
    """All rows that were written there, by name."""
    files = sorted(folder.glob("*.json"))
    return [Row(**json.loads(file.read_text("utf-8"))) for file in files]


def page(rows: Sequence[Row]) -> str:
    """The page, made of the rows and of nothing else."""
    head = ["host", "engine", "kernel, cgroups", "Python", "user", "demo", "conformance"]
    head += ["attacks", "determinism", "tests", "containers a second; single call ms", "on"]
    lines = [
        [
            f"`{row.host}`",
            row.engine,
            f"{row.kernel}, {row.cgroups}",
            row.python,
            row.user,
            *(row.results.get(step, NOT_RUN) for step in STEPS),
            row.date,
        ]
        for row in rows
    ]
    none = "Nothing on the hosts above" if any(map(_ran, rows)) else "Not known: nothing was run"
    weaker = dict.fromkeys(each for row in rows for each in row.weaker)
    failed = [f"- `{row.host}`: {each}" for row in rows for each in row.failed]
    parts = [
        _ABOUT,
        table(head, lines),
        "## What is weaker, and where\n\nAs the service itself says at its start.",
        "\n".join(f"- {_hosts_with(each, rows)}: {each}" for each in weaker) or f"{none}.",
        "## What failed",
        "\n".join(failed) or f"{none}.",
    ]
    return "\n\n".join(parts) + "\n"


def _hosts_with(weakness: str, rows: Sequence[Row]) -> str:
    return ", ".join(f"`{row.host}`" for row in rows if weakness in row.weaker)


def _ran(row: Row) -> bool:
    """Whether a service served there, so that it could fail or say what it lacks."""
    return row.results["conformance"] != NOT_RUN


_ABOUT: Final = """# Hosts

Where execbox was run, and what held there. `scripts/hosts/run.sh NAME` makes the host of that
name of Debian's packages (or Ubuntu's), runs `python -m acceptance.hosts` in it, and writes this
page again; `scripts/hosts/run.sh all` does so for each. A row is of the day in its last column.

- **demo** is `make demo`'s program.
- **conformance** is `tests/engines/test_engine_conformance.py` on that engine.
- **attacks** are the programs of the group *contamination* at both isolation levels: the
  repository's own, which are 34 runs, and on a host that has the shared list of attack programs
  beside the checkout those too, which makes 56. "P1: answered after" below is an answer that came
  later than it may, as it does where other work has the machine; what an attack may not reach is
  a different condition, which is named where it does not hold. All of them, on one host, are in
  [security-results.md](security-results.md). "Looked at from inside" are tests that need neither
  root nor a container: as an ordinary user the repository's own programs of that group, each with
  an honest call beside it and one after it; on bubblewrap what two jobs see of each other, and on a
  host that has the shared list all programs of it.
- **determinism** is `tests/determinism/test_labelled.py`. A cause is looked for only so long:
  beside other work, a load of 25 to 50 on two cores, nine functions were found not to be
  deterministic, as they must be, and their causes stayed `unknown`.
- **tests** are what `make test` runs, without coverage. "Those of seven folders, no engine" are
  of `tests/answers`, `dataset`, `judge`, `operations`, `sandboxes`, `scheduling` and `service`,
  "of four" of the last four; of them those that need no Docker and measure no time.
- **containers a second** is what eight clients get at level `container`, of what a bare loop makes
  at the best of one, two, four and six at once, and the ratio; **single call** the 50th and 95th
  percentile of calls with pauses between them; **load** is how many processes wanted one of the
  machine's two cores before it began. Where several did, only the ratio says something.
- `guest-…` has a kernel of its own (user-mode Linux) and one processor, no matter of speed: a fork
  takes 60 ms, and 4 KiB of memory 30 µs. A job that takes memory fast meets its CPU limit there
  first: at the limit of 1 s, the demonstration's `colony_without_end` is a `timeout` and not
  `memory_exceeded`. So calls have more of it there, and of attacks and determinism a share is run,
  which the cell names beside what it took: one attack of each of the five groups at both levels,
  and one labelled function of each cause. Beside other work on two cores (a load of 25 to 40) the
  demonstration had not ended in a guest after 15 minutes; beside none it takes three to four.
- `bare-…` is such a guest with `make`, a network and a daemon's setting that leaves out NAT, for
  which its kernel has no table. There `make demo` is the first thing that is run: it installs
  Python's `venv` and Docker, makes the base image of packages, since none can be pulled there, and
  builds the sandbox image.

"not run" is what it says; a host of the script that has no row was not run either."""
