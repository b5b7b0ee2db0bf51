"""``python -m benchmarks``: measures execbox beside other ways to run the same checks.

This module decides what is measured and in which order; the ways are in ``ways.py``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.corpus_files import DEFAULT_FOLDER, CorpusMissing, read_codeio
from harness.local_service import LocalService, ServiceDidNotStart
from harness.machine import describe_machine, docker_version
from harness.measurement import capabilities_of, say
from harness.meters import containers_memory_bytes
from harness.report import RESULTS, write_report

from benchmarks import single, ways
from benchmarks.peers import SANDBOX_FUSION, SNEKBOX, Peer, over_peer
from benchmarks.series import Series, measure
from benchmarks.speed_report import CODEIO_WAY, FLOOR, SpeedReport
from benchmarks.ways import Way
from benchmarks.work import Check, corpus_checks, trivial_checks

_FAST_ROUNDS = {"trivial": 5, "corpus": 3}
_FAST_PASSES = 3
"""The fast ways take turns, so that what else the machine does meets all of them alike. One pass
more goes before: the floor has imported its packages by then, we import when a function needs it.
"""
_SLOW_TRIVIAL_COUNT = 60
_SPACED_COUNT = 30
_MANY_CALLS_COUNT = 1000


@dataclass(frozen=True)
class Contender:
    """A way, and whether it is fast enough to run all work several times."""

    way: Way
    fast: bool
    service_pid: int | None = None
    works: tuple[str, ...] = ("trivial", "corpus")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the tables, write them and the plot; 1 if something could not run."""
    arguments = _parser().parse_args(argv)
    version = docker_version()
    if version is None:
        print("benchmarks: no Docker daemon answers, and most of this compares with it.")
        return 1
    work = _work(arguments.corpus, arguments.checks)
    others_bytes = containers_memory_bytes()
    try:
        with LocalService() as service:
            able = capabilities_of(service.config())
            report = SpeedReport(describe_machine(able, docker_version=version))
            _measure_single(report, service, image=able.image)
            peers = [
                (peer, url)
                for peer, url in ((SNEKBOX, arguments.snekbox), (SANDBOX_FUSION, arguments.fusion))
                if url is not None
            ]
            with _contenders(
                service, image=able.image, core_count=able.concurrency, peers=peers
            ) as contenders:
                for name, checks in work.items():
                    first, series = _measure_all(
                        contenders, checks, work=name, others_bytes=others_bytes
                    )
                    report.first_passes += first
                    report.series += series
    except ServiceDidNotStart as error:
        print(f"benchmarks: the service did not start:\n{error}", file=sys.stderr)
        return 1
    write_report(
        arguments.output,
        "benchmarks",
        markdown=report.as_markdown(),
        record=report,
        draw=lambda path: _draw(report, path),
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--corpus",
        type=Path,
        default=DEFAULT_FOLDER,
        metavar="FOLDER",
        help="holds codeio_functions.jsonl (default ../shared/corpus); without it only the "
        "trivial function is measured",
    )
    for option, name in (("--snekbox", "snekbox"), ("--fusion", "SandboxFusion")):
        parser.add_argument(option, metavar="URL", help=f"a running {name} to measure beside")
    parser.add_argument("--checks", type=int, default=200, help="of each kind (default 200)")
    parser.add_argument(
        "--output", type=Path, default=RESULTS, help="folder for the tables and the plot"
    )
    return parser


def _work(corpus: Path, count: int) -> dict[str, list[Check]]:
    work = {"trivial": trivial_checks(count)}
    try:
        work["corpus"] = corpus_checks(read_codeio(corpus), count)
    except CorpusMissing as error:
        print(f"benchmarks: {error}\nGoing on with the trivial function only.", file=sys.stderr)
    return work


@contextmanager
def _contenders(
    service: LocalService, *, image: str, core_count: int, peers: Sequence[tuple[Peer, str]]
) -> Iterator[list[Contender]]:
    # Twice as many requests as cores where the work is done by others than the caller.
    twice = 2 * core_count
    with ExitStack() as stack:
        enter = stack.enter_context
        process = enter(ways.over_http(service.url, "process", concurrency=twice))
        batch = enter(ways.over_batch(service.url, "process", concurrency=core_count))
        container = enter(ways.over_http(service.url, "container", concurrency=twice))
        fork = enter(ways.in_one_container(image, "fork", name=FLOOR, worker_count=core_count))
        checker = enter(
            ways.in_one_container(image, "process", name=CODEIO_WAY, worker_count=core_count)
        )
        docker_exec = enter(ways.docker_exec(image, concurrency=twice))
        docker_run = enter(ways.docker_run(image, concurrency=twice))
        here = enter(ways.in_this_process())
        others = [enter(over_peer(peer, url, concurrency=twice)) for peer, url in peers]
        yield [
            *(Contender(other, fast=False) for other in others),
            Contender(batch, fast=True, service_pid=service.pid),
            Contender(process, fast=True, service_pid=service.pid),
            Contender(fork, fast=True),
            Contender(container, fast=False, service_pid=service.pid),
            Contender(checker, fast=False),
            Contender(docker_exec, fast=False),
            Contender(docker_run, fast=False),
            # Never a corpus function: this is not a sandbox.
            Contender(here, fast=True, works=("trivial",)),
        ]


def _measure_all(
    contenders: Sequence[Contender], checks: list[Check], *, work: str, others_bytes: int
) -> tuple[list[Series], list[Series]]:
    """The first pass of each fast way; and for each way the pass of median speed of the others."""
    found: dict[str, list[Series]] = {one.way.name: [] for one in contenders if work in one.works}
    for number in range(1 + _FAST_PASSES):
        for contender in contenders:
            name = contender.way.name
            if name not in found or (number > 0 and not contender.fast):
                continue
            say(f"{work}: {name}")
            slow = work == "trivial" and not contender.fast
            series = measure(
                contender.way,
                checks[:_SLOW_TRIVIAL_COUNT] if slow else checks,
                work=work,
                rounds=_FAST_ROUNDS[work] if contender.fast else 1,
                service_pid=contender.service_pid,
                others_bytes=others_bytes,
            )
            found[name].append(series)
    first = [several.pop(0) for several in found.values() if len(several) > 1]
    return first, [
        sorted(several, key=lambda one: one.per_second)[len(several) // 2]
        for several in found.values()
    ]


def _measure_single(report: SpeedReport, service: LocalService, *, image: str) -> None:
    say(f"single calls, one a second for {_SPACED_COUNT} s")
    url = service.url
    report.latencies += [
        single.spaced_calls(url, "container", count=_SPACED_COUNT, interval_s=1.0),
        single.warm_calls(url),
        single.health_checks(url),
        single.docker_runs(image),
    ]
    say(f"{_MANY_CALLS_COUNT} calls in one request")
    for isolation in ("container", "process"):
        report.many_calls.append(
            single.many_calls(url, isolation, count=_MANY_CALLS_COUNT, service_pid=service.pid)
        )


def _draw(report: SpeedReport, path: Path) -> None:
    from benchmarks.plot import draw

    draw(report, path)


if __name__ == "__main__":
    sys.exit(main())
