"""``python -m benchmarks.containers``: how near level ``container`` comes to the engine's speed.

The bare loop makes a container with the options of every sandbox, waits for its runner's first
frame, and removes it: nothing runs in it. The service answers single calls at level ``container``,
each in a container of its own. They take turns, with a network namespace for each container and
with one that all join.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from harness.local_service import LocalService
from harness.measurement import say
from harness.report import table

from benchmarks.single import Connection
from benchmarks.work import TRIVIAL_CODE, Check
from execbox_service.engines.container_spec import container_spec
from execbox_service.engines.docker.engine import DockerEngine
from execbox_service.settings import load_settings

_CHECK = Check(TRIVIAL_CODE, "main_solution", {"n": 21})
_WORKERS = 2
_CLIENTS = 4
_QUIET_S = 6.0
"""For the service's pool to be full again before the bare loop has its turn."""


@dataclass(frozen=True)
class Turn:
    """Containers a second in one turn of each."""

    bare_per_s: float
    service_per_s: float

    @property
    def ratio(self) -> float:
        return self.service_per_s / self.bare_per_s


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.containers", description=__doc__)
    parser.add_argument("--count", type=int, default=60, help="containers a turn (default 60)")
    parser.add_argument("--turns", type=int, default=3, help="of each (default 3)")
    arguments = parser.parse_args(argv)
    rows = []
    for shared, title in (("false", "one each"), ("true", "one that all join")):
        say(f"network namespace: {title}")
        turns = _turns(shared, count=arguments.count, turn_count=arguments.turns)
        bare_per_s = statistics.median(turn.bare_per_s for turn in turns)
        service_per_s = statistics.median(turn.service_per_s for turn in turns)
        ratio = statistics.median(turn.ratio for turn in turns)
        rows.append([title, f"{bare_per_s:.1f}", f"{service_per_s:.1f}", f"{ratio:.2f}"])
    head = ["network namespace", "bare loop, a second", "service, a second", "service / bare loop"]
    print(table(head, rows))
    return 0


def _turns(shared: str, *, count: int, turn_count: int) -> list[Turn]:
    with LocalService(shared_network=shared) as service:
        port = int(service.url.rpartition(":")[2])
        # An instance of its own: engines remove what carries their label.
        settings = load_settings({"port": str(port + 1), "shared_network": shared})
        return [
            Turn(
                bare_per_s=asyncio.run(_bare(DockerEngine(container_spec(settings)), count)),
                service_per_s=_service(service.url, count),
            )
            for _ in range(turn_count)
        ]


async def _bare(engine: DockerEngine, count: int) -> float:
    """Create, wait for the first frame, remove; two at a time, as the service's pool does."""
    await asyncio.sleep(_QUIET_S)
    await engine.start()
    left = iter(range(count))

    async def work() -> None:
        for _number in left:
            await (await engine.create()).destroy()

    try:
        began_s = time.monotonic()
        await asyncio.gather(*(work() for _ in range(_WORKERS)))
        return count / (time.monotonic() - began_s)
    finally:
        await engine.stop()


def _service(url: str, count: int) -> float:
    """Single calls, with the warm containers used up first: what is sustained is what is made."""
    body = _CHECK.as_request("container")
    warm_count = load_settings({}).pool_size_max

    def call(_number: int) -> None:
        Connection(url).request("POST", "/v1/execute", body)

    with ThreadPoolExecutor(_CLIENTS) as clients:
        list(clients.map(call, range(warm_count)))
        began_s = time.monotonic()
        list(clients.map(call, range(count)))
        return count / (time.monotonic() - began_s)


if __name__ == "__main__":
    sys.exit(main())
