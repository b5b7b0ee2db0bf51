"""``python -m acceptance.hosts NAME``: what holds on this host, as one row of docs/hosts.md.

Runs, one after another, on the host it is started on: the demonstration, the tests every engine
must pass, attack programs, the labelled functions of the determinism check, and the speed of level
``container`` beside a bare loop. What is left out with ``--without``, or needs what the host lacks,
is "not run" in the row, and never passed; only what the row has of the same day, engine, kernel and
Python stays, so that steps can be run one by one. ``scripts/hosts/run.sh`` makes hosts and starts
this in them; ``--page FILE`` writes the page of all rows of ``--rows FOLDER``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from harness.machine import docker_version
from harness.report import table

_ROOT: Final = Path(__file__).resolve().parents[1]
ROWS: Final = _ROOT / "scripts" / "hosts" / "rows"
PAGE: Final = _ROOT / "docs" / "hosts.md"
_STEP_S: Final = 3600.0
"""The longest that one step may take: a guest is up to ten times as slow as its machine."""
_SUMMARY: Final = re.compile(r"^(?:=+ )?((?:\d+ (?:passed|failed|skipped|errors?),? ?)+)", re.M)
_ATTACKS: Final = re.compile(r"^(\d+) of (\d+) passed$", re.M)
NOT_RUN: Final = "not run"
STEPS: Final = ("demo", "conformance", "attacks", "determinism", "speed")
_ATTACK_TEXT: Final = "contamination"
"""A group of them: what one job leaves for the next is what differs most from kernel to kernel."""


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
        self.results[step] = earlier.results[step] if earlier else NOT_RUN
        if earlier:
            self.failed += [line for line in earlier.failed if line.startswith(f"{step}:")]
            self.weaker += earlier.weaker if step == "demo" else []


def main(argv: Sequence[str] | None = None) -> int:
    """Run the steps and write the row; 1 where one failed."""
    parser = argparse.ArgumentParser(prog="python -m acceptance.hosts", description=__doc__)
    parser.add_argument("name", nargs="?", help="of the host, as scripts/hosts/run.sh has it")
    parser.add_argument("--engine", choices=["docker", "bubblewrap"], default="docker")
    parser.add_argument(
        "--refused", action="store_true", help="this engine must be refused, in words"
    )
    parser.add_argument("--made-by", metavar="NAME", help="of the command, where it makes several")
    parser.add_argument("--without", nargs="*", choices=STEPS, default=[], metavar="STEP")
    parser.add_argument("--rows", type=Path, default=ROWS, metavar="FOLDER")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the page, and run nothing")
    arguments = parser.parse_args(argv)
    if arguments.page:
        arguments.page.write_text(page(read_rows(arguments.rows)), "utf-8")
        return 0
    if not arguments.name:
        parser.error("a NAME, or --page FILE")
    row = look(arguments.name, engine=arguments.engine, made_by=arguments.made_by or arguments.name)
    file = arguments.rows / f"{arguments.name}.json"
    earlier = earlier_run(file, row)
    if arguments.refused:
        arguments.without = [step for step in STEPS if step != "demo"]
        row.results["demo"] = _refusal(row)
    arguments.rows.mkdir(parents=True, exist_ok=True)
    for step in STEPS:
        if step in row.results:
            continue
        if step in arguments.without:
            row.take(step, earlier)
        else:
            row.results[step] = _RUNS[step](arguments.engine, row)
        print(f"{arguments.name}: {step}: {row.results[step]}", flush=True)
        # After each: a host that ends, or is ended, has its row so far.
        row.write(file)
    return 1 if row.failed else 0


def look(name: str, *, engine: str, made_by: str) -> Row:
    """What this host is, before anything is run on it."""
    version = f"{'Podman' if _is_podman() else 'Docker'} {docker_version() or 'none'}"
    if engine == "bubblewrap":
        said = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, check=False)
        version = said.stdout.strip() or "bubblewrap none"
    v2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    return Row(
        host=name,
        engine=version,
        kernel=platform.release().split("-")[0],
        cgroups="v2" if v2 else "v1",
        python=platform.python_version(),
        user="root" if os.geteuid() == 0 else "ordinary",
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        command=f"scripts/hosts/run.sh {made_by}",
    )


def earlier_run(file: Path, now: Row) -> Row | None:
    """The row that is there, if it is of the same host on the same day."""
    if not file.exists():
        return None
    there = Row(**json.loads(file.read_text("utf-8")))
    seen = replace(now, results=there.results, weaker=there.weaker, failed=there.failed)
    return there if there == seen else None


def _is_podman() -> bool:
    said = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False)
    return "Podman Engine" in said.stdout


# Steps


def _run(row: Row, step: str, *arguments: str, **environment: str) -> tuple[int, str]:
    """Start one of our programs; what it printed. A failure is noted, with its last lines."""
    began_s = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=_ROOT,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_STEP_S,
            check=False,
        )
        status, text = done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        status, text = 124, (late.stdout or b"").decode(errors="replace")
        text += f"\nended after {time.monotonic() - began_s:.0f} s"
    if status != 0:
        print(text, file=sys.stderr)
        row.failed += [f"{step}: {line}" for line in failures(text)]
    return status, text


def failures(text: str) -> list[str]:
    """The lines that name what failed, or the last one."""
    named = [line for line in text.splitlines() if line.startswith(("FAILED", "ERROR"))]
    last = [line for line in text.splitlines() if line.strip()][-1:]
    return [line[:200] for line in named[:10] or last or ["nothing was printed"]]


def summary(text: str) -> str:
    """pytest's own count, such as ``20 passed, 1 failed``; what it deselected is left out."""
    found = _SUMMARY.findall(text)
    return found[-1].strip(" ,") if found else "no test ran"


