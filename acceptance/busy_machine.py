"""``python -m acceptance.busy_machine``: are verdicts the same on a quiet and on a busy machine?

Every published pair of the CodeI/O sample is run twice by one service: without and with processes
beside it that do nothing but burn CPU. Judging is in ``verdicts``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.corpus_files import DEFAULT_FOLDER, CodeioFunction, CorpusMissing, read_codeio
from harness.exported import exported
from harness.local_service import LocalService
from harness.measurement import capabilities_of, conclude, machine_of, say
from harness.report import RESULTS, Claim, Draw, Findings, number, table

from acceptance.verdicts import (
    Difference,
    Key,
    Verdict,
    differences,
    not_deterministic_functions,
    unexcused,
    verdict_of,
)
from execbox import AsyncClient, ExecboxError
from execbox.wire import Call, Function, Isolation

_DETERMINISM_PAGE = Path(__file__).resolve().parents[1] / "docs" / "determinism.md"
_SHOWN_COUNT = 40
# Ends by itself when this program does, however it does.
_BURNER = "import os, sys\nwhile os.getppid() == int(sys.argv[1]):\n"
_BURNER += "    for _ in range(10**6):\n        pass\n"
_COUNTERS = {
    "run again alone": "execbox_executions_alone_total",
    "throttled, s": "execbox_throttled_seconds_total",
    "sandboxes lost": "execbox_sandboxes_lost_total",
}


@dataclass
class Pass:
    """One run over the corpus."""

    name: str
    took_s: float = 0.0
    verdicts: dict[Key, Verdict] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    counted: dict[str, float] = field(default_factory=dict)


def main(argv: Sequence[str] | None = None) -> int:
    """Run both passes, print what differs; 1 if anything does that the code cannot explain."""
    asked = _parser().parse_args(argv)
    try:
        functions = read_codeio(asked.corpus)[: asked.functions]
    except CorpusMissing as error:
        print(f"acceptance.busy_machine: {error}", file=sys.stderr)
        return 2
    return conclude(
        "acceptance.busy_machine", lambda: _measured(functions, asked), folder=asked.output
    )


def _measured(
    functions: Sequence[CodeioFunction], asked: argparse.Namespace
) -> tuple[Findings, Draw]:
    excused = not_deterministic_functions(_DETERMINISM_PAGE)
    with LocalService() as service:
        able = capabilities_of(service.config())
        settings = {
            "functions": str(len(functions)),
            "burners": str(asked.burners),
            "slots": str(able.concurrency),
            "isolation": asked.isolation,
        }
        findings = Findings("busy_machine", machine_of(able), settings)
        bench = _Bench(service, asked.isolation, concurrency=2 * able.concurrency)
        quiet = bench.run("quiet", functions)
        with burners(asked.burners):
            busy = bench.run("busy", functions)
    _judge(findings, quiet, busy, excused)
    return findings, lambda path: _draw(quiet, busy, path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m acceptance.busy_machine",
        description="Verdicts on the public sample with and without load beside the service.",
    )
    parser.add_argument(
        "--corpus", type=Path, default=DEFAULT_FOLDER, help="folder of codeio_functions.jsonl"
    )
    parser.add_argument("--functions", type=int, help="only so many, from the first (default all)")
    parser.add_argument("--burners", type=int, default=4, help="CPU-burning processes (default 4)")
    parser.add_argument("--isolation", choices=["container", "process"], default="process")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for what is found")
    return parser


@contextmanager
def burners(count: int) -> Iterator[list[int]]:
    """Processes that use all the CPU they get, inside the ``with`` block; their process ids."""
    command = [sys.executable, "-c", _BURNER, str(os.getpid())]
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


class _Bench:
    def __init__(self, service: LocalService, isolation: Isolation, *, concurrency: int) -> None:
        self._service = service
        self._isolation = isolation
        self._concurrency = concurrency

    def run(self, name: str, functions: Sequence[CodeioFunction]) -> Pass:
        """Every call of every function once."""
        found = Pass(name)
        before = self._counters()
        began_s = time.monotonic()
        asyncio.run(self._run_all(found, functions))
        found.took_s = time.monotonic() - began_s
        after = self._counters()
        found.counted = {label: after[label] - before[label] for label in _COUNTERS}
        return found

    async def _run_all(self, found: Pass, functions: Sequence[CodeioFunction]) -> None:
        left = list(reversed(functions))
        async with AsyncClient(config=self._service.config()) as client:

            async def worker() -> None:
                while left:
                    await self._run_one(client, found, left.pop())
                    done_count = len(functions) - len(left)
                    if done_count % 25 == 0:
                        say(f"{found.name}: {done_count} of {len(functions)} functions begun")

            async with asyncio.TaskGroup() as group:
                for _ in range(self._concurrency):
                    group.create_task(worker())

    async def _run_one(self, client: AsyncClient, found: Pass, function: CodeioFunction) -> None:
        asked = Function(code=function.code, entry_point=function.entry_point)
        calls = [Call(kwargs=given) for given, _published in function.pairs]
        try:
            answer = await client.execute(asked, calls, isolation=self._isolation)
        except ExecboxError as error:
            found.failures.append(f"{function.number}: {type(error).__name__}: {error}")
            return
        for index, execution in enumerate(answer.executions):
            found.verdicts[function.number, index] = verdict_of(execution)
            if execution.usage is not None:
                found.wall_s.append(execution.usage.wall_time_s)
                found.cpu_s.append(execution.usage.cpu_time_s)

    def _counters(self) -> dict[str, float]:
        values = exported(self._service.url)
        return {label: values.get(name, 0.0) for label, name in _COUNTERS.items()}


def _judge(findings: Findings, quiet: Pass, busy: Pass, excused: frozenset[int]) -> None:
    differing = differences(quiet.verdicts, busy.verdicts)
    inexcusable = unexcused(differing, not_deterministic=excused)
    failures = quiet.failures + busy.failures
    cores = len(os.sched_getaffinity(0))
    findings.tables += [
        _pass_table(quiet, busy),
        _excused_text(excused, count=len(differing) - len(inexcusable)),
        _difference_text(inexcusable),
    ]
    if failures:
        findings.tables.append("No answer:\n\n" + "\n".join(f"- {text}" for text in failures))
    share = f"{len(inexcusable)} of {len(quiet.verdicts)} calls differ"
    findings.claims += [
        Claim(f"same verdicts under load, {cores} cores", share, not inexcusable),
        Claim("every function answered", f"{len(failures)} were not", not failures),
    ]
    findings.data |= {
        "passes": [_as_record(one) for one in (quiet, busy)],
        "differences": [
            {"function": one.key[0], "call": one.key[1]}
            | {"quiet": str(one.quiet), "busy": str(one.busy)}
            | {"excused": one not in inexcusable}
            for one in differing
        ],
    }


def _excused_text(excused: frozenset[int], *, count: int) -> str:
    names = ", ".join(map(str, sorted(excused)))
    listed = f"Not deterministic by docs/determinism.md: functions {names}."
    return f"{listed} {count} of their calls differ."


def _as_record(one: Pass) -> Mapping[str, object]:
    return {
        "name": one.name,
        "took_s": one.took_s,
        "statuses": Counter(verdict.status for verdict in one.verdicts.values()),
        "wall_over_cpu": sum(one.wall_s) / max(sum(one.cpu_s), 1e-9),
    } | one.counted


def _pass_table(quiet: Pass, busy: Pass) -> str:
    statuses = sorted(
        {verdict.status for one in (quiet, busy) for verdict in one.verdicts.values()}
    )
    rows = [["seconds", number(quiet.took_s), number(busy.took_s)]]
    rows += [["wall over CPU time", *(_wall_over_cpu(one) for one in (quiet, busy))]]
    rows += [
        [label, number(quiet.counted[label]), number(busy.counted[label])] for label in _COUNTERS
    ]
    for status in statuses:
        counts = (
            sum(verdict.status == status for verdict in one.verdicts.values())
            for one in (quiet, busy)
        )
        rows.append([f"calls that ended `{status}`", *map(str, counts)])
    return table(["", "quiet", "busy"], rows)


def _wall_over_cpu(one: Pass) -> str:
    return number(sum(one.wall_s) / max(sum(one.cpu_s), 1e-9))


def _difference_text(found: Sequence[Difference]) -> str:
    if not found:
        return "No other call differs."
    lines = [f"- {one.key[0]}, call {one.key[1]}: {one.quiet} | {one.busy}" for one in found]
    return "Calls that differ, quiet and busy:\n\n" + "\n".join(lines[:_SHOWN_COUNT])


def _draw(quiet: Pass, busy: Pass, path: Path) -> None:
    from harness.plot_style import OTHERS, OURS, picture

    with picture(path, (9, 3.4)) as figure:
        spread, counts = figure.subplots(1, 2)
        for one, color in ((busy, OTHERS), (quiet, OURS)):
            spread.scatter(
                [s * 1000 for s in one.cpu_s],
                [s * 1000 for s in one.wall_s],
                s=6,
                alpha=0.5,
                color=color,
                label=one.name,
            )
        spread.set(xscale="log", yscale="log", xlabel="CPU time, ms", ylabel="wall time, ms")
        spread.set_title("executions")
        spread.legend()
        statuses = sorted({verdict.status for verdict in quiet.verdicts.values()})
        for offset, one, color in ((-0.2, quiet, OURS), (0.2, busy, OTHERS)):
            found = Counter(verdict.status for verdict in one.verdicts.values())
            places = [place + offset for place in range(len(statuses))]
            values = [found[status] for status in statuses]
            bars = counts.barh(places, values, height=0.38, color=color, label=one.name)
            counts.bar_label(bars, padding=2, fontsize=8)
        counts.set_yticks(range(len(statuses)), statuses)
        counts.set(xscale="log")
        counts.set_title("calls by status")
        counts.legend()


if __name__ == "__main__":
    sys.exit(main())
