"""``python -m benchmarks.programs``: what a program costs, beside a function call and other ways.

    python -m benchmarks.programs [--requests 300] [--cases 10000] [--output FOLDER]

Single requests at level ``process``, function and program in turns; ``docker run`` of the same
program; a new interpreter for each program inside one container, which is how SandboxFusion runs
them. Then many cases of one program in one request, with the memory of service and containers.
Exits with 1 if a program costs more than 1.3 times a function call, or memory is not flat.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from harness.local_service import LocalService, ServiceDidNotStart
from harness.machine import describe_machine, docker_version
from harness.measurement import capabilities_of
from harness.meters import containers_memory_bytes, read_cpu_times, resident_mb
from harness.report import RESULTS, Claim, Findings, number, ratio, table, write_report

from benchmarks.series import percentile
from benchmarks.single import Connection

PROGRAM = "print(42)\n"
COST_RATIO_MAX = 1.3
GROWTH_MB_MAX = 16.0
"""Of the containers, and of the service beyond what the answer itself holds."""
_FUNCTION_BODY = {
    "function": {"code": "def main_solution():\n    return 42\n"},
    "calls": [{"args": []}],
    "isolation": "process",
}
_PROGRAM_BODY = {"program": {"code": PROGRAM}, "isolation": "process"}
_TURN = 25
_WARM_UP = 20
_DOCKER_RUNS = 10
_PROCESSES = 50
_FEW_CASES = 1000
_SAMPLE_S = 0.1
_NEW_PROCESSES = """
import json, resource, subprocess, sys, time
program, count = json.load(sys.stdin)
open("/tmp/program.py", "w").write(program)
taken_s = []
for _ in range(count):
    began_s = time.monotonic()
    subprocess.run(["python3", "/tmp/program.py"], capture_output=True, check=True)
    taken_s.append(time.monotonic() - began_s)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([taken_s, (used.ru_utime + used.ru_stime) / count]))
