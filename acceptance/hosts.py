"""``python -m acceptance.hosts NAME``: what holds on this host, as one row of docs/hosts.md.

Runs, one after another, on the host it is started on: the demonstration, the tests every engine
must pass, attack programs, the labelled functions of the determinism check, all tests, and the
speed of level ``container`` beside a bare loop. What is left out with ``--without``, or needs what
the host lacks, is "not run" in the row, and never passed; only what the row has of the same day,
engine, kernel and Python stays, so that steps can be run one by one. With ``--share``, for a host
that is too slow for all, the long steps are short, and the row says so and what they took.
``scripts/hosts/run.sh`` makes hosts and starts this in them; ``--page FILE`` writes the page of all
rows of ``--rows FOLDER``. What a row is, is in ``host_rows``.
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
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from harness.machine import docker_version

from acceptance.host_rows import NOT_RUN, ROWS, STEPS, Row, earlier_run, page, read_rows

_ROOT: Final = Path(__file__).resolve().parents[1]
_STEP_S: Final = 7200.0
"""The longest that one step may take: a guest is up to ten times as slow as its machine."""
_SUMMARY: Final = re.compile(r"^(?:=+ )?((?:\d+ (?:passed|failed|skipped|errors?),? ?)+)", re.M)
_ATTACKS: Final = re.compile(r"^(\d+) of (\d+) passed$", re.M)
_NAMING: Final = ("FAILED", "ERROR", "NOT as expected")
"""How the lines begin in which pytest, the attacks and the demonstration name what failed."""
_ATTACK_TEXT: Final = "contamination"
"""A group of them: what one job leaves for the next is what differs most from kernel to kernel."""
_FILLING_MEMORY: Final = "fresh"
"""In the name of one of them, which meets its CPU limit where a page of memory takes 30 µs."""
_ATTACKS_INSIDE: Final = {
    "docker": ("tests/sandbox/test_attacks.py", "-k", _ATTACK_TEXT),
    "bubblewrap": ("tests/engines/test_two_jobs_on_bubblewrap.py",),
}
"""Tests that look for the same from inside a sandbox. To look from outside takes root, and a
container."""
_SHARED_ON_BUBBLEWRAP: Final = "tests/engines/test_shared_attacks_on_bubblewrap.py"
_TESTS_SHARE: Final = (
    "answers",
    "dataset",
    "judge",
    "operations",
    "sandboxes",
    "scheduling",
    "service",
)
"""The folders of tests that depend on the host's kernel, Python and clock most; of these, those
that need no Docker engine and measure no time."""
_OF_THE_PAGE: Final = (
    "tests/acceptance/test_acceptance_hosts.py::"
    "test_page_in_the_documentation_is_the_one_that_the_rows_give"
)
"""Fails while rows are being made, from which the page is written at the end."""
_SLOW_CPU_TIME_S: Final = 10
"""For a call of the demonstration, in which a page of memory may take 30 µs."""


@dataclass(frozen=True)
class Done:
    """How one of our programs ended."""

    status: int
    text: str
    took_s: float


@dataclass(frozen=True)
class Host:
    """What the steps are run on, and the row they write."""

    engine: str
    row: Row
    share: bool = False
    made_demo: Done | None = None
    """``make demo`` on a host that had nothing, which was run before this could be."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the steps and write the row; 1 where one failed."""
    parser = _parser()
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
        row.results["demo"] = _refusal(Host(arguments.engine, row))
    host = Host(
        arguments.engine,
        row,
        share=arguments.share,
        made_demo=_made_demo(*arguments.made_demo) if arguments.made_demo else None,
    )
    arguments.rows.mkdir(parents=True, exist_ok=True)
    for step in STEPS:
        if step in row.results:
            continue
        if step in arguments.without:
            row.take(step, earlier)
        else:
            row.results[step] = _RUNS[step](host)
        print(f"{arguments.name}: {step}: {row.results[step]}", flush=True)
        # After each: a host that ends, or is ended, has its row so far.
        row.write(file)
    return 1 if row.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m acceptance.hosts", description=__doc__)
    parser.add_argument("name", nargs="?", help="of the host, as scripts/hosts/run.sh has it")
    parser.add_argument("--engine", choices=["docker", "bubblewrap"], default="docker")
    parser.add_argument(
        "--refused", action="store_true", help="this engine must be refused, in words"
    )
    parser.add_argument("--made-by", metavar="NAME", help="of the command, where it makes several")
    parser.add_argument("--without", nargs="*", choices=STEPS, default=[], metavar="STEP")
    parser.add_argument(
        "--share",
        action="store_true",
        help="one attack of each group, one labelled function of each cause, the tests of seven "
        "folders, and a demonstration with more CPU time",
    )
    parser.add_argument(
        "--made-demo",
        nargs=3,
        metavar=("STATUS", "SECONDS", "FILE"),
        help="how make demo ended here before, what it took, and where what it printed is",
    )
    parser.add_argument("--rows", type=Path, default=ROWS, metavar="FOLDER")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the page, and run nothing")
    return parser


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


def _is_podman() -> bool:
    said = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False)
    return "Podman Engine" in said.stdout


# Steps


