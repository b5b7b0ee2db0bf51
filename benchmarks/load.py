"""``python -m benchmarks.load``: many clients, for minutes, single calls at level ``process``.

The clients are tasks of this one process, each with a connection of its own, sending its next call
as soon as it has the answer to its last. What they cost is said beside what the service cost.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from harness.exported import exported
from harness.local_service import LocalService
from harness.measurement import capabilities_of, conclude, machine_of, say
from harness.meters import read_cpu_times, service_resident_mb
from harness.report import RESULTS, Claim, Draw, Findings, number, table
from harness.trend import Trend, trend_of

from benchmarks.callers import Caller, CallFailed, library, raw_caller
from benchmarks.load_numbers import Brief, brief, windows

_RATIO_MAX = 5.0
_GROWTH_FLOOR_MB = 5.0
_SETTLED_SHARE = 0.2
"""The first part of a run, in which caches fill, is not judged for memory."""
_SAMPLE_S = 1.0
_FILLING_MAX_S = 30
_TAIL_S = 60.0
"""After the end, for answers still to come."""


@dataclass
class Run:
    """What the clients and the watch have seen so far; times from the beginning."""

    began_s: float
    sent_count: int = 0
    wrong_count: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    ended_s: list[float] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    queue_s: list[float] = field(default_factory=list)
    sampled_s: list[float] = field(default_factory=list)
    service_mb: list[float] = field(default_factory=list)

    @property
    def lost_count(self) -> int:
        return self.sent_count - len(self.ended_s) - sum(self.errors.values())


@dataclass(frozen=True)
class Costs:
    """CPU seconds by who used them, and how long it all took."""

    took_s: float
    client_s: float
    service_s: float
    containers_s: float | None
    machine_s: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the load, print what came of it, write it down; 1 if a claim does not hold."""
    asked = _parser().parse_args(argv)
    return conclude("benchmarks.load", lambda: _measured(asked), folder=asked.output)


