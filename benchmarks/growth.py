"""``python -m benchmarks.growth``: what an execution costs in batches of ten to a hundred thousand.

Two ways to send them: lines of one ``POST /v1/batch``, and calls of one ``POST /v1/execute``. The
first batch of all, which leases a container, is measured and shown by itself.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.local_service import LocalService
from harness.measurement import capabilities_of, conclude, machine_of, say
from harness.meters import read_cpu_times
from harness.report import RESULTS, Claim, Draw, Findings, number, table

from benchmarks import ways
from benchmarks.load_numbers import fixed_cost, flatness
from benchmarks.single import Connection
from benchmarks.work import request_body, trivial_checks

_SIZES = (10, 100, 1_000, 10_000, 100_000)
_CALLS_MAX = 10_000
_EXECUTIONS_MIN = 1_000
"""A size is measured with several batches, until there are as many executions."""
_TOLERANCE = 0.15
_CHECK = trivial_checks(1)[0]


@dataclass(frozen=True)
class Cost:
    """Of batches of one size: means per execution, over all of them."""

    way: str
    size: int
    batch_count: int
    wall_ms: float
    cpu_ms: float | None
    """The service and all containers; None where the machine does not count it."""


Send = Callable[[int], None]
"""Has so many executions made and waits for all answers. Raises RuntimeError for a wrong one."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write it down; 1 if the costs are not flat."""
    asked = _parser().parse_args(argv)
    return conclude("benchmarks.growth", lambda: _measured(asked), folder=asked.output)


def _measured(asked: argparse.Namespace) -> tuple[Findings, Draw]:
    sizes = [size for size in _SIZES if size <= asked.largest]
    with LocalService() as service:
        able = capabilities_of(service.config())
        settings = {"rounds": str(asked.rounds), "slots": str(able.concurrency)}
        findings = Findings("growth", machine_of(able), settings)
        with ways.over_batch(service.url, "process", concurrency=able.concurrency) as batch:
            sends = {"lines of a batch": _lines(batch), "calls of a request": _calls(service)}
            first = [
                measure(name, send, 10, service.pid, batch_count=1) for name, send in sends.items()
            ]
            costs = _measure_all(sends, sizes, rounds=asked.rounds, pid=service.pid)
    _judge(findings, first, costs)
    return findings, lambda path: _draw(costs, path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth", description="Cost per execution over batch size."
    )
    parser.add_argument("--largest", type=int, default=_SIZES[-1], help="of a batch")
    parser.add_argument(
        "--rounds", type=int, default=3, help="all sizes in turn, so often; the median counts"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for what is found")
    return parser


def _lines(batch: ways.Way) -> Send:
    def send(count: int) -> None:
        # The way repeats its lines: a hundred thousand of them need not be made beforehand.
        rounds = math.ceil(count / 1000)
        runs = batch.run(trivial_checks(count // rounds), rounds)
        if runs.ok_count != count:
            raise RuntimeError(f"{runs.ok_count} of {count} lines were answered with ok")

    return send


def _calls(service: LocalService) -> Send:
    def send(count: int) -> None:
        body = request_body(_CHECK, [{"n": n} for n in range(count)], "process")
        # A connection of its own: between two turns one would be idle for too long to be kept.
        answer = Connection(service.url).request("POST", "/v1/execute", body)
        outputs = [execution["output"] for execution in answer["executions"]]
        if outputs != [2 * n for n in range(count)]:
            raise RuntimeError("an output is wrong or in another's place")

    return send


def _measure_all(
    sends: dict[str, Send], sizes: Sequence[int], *, rounds: int, pid: int
) -> list[Cost]:
    """The median of all rounds for each way and size, taken in turns: noise comes and goes."""
    found: dict[tuple[str, int], list[Cost]] = {}
    for round_number in range(rounds):
        for size in sizes:
            # One batch of the largest size takes minutes, and is its own average.
            if size > _CALLS_MAX and round_number > 0:
                continue
            for name, send in sends.items():
                if name == "calls of a request" and size > _CALLS_MAX:
                    continue
                say(f"round {round_number + 1} of {rounds}: {name}, {size}")
                batch_count = max(1, _EXECUTIONS_MIN // size)
                cost = measure(name, send, size, pid, batch_count=batch_count)
                found.setdefault((name, size), []).append(cost)
    return [
        sorted(several, key=lambda cost: cost.wall_ms)[len(several) // 2]
        for several in found.values()
    ]


def measure(way: str, send: Send, size: int, pid: int, *, batch_count: int) -> Cost:
    """What batches of one size cost, one after the other."""
    before = read_cpu_times(pid)
    began_s = time.monotonic()
    for _ in range(batch_count):
        send(size)
    wall_s = time.monotonic() - began_s
    used = read_cpu_times(pid).since(before)
    count = size * batch_count
    cpu_ms = None
    if used.containers_s is not None:
        cpu_ms = ((used.service_s or 0.0) + used.containers_s) / count * 1000
    return Cost(way, size, batch_count, wall_s / count * 1000, cpu_ms)


def _judge(findings: Findings, first: Sequence[Cost], costs: Sequence[Cost]) -> None:
    head = ["sent as", "size", "batches", "wall ms", "CPU ms"]
    findings.tables += [
        "Per execution:\n\n" + table(head, [_row(cost) for cost in costs]),
        "The first batch of each way, with what is done once:\n\n"
        + table(head, [_row(cost) for cost in first]),
    ]
    for way in dict.fromkeys(cost.way for cost in costs):
        of_way = [cost for cost in costs if cost.way == way]
        for what, attribute in (("wall time", "wall_ms"), ("CPU", "cpu_ms")):
            values = [getattr(cost, attribute) for cost in of_way]
            if None in values:
                continue
            if what == "wall time" and way == "calls of a request":
                # A short one is not worth a second container, a long one runs on all slots.
                continue
            flat = flatness(values, tolerance=_TOLERANCE)
            fixed_ms, each_ms = fixed_cost([cost.size for cost in of_way], values)
            findings.claims.append(
                Claim(
                    f"{way}: {what} an execution within {_TOLERANCE:.0%} of the median",
                    f"{flat.deviation:.0%} off at most; a batch {number(fixed_ms)} ms, "
                    f"each execution {number(each_ms)} ms",
                    flat.is_flat,
                )
            )
    findings.data |= {
        "first": [asdict(cost) for cost in first],
        "costs": [asdict(cost) for cost in costs],
    }


def _row(cost: Cost) -> list[str]:
    cpu = "-" if cost.cpu_ms is None else number(cost.cpu_ms)
    return [cost.way, str(cost.size), str(cost.batch_count), number(cost.wall_ms), cpu]


def _draw(costs: Sequence[Cost], path: Path) -> None:
    from harness.plot_style import OTHERS, OURS, picture

    with picture(path, (9, 3.4)) as figure:
        panels = zip(figure.subplots(1, 2), ("wall_ms", "cpu_ms"), strict=True)
        for axis, attribute in panels:
            for way, color in (("lines of a batch", OURS), ("calls of a request", OTHERS)):
                known = [c for c in costs if c.way == way and getattr(c, attribute) is not None]
                values = [getattr(cost, attribute) for cost in known]
                axis.plot([cost.size for cost in known], values, marker="o", label=way, color=color)
            what = "wall time" if attribute == "wall_ms" else "CPU of service and containers"
            axis.set(
                title=f"{what} per execution, ms", xscale="log", xlabel="executions in a batch"
            )
            axis.set_ylim(bottom=0)
            axis.legend()


if __name__ == "__main__":
    sys.exit(main())