def _run(host: Host, step: str, *arguments: str, **environment: str) -> Done:
    """Start one of our programs. A failure is noted, with its last lines."""
    began_s = time.monotonic()
    try:
        ended = subprocess.run(
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
        status, text = ended.returncode, ended.stdout
    except subprocess.TimeoutExpired as late:
        status, text = 124, (late.stdout or b"").decode(errors="replace")
        text += f"\nended after {time.monotonic() - began_s:.0f} s"
    done = Done(status, text, time.monotonic() - began_s)
    _note(host, step, done)
    return done


def _note(host: Host, step: str, done: Done) -> None:
    if done.status != 0:
        print(done.text, file=sys.stderr)
        host.row.failed += [f"{step}: {line}" for line in failures(done.text)]


def _made_demo(status: str, took_s: str, file: str) -> Done:
    return Done(int(status), Path(file).read_text("utf-8", errors="replace"), float(took_s))


def failures(text: str) -> list[str]:
    """The lines that name what failed, or the last one."""
    named = [line for line in text.splitlines() if line.startswith(_NAMING)]
    last = [line for line in text.splitlines() if line.strip()][-1:]
    return [line[:200] for line in named[:10] or last or ["nothing was printed"]]


def summary(text: str) -> str:
    """pytest's own count, such as ``20 passed, 1 failed``; what it deselected is left out."""
    found = _SUMMARY.findall(text)
    return found[-1].strip(" ,") if found else "no test ran"


def with_share(counted: str, what: str, took_s: float) -> str:
    """A result that says what was left out of it, and what the rest took."""
    return f"{counted} ({what}; {took_s:.0f} s)"


def _demo(host: Host) -> str:
    if host.made_demo:
        done = host.made_demo
        _note(host, "demo", done)
    else:
        more = ("--cpu-time-s", str(_SLOW_CPU_TIME_S)) if host.share else ()
        done = _run(host, "demo", "examples.demo", *more, EXECBOX_ENGINE=host.engine)
    host.row.weaker += re.findall(r"^  weaker than Docker: (.*)$", done.text, re.M)
    result = "ok" if done.status == 0 else f"FAILED ({done.status})"
    if not host.share:
        return result
    what = "make demo from nothing, " if host.made_demo else ""
    return with_share(result, f"{what}{_SLOW_CPU_TIME_S} s of CPU a call", done.took_s)


def _refusal(host: Host) -> str:
    """What the doctor says of an engine that must be refused."""
    done = _run(host, "demo", "execbox", "doctor", "--json")
    host.row.failed.clear()
    found = json.loads(done.text.splitlines()[-1])["findings"]
    (said,) = [each for each in found if each["name"] == "docker engine"]
    if not said["ok"]:
        return f"refused: {said['found']}"
    host.row.failed.append("demo: the engine was not refused")
    return "FAILED (not refused)"


def _tested(step: str, host: Host, *arguments: str) -> Done:
    return _run(
        host,
        step,
        *("pytest", "-q", "-p", "no:cacheprovider", "--color=no", *arguments),
        **{f"EXECBOX_REQUIRE_{host.engine.upper()}": "1"},
    )


def _conformance(host: Host) -> str:
    tests = "tests/engines/test_engine_conformance.py"
    return summary(_tested("conformance", host, tests, "-k", host.engine).text)


def _determinism(host: Host) -> str:
    if host.engine != "docker":
        return f"{NOT_RUN} (its tests are of the image)"
    short = ("-k", "first_function_of_each_cause") if host.share else ()
    done = _tested("determinism", host, "tests/determinism/test_labelled.py", *short)
    if host.share:
        return with_share(summary(done.text), "a function of each cause", done.took_s)
    return summary(done.text)


def _attacks(host: Host) -> str:
    if host.engine != "docker" or os.geteuid() != 0:
        return _attacks_inside(host)
    which = ("--each-group", "1") if host.share else ("--only", _ATTACK_TEXT)
    done = _run(host, "attacks", "acceptance.attacks", "--kind", "function", *which)
    found = _ATTACKS.search(done.text)
    result = f"{found[1]} of {found[2]}" if found else "FAILED"
    return with_share(result, "one of each group", done.took_s) if host.share else result


def _attacks_inside(host: Host) -> str:
    tests, what = _ATTACKS_INSIDE[host.engine], "looked at from inside"
    if host.engine == "bubblewrap" and not host.share:
        tests += (_SHARED_ON_BUBBLEWRAP,)
    elif host.engine == "docker" and host.share:
        tests = (*tests[:-1], f"{_ATTACK_TEXT} and not {_FILLING_MEMORY}")
        what += ", without what fills memory"
    done = _tested("attacks", host, *tests)
    return with_share(summary(done.text), what, done.took_s)


def _tests(host: Host) -> str:
    """As ``make test`` starts them, without coverage, which takes a third of the time."""
    at_once = ("--numprocesses", "2", "--dist", "loadfile")
    if host.share:
        folders = [f"tests/{name}" for name in _TESTS_SHARE]
        done = _tested("tests", host, *at_once, "-m", "not docker and not alone", *folders)
        return with_share(summary(done.text), "those of seven folders, no engine", done.took_s)
    done = _tested("tests", host, *at_once, "--deselect", _OF_THE_PAGE, "tests")
    return summary(done.text)


def _speed(host: Host) -> str:
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "speed.json"
        options = ("--own-network", "--turns", "2", "--count", "40", "--json", str(file))
        done = _run(host, "speed", "benchmarks.containers", "--engine", host.engine, *options)
        if done.status != 0:
            return "FAILED"
        (speed,) = json.loads(file.read_text("utf-8"))
    best_per_s = max(speed["bare_per_s"].values())
    return (
        f"{speed['service_per_s']:.1f} of {best_per_s:.1f} ({speed['ratio']:.2f}); "
        f"{speed['single_p50_ms']:.1f} / {speed['single_p95_ms']:.1f}; load {load:.0f}"
    )


_RUNS: Final[dict[str, Callable[[Host], str]]] = {
    "demo": _demo,
    "conformance": _conformance,
    "attacks": _attacks,
    "determinism": _determinism,
    "tests": _tests,
    "speed": _speed,
}


if __name__ == "__main__":
    sys.exit(main())
