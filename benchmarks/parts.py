"""``python -m benchmarks.parts``: whose CPU time an execution is, part by part, on real containers.

The trivial function at level ``process``, as a line of a batch, an item of a verify request, a call
of a large job and a request of its own. Parts: the service's process; the Docker daemon, containerd
and its shims; PID 1 of each container; the zygote that forks in it; and all else in the containers,
which is the jobs' processes. In the same rounds the bare fork, the floor that no isolation is
cheaper than: what an execution costs above it leaves out the daemon. ``--beside FOLDER`` measures a
checkout of a different revision in turns with this one, in the image of ``--beside-image``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from harness.local_service import LocalService
from harness.measurement import say
from harness.meters import children_of, process_cpu_s, read_cpu_times
from harness.report import table

from benchmarks.coordinator import SHAPES, Shape
from benchmarks.ways import in_one_container
from benchmarks.work import trivial_checks
from execbox_service.engines.docker.policy import LABEL
from execbox_service.settings import load_settings

_ROOT = Path(__file__).resolve().parents[1]
_ROUND_COUNT = 3
_DAEMONS = ("dockerd", "containerd", "containerd-shim")
_WARM_UP_COUNT = 200
_FORK_COUNT = 2000
_TRIES = 3


@dataclass(frozen=True)
class Spent:
    """CPU seconds so far, or milliseconds for one execution."""

    coordinator: float
    daemon: float
    supervisor: float
    zygote: float
    job: float


@dataclass(frozen=True)
class Way:
    """A revision, and the image that it runs functions in."""

    name: str
    checkout: Path
    image: str | None


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parts", description=__doc__)
    parser.add_argument("--beside", type=Path, help="a checkout of the revision to compare with")
    parser.add_argument("--beside-image", help="the sandbox image that was built of it")
    parser.add_argument("--rounds", type=int, default=_ROUND_COUNT)
    parser.add_argument("--only", choices=[shape.name for shape in SHAPES])
    asked = parser.parse_args(argv)
    shapes = [shape for shape in SHAPES if asked.only in (None, shape.name)]
    ways = [Way("this", _ROOT, None)]
    if asked.beside:
        ways.insert(0, Way("before", asked.beside.resolve(), asked.beside_image))
    found: dict[tuple[str, str], list[Spent]] = {}
    floor_ms: list[float] = []
    for number in range(asked.rounds):
        floor_ms.append(_bare_fork_ms())
        for way in ways:
            with _service_of(way) as service:
                for shape in shapes:
                    found.setdefault((shape.name, way.name), []).append(_spent(service, shape))
        say(f"round {number + 1} of {asked.rounds}")
    print(_table(shapes, ways, found, floor_ms=statistics.median(floor_ms)))
    return 0


def _bare_fork_ms() -> float:
    """CPU milliseconds of a fork that compiles and calls the trivial function, without limits."""
    with in_one_container(
        load_settings({}).image, "fork", name="bare fork", worker_count=os.cpu_count() or 1
    ) as way:
        runs = way.run(trivial_checks(_FORK_COUNT), 1)
    if runs.cpu_s is None or runs.ok_count != _FORK_COUNT:
        raise RuntimeError(f"{runs.ok_count} of {_FORK_COUNT} bare forks went well")
    return runs.cpu_s / _FORK_COUNT * 1000


def _service_of(way: Way) -> LocalService:
    service = LocalService(**({"image": way.image} if way.image else {}))
    places = (way.checkout / "client", way.checkout / "service")
    service.environment = {"PYTHONPATH": os.pathsep.join(map(str, places))}
    return service


def _spent(service: LocalService, shape: Shape) -> Spent:
    """Milliseconds for one of a shape's executions.

    Raises RuntimeError where containers were replaced meanwhile each time, so that it is not known
    what theirs used.
    """
    port = int(service.url.rpartition(":")[2])
    for _ in range(_TRIES):
        asyncio.run(shape.send(port, max(_WARM_UP_COUNT, shape.step)))
        inits = _inits()
        before = _read(service.pid, inits)
        asyncio.run(shape.send(port, shape.count))
        if _inits() == inits:
            after = _read(service.pid, inits)
            each = zip(astuple(before), astuple(after), strict=True)
            return Spent(*((now - then) / shape.count * 1000 for then, now in each))
    raise RuntimeError(f"containers were replaced during each of {_TRIES} tries")


def _inits() -> list[int]:
    """PID 1 of each container, by the host's ids."""
    ids = _said("docker", "ps", "--quiet", "--filter", f"label={LABEL}")
    return sorted(map(int, _said("docker", "inspect", "--format", "{{.State.Pid}}", *ids)))


def _read(service_pid: int, inits: Sequence[int]) -> Spent:
    supervisors_s = sum(map(process_cpu_s, inits))
    # While nothing runs, the only children of PID 1 are zygotes.
    zygotes_s = sum(process_cpu_s(child) for init in inits for child in children_of(init))
    containers_s = read_cpu_times(None).containers_s
    if containers_s is None:
        raise RuntimeError("this machine does not count what all containers use")
    return Spent(
        coordinator=process_cpu_s(service_pid),
        daemon=sum(map(process_cpu_s, _daemons())),
        supervisor=supervisors_s,
        zygote=zygotes_s,
        job=containers_s - supervisors_s - zygotes_s,
    )


def _daemons() -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/comm"):
        try:
            if entry.read_text().strip() in _DAEMONS:
                found.append(int(entry.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _said(*command: str) -> list[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def _table(
    shapes: Sequence[Shape],
    ways: Sequence[Way],
    found: dict[tuple[str, str], list[Spent]],
    *,
    floor_ms: float,
) -> str:
    parts = [field.name for field in fields(Spent)]
    rows = [["bare fork", "-", *["-"] * len(parts), f"{floor_ms:.2f}", "-"]]
    for shape in shapes:
        for way in ways:
            columns = zip(*map(astuple, found[shape.name, way.name]), strict=True)
            medians_ms = list(map(statistics.median, columns))
            together_ms = sum(medians_ms)
            above_ms = together_ms - Spent(*medians_ms).daemon - floor_ms
            cells = [f"{each_ms:.2f}" for each_ms in (*medians_ms, together_ms, above_ms)]
            rows.append([shape.name, way.name, *cells])
    titles = [*(f"{part}, CPU ms" for part in parts), "together", "above the bare fork"]
    return table(["one", "revision", *titles], rows)


if __name__ == "__main__":
    sys.exit(main())