def _measured(asked: argparse.Namespace) -> tuple[Findings, Draw]:
    with LocalService() as service:
        able = capabilities_of(service.config())
        settings = {
            "clients": str(asked.clients),
            "client": asked.client,
            "minutes": f"{asked.minutes:g}",
            "slots": str(able.concurrency),
        }
        findings = Findings("load", machine_of(able), settings)
        run, costs = asyncio.run(_load(service, asked))
    _judge(findings, run, costs)
    return findings, lambda path: _draw(run, path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load",
        description="Single calls at level process from many clients at once.",
    )
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument(
        "--client",
        choices=["raw", "execbox"],
        default="raw",
        help="bytes over a connection, which costs little, or our own AsyncClient (default raw)",
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for what is found")
    return parser


async def _load(service: LocalService, asked: argparse.Namespace) -> tuple[Run, Costs]:
    length_s = asked.minutes * 60
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        if asked.client == "raw":
            callers = [await enter(raw_caller(service.url)) for _ in range(asked.clients)]
        else:
            callers = [
                await enter(library(service.url, connections_max=asked.clients))
            ] * asked.clients
        await callers[0](1)
        await _filled(service.url)
        run = Run(time.monotonic())
        before, own_s = read_cpu_times(service.pid), _own_cpu_s()
        watch = asyncio.create_task(_watch(run, service.pid, length_s))
        ends_s = run.began_s + length_s
        tasks = [
            asyncio.create_task(_client(caller, run, number, ends_s))
            for number, caller in enumerate(callers)
        ]
        done, late = await asyncio.wait(tasks, timeout=length_s + _TAIL_S)
        took_s = time.monotonic() - run.began_s
        used = read_cpu_times(service.pid).since(before)
        watch.cancel()
        for task in late:
            task.cancel()
        for task in done:
            task.result()
    costs = Costs(
        took_s, _own_cpu_s() - own_s, used.service_s or 0.0, used.containers_s, used.machine_s
    )
    return run, costs


async def _filled(url: str) -> None:
    """Wait for the pool: a service that has just started is not what is measured."""
    for _ in range(_FILLING_MAX_S):
        found = await asyncio.to_thread(exported, url)
        if found["execbox_sandboxes_warm"] >= found["execbox_sandboxes_target"]:
            return
        await asyncio.sleep(1)


async def _client(call: Caller, run: Run, number: int, ends_s: float) -> None:
    """One caller's calls, each with an argument of its own, so that no answer fits another."""
    argument = number
    while (began_s := time.monotonic()) < ends_s:
        argument += 1000
        run.sent_count += 1
        try:
            answer = await call(argument)
        except CallFailed as error:
            run.errors[str(error)[:200]] += 1
            await asyncio.sleep(0.1)
            continue
        ended_s = time.monotonic()
        run.wrong_count += answer.output != 2 * argument
        run.latencies_s.append(ended_s - began_s)
        run.ended_s.append(ended_s - run.began_s)
        run.queue_s.append(answer.queue_s)


async def _watch(run: Run, service_pid: int, length_s: float) -> None:
    while True:
        run.sampled_s.append(time.monotonic() - run.began_s)
        run.service_mb.append(service_resident_mb(service_pid))
        if len(run.sampled_s) % 15 == 0:
            rate = len(run.ended_s) / run.sampled_s[-1]
            say(
                f"{run.sampled_s[-1]:.0f} of {length_s:.0f} s: {len(run.ended_s)} answers, "
                f"{rate:.0f} a second, {sum(run.errors.values())} errors, "
                f"service {run.service_mb[-1]:.0f} MB"
            )
        await asyncio.sleep(_SAMPLE_S)


def _own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def memory_trend(sampled_s: Sequence[float], service_mb: Sequence[float]) -> Trend | None:
    """The growth of the service after the time in which its caches fill."""
    skipped = int(len(sampled_s) * _SETTLED_SHARE)
    return trend_of(sampled_s[skipped:], service_mb[skipped:], floor=_GROWTH_FLOOR_MB)


def _judge(findings: Findings, run: Run, costs: Costs) -> None:
    whole, queue = brief(run.latencies_s), brief(run.queue_s)
    trend = memory_trend(run.sampled_s, run.service_mb)
    error_count = sum(run.errors.values())
    findings.tables += [
        _latency_table(whole, queue, rate=whole.count / costs.took_s),
        _cost_table(costs, count=max(1, whole.count)),
    ]
    growth = "too few samples" if trend is None else f"{trend.growth:+.1f} MB in the time judged"
    findings.claims += [
        Claim("no errors", str(error_count), error_count == 0),
        Claim("no lost answers", str(run.lost_count), run.lost_count == 0),
        Claim("no wrong answers", str(run.wrong_count), run.wrong_count == 0),
        Claim(
            f"p99 over p50 under {_RATIO_MAX:g}",
            number(whole.p99_over_p50) if whole.count else "no answers",
            whole.count > 0 and whole.p99_over_p50 < _RATIO_MAX,
        ),
        Claim("memory flat", growth, trend is None or not trend.grows),
    ]
    slices = windows(run.ended_s, run.latencies_s, length_s=max(1.0, costs.took_s / 60))
    findings.data |= {
        "latency": whole.__dict__,
        "queue": queue.__dict__,
        "costs": costs.__dict__,
        "errors": dict(run.errors),
        "over_time": [{"begin_s": one.begin_s} | one.brief.__dict__ for one in slices],
        "memory": {"at_s": run.sampled_s, "service_mb": run.service_mb},
    }


def _latency_table(whole: Brief, queue: Brief, *, rate: float) -> str:
    rows = [
        [name, *map(number, (one.p50_ms, one.p95_ms, one.p99_ms, one.max_ms))]
        for name, one in (("answer", whole), ("of it waiting for a slot", queue))
    ]
    counted = f"{whole.count} answers, {number(rate)} a second.\n\n"
    return counted + table(["latency", "p50 ms", "p95 ms", "p99 ms", "max ms"], rows)


def _cost_table(costs: Costs, *, count: int) -> str:
    cores = len(os.sched_getaffinity(0))
    whole_s = costs.took_s * cores
    rest_s = costs.machine_s - costs.client_s - costs.service_s - (costs.containers_s or 0.0)
    parts = [
        ("clients", costs.client_s),
        ("service", costs.service_s),
        ("containers", costs.containers_s),
        ("all else, the Docker daemon included", rest_s),
    ]
    rows = [
        [name, number(used_s / count * 1000), f"{used_s / whole_s:.0%}"]
        for name, used_s in parts
        if used_s is not None
    ]
    return table(["CPU", "ms a call", "share of the machine"], rows)


def _draw(run: Run, path: Path) -> None:
    from harness.plot_style import ALARM, OTHERS, OURS, picture

    with picture(path, (13, 3.4)) as figure:
        over_time, spread, memory = figure.subplots(1, 3)
        length_s = max(1.0, (run.ended_s[-1] if run.ended_s else 1.0) / 60)
        slices = windows(run.ended_s, run.latencies_s, length_s=length_s)
        begins_s = [one.begin_s for one in slices]
        for name, color in (("p50_ms", OURS), ("p95_ms", OTHERS), ("p99_ms", ALARM)):
            values = [getattr(one.brief, name) for one in slices]
            over_time.plot(begins_s, values, label=name.removesuffix("_ms"), color=color)
        over_time.set(title="latency, ms", xlabel="seconds", ylim=(0, None))
        over_time.legend()
        spread.hist([latency_s * 1000 for latency_s in run.latencies_s], bins=80, color=OURS)
        spread.set(title="answers by latency", xlabel="ms", yscale="log")
        memory.plot(run.sampled_s, run.service_mb, color=OURS)
        memory.set(title="service's resident memory, MB", xlabel="seconds", ylim=(0, None))


if __name__ == "__main__":
    sys.exit(main())