def _demo(engine: str, row: Row) -> str:
    status, text = _run(row, "demo", "examples.demo", EXECBOX_ENGINE=engine)
    row.weaker += re.findall(r"^  weaker than Docker: (.*)$", text, re.M)
    return "ok" if status == 0 else f"FAILED ({status})"


def _refusal(row: Row) -> str:
    """What the doctor says of an engine that must be refused."""
    _status, text = _run(row, "demo", "execbox", "doctor", "--json")
    row.failed.clear()
    found = json.loads(text.splitlines()[-1])["findings"]
    (said,) = [each for each in found if each["name"] == "docker engine"]
    if not said["ok"]:
        return f"refused: {said['found']}"
    row.failed.append("demo: the engine was not refused")
    return "FAILED (not refused)"


def _tested(step: str, engine: str, row: Row, *arguments: str) -> str:
    _status, text = _run(
        row,
        step,
        *("pytest", "-q", "-p", "no:cacheprovider", "--color=no", *arguments),
        **{f"EXECBOX_REQUIRE_{engine.upper()}": "1"},
    )
    return summary(text)


def _conformance(engine: str, row: Row) -> str:
    tests = "tests/engines/test_engine_conformance.py"
    return _tested("conformance", engine, row, tests, "-k", engine)


def _determinism(engine: str, row: Row) -> str:
    if engine != "docker":
        return f"{NOT_RUN} (its tests are of the image)"
    return _tested("determinism", engine, row, "tests/determinism/test_labelled.py")


def _attacks(engine: str, row: Row) -> str:
    if engine != "docker" or os.geteuid() != 0:
        return f"{NOT_RUN} (looks at containers as root)"
    arguments = ("--kind", "function", "--only", _ATTACK_TEXT)
    _status, text = _run(row, "attacks", "acceptance.attacks", *arguments)
    found = _ATTACKS.search(text)
    return f"{found[1]} of {found[2]}" if found else "FAILED"


def _speed(engine: str, row: Row) -> str:
    if engine != "docker":
        return NOT_RUN
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "speed.json"
        options = ("--own-network", "--turns", "2", "--count", "40", "--json", str(file))
        status, _text = _run(row, "speed", "benchmarks.containers", *options)
        if status != 0:
            return "FAILED"
        (speed,) = json.loads(file.read_text("utf-8"))
    best_per_s = max(speed["bare_per_s"].values())
    return (
        f"{speed['service_per_s']:.1f} of {best_per_s:.1f} ({speed['ratio']:.2f}); "
        f"{speed['single_p50_ms']:.1f} / {speed['single_p95_ms']:.1f}; load {load:.0f}"
    )


_RUNS: Final[dict[str, Callable[[str, Row], str]]] = {
    "demo": _demo,
    "conformance": _conformance,
    "attacks": _attacks,
    "determinism": _determinism,
    "speed": _speed,
}

# The page


def read_rows(folder: Path) -> list[Row]:
    """All rows that were written there, by name."""
    files = sorted(folder.glob("*.json"))
    return [Row(**json.loads(file.read_text("utf-8"))) for file in files]


def page(rows: Sequence[Row]) -> str:
    """The page, made of the rows and of nothing else."""
    head = ["host", "engine", "kernel, cgroups", "Python", "user", "demo", "conformance"]
    head += ["attacks", "determinism", "containers a second; single call ms", "on"]
    lines = [
        [
            f"`{row.host}`",
            row.engine,
            f"{row.kernel}, {row.cgroups}",
            row.python,
            row.user,
            *(row.results[step] for step in STEPS),
            row.date,
        ]
        for row in rows
    ]
    none = "Nothing on the hosts above" if any(map(_ran, rows)) else "Not known: nothing was run"
    weaker = [f"- `{row.host}`: {each}" for row in rows for each in row.weaker]
    failed = [f"- `{row.host}`: {each}" for row in rows for each in row.failed]
    parts = [
        _ABOUT,
        table(head, lines),
        "## What is weaker, and where\n\nAs the service itself says at its start.",
        "\n".join(weaker) or f"{none}.",
        "## What failed",
        "\n".join(failed) or f"{none}.",
    ]
    return "\n\n".join(parts) + "\n"


def _ran(row: Row) -> bool:
    """Whether a service served there, so that it could fail or say what it lacks."""
    return row.results["conformance"] != NOT_RUN


_ABOUT: Final = """# Hosts

Where execbox was run, and what held there. `scripts/hosts/run.sh NAME` makes the host of that
name of Debian's packages, runs `python -m acceptance.hosts` in it, and writes this page again;
`scripts/hosts/run.sh all` does so for each. A row is of the day in its last column.

- **demo** is `make demo`'s program.
- **conformance** is `tests/engines/test_engine_conformance.py` on that engine.
- **attacks** are the programs of the group *contamination* at both isolation levels; all of them,
  on one host, are in [security-results.md](security-results.md).
- **determinism** is `tests/determinism/test_labelled.py`.
- **containers a second** is what eight clients get at level `container`, of what a bare loop makes
  at the best of one, two, four and six at once, and the ratio; **single call** the 50th and 95th
  percentile of calls with pauses between them; **load** is how many processes wanted one of the
  machine's two cores before it began. Where several did, only the ratio says something.
- `guest-…` has a kernel of its own (user-mode Linux) and one processor, no matter of speed: a fork
  takes 60 ms, and 4 KiB of memory 30 µs. A job that takes memory fast meets its CPU limit there
  first, so the demonstration's `colony_without_end` is a `timeout` and not `memory_exceeded`.

"not run" is what it says."""


if __name__ == "__main__":
    sys.exit(main())