"""


@dataclass
class Way:
    """Single runs one after the other: their times, and CPU time where it was counted."""

    name: str
    taken_s: list[float] = field(default_factory=list)
    job_cpu_s: list[float] = field(default_factory=list)
    """Inside, as each answer says."""
    all_cpu_s: float | None = None
    """Of service and containers, all runs together."""

    @property
    def p50_ms(self) -> float:
        return percentile(self.taken_s, 50) * 1000

    @property
    def job_cpu_ms(self) -> float | None:
        return statistics.mean(self.job_cpu_s) * 1000 if self.job_cpu_s else None

    @property
    def all_cpu_ms(self) -> float | None:
        return None if self.all_cpu_s is None else self.all_cpu_s / len(self.taken_s) * 1000


@dataclass(frozen=True)
class ManyCases:
    """One request of ``count`` cases, and the most memory that was held meanwhile."""

    count: int
    case_ms: float
    service_mb: float
    containers_mb: float
    answer_mb: float


def single_runs(url: str, *, count: int, service_pid: int) -> tuple[Way, Way]:
    """Function and program in turns, so that the machine's other load meets both alike."""
    connection = Connection(url)
    ways = Way("a function call"), Way("a program")
    requests = (
        ("/v1/execute", json.dumps(_FUNCTION_BODY).encode(), "executions"),
        ("/v1/run", json.dumps(_PROGRAM_BODY).encode(), "runs"),
    )
    for path, body, _key in requests:
        for _ in range(_WARM_UP):
            connection.request("POST", path, body)
    for _ in range(max(1, count // _TURN)):
        for way, (path, body, key) in zip(ways, requests, strict=True):
            _add_turn(way, partial(_one, connection, path, body=body, key=key), service_pid)
    return ways


def _one(connection: Connection, path: str, *, body: bytes, key: str) -> Any:
    return connection.request("POST", path, body)[key][0]


def _add_turn(way: Way, run: Callable[[], Any], service_pid: int) -> None:
    before = read_cpu_times(service_pid)
    for _ in range(_TURN):
        began_s = time.monotonic()
        ended = run()
        way.taken_s.append(time.monotonic() - began_s)
        if ended["status"] != "ok":
            raise RuntimeError(f"{way.name} ended {ended['status']}: {ended}")
        way.job_cpu_s.append(ended["usage"]["cpu_time_s"])
    used = read_cpu_times(service_pid).since(before)
    if used.containers_s is not None:
        way.all_cpu_s = (way.all_cpu_s or 0.0) + used.containers_s + (used.service_s or 0.0)


def docker_runs(image: str) -> Way:
    """A container for each program."""
    way = Way("docker run python3, a container each")
    command = ["docker", "run", "-i", "--rm", "--network", "none", "--entrypoint", "python3"]
    for _ in range(_DOCKER_RUNS):
        began_s = time.monotonic()
        subprocess.run(
            [*command, image, "-"], input=PROGRAM.encode(), capture_output=True, check=True
        )
        way.taken_s.append(time.monotonic() - began_s)
    return way


def new_processes(image: str) -> Way:
    """An interpreter for each program, all in one container."""
    command = ["docker", "run", "-i", "--rm", "--network", "none", "--tmpfs", "/tmp"]
    command += ["--entrypoint", "python3", image, "-c", _NEW_PROCESSES]
    given = json.dumps([PROGRAM, _PROCESSES]).encode()
    done = subprocess.run(command, input=given, capture_output=True, check=True)
    taken_s, cpu_s = json.loads(done.stdout)
    return Way("a new python3 each, in one container", taken_s, [cpu_s])


def many_cases(url: str, *, count: int, service_pid: int) -> ManyCases:
    """Run one program on so many cases in one request. Raises RuntimeError if one is not right."""
    cases = [{"stdin": f"{n}\n", "expected": {"stdout": f"{n * 2}\n"}} for n in range(count)]
    body = {
        "program": {"code": "print(int(input()) * 2)\n"},
        "cases": cases,
        "isolation": "process",
        "limits": {"job_time_s": 3600},
    }
    sent = json.dumps(body).encode()
    with _watched(service_pid) as peaks:
        began_s = time.monotonic()
        answer = Connection(url).request("POST", "/v1/run", sent)
        elapsed_s = time.monotonic() - began_s
    wrong = [run for run in answer["runs"] if run["verdict"] != "correct"]
    if wrong:
        raise RuntimeError(f"{len(wrong)} cases are not correct, the first is {wrong[0]}")
    answer_mb = len(json.dumps(answer)) / 2**20
    return ManyCases(
        count, elapsed_s / count * 1000, peaks["service"], peaks["containers"], answer_mb
    )


@contextmanager
def _watched(service_pid: int) -> Iterator[dict[str, float]]:
    """The most of both inside the block, in MiB."""
    peaks = {"service": 0.0, "containers": 0.0}
    ended = threading.Event()

    def watch() -> None:
        while True:
            peaks["service"] = max(peaks["service"], resident_mb(service_pid))
            peaks["containers"] = max(peaks["containers"], containers_memory_bytes() / 2**20)
            if ended.wait(_SAMPLE_S):
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()


def findings_of(
    machine: dict[str, str], ways: Sequence[Way], many: Sequence[ManyCases]
) -> Findings:
    """Tables and claims; ``ways`` begin with function and program, ``many`` are few and all."""
    function, program = ways[0], ways[1]
    few, most = many
    found = Findings("programs", machine, {"program": PROGRAM.strip(), "level": "process"})
    found.tables = [
        table(
            [
                "way",
                "runs",
                "p50 ms",
                "CPU ms inside",
                "CPU ms (service + containers)",
                "p50 ratio",
            ],
            [
                [
                    way.name,
                    str(len(way.taken_s)),
                    *map(number, (way.p50_ms, way.job_cpu_ms, way.all_cpu_ms)),
                    ratio(way.p50_ms / function.p50_ms),
                ]
                for way in ways
            ],
        ),
        table(
            ["cases in one request", "ms per case", "service MB", "containers MB", "answer MB"],
            [
                [
                    str(each.count),
                    *map(
                        number,
                        (each.case_ms, each.service_mb, each.containers_mb, each.answer_mb),
                    ),
                ]
                for each in many
            ],
        ),
    ]
    for what, ours, theirs in (
        ("p50", program.p50_ms, function.p50_ms),
        ("CPU inside", program.job_cpu_ms or 0.0, function.job_cpu_ms or 1.0),
    ):
        found.claims.append(
            Claim(
                f"{what} of a program is at most {COST_RATIO_MAX} times that of a function call",
                ratio(ours / theirs),
                ours <= COST_RATIO_MAX * theirs,
            )
        )
    grown_mb = most.containers_mb - few.containers_mb
    found.claims.append(
        Claim(
            f"containers hold at most {GROWTH_MB_MAX:g} MB more with {most.count} cases than with "
            f"{few.count}",
            f"{grown_mb:.1f} MB",
            grown_mb <= GROWTH_MB_MAX,
        )
    )
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """1 if a claim does not hold or the service did not start."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.programs", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--requests", type=int, default=300, metavar="N")
    parser.add_argument("--cases", type=int, default=10_000, metavar="N")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FOLDER")
    arguments = parser.parse_args(argv)
    try:
        with LocalService() as service:
            able = capabilities_of(service.config())
            machine = describe_machine(able, docker_version=docker_version() or "none")
            ways = [
                *single_runs(service.url, count=arguments.requests, service_pid=service.pid),
                docker_runs(able.image),
                new_processes(able.image),
            ]
            many = [
                many_cases(service.url, count=count, service_pid=service.pid)
                for count in (min(_FEW_CASES, arguments.cases), arguments.cases)
            ]
    except ServiceDidNotStart as error:
        print(f"benchmarks.programs: the service did not start:\n{error}", file=sys.stderr)
        return 1
    found = findings_of(machine, ways, many)
    record = {"ways": ways, "many_cases": many, "claims": found.claims, "machine": machine}
    write_report(arguments.output, "programs-cost", markdown=found.as_markdown(), record=record)
    return 0 if found.hold else 1


if __name__ == "__main__":
    sys.exit(main())
