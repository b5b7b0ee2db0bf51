"""``python -m benchmarks.containers``: how near level ``container`` comes to the engine's speed.

The bare loop makes a container with the options of every sandbox, waits for its runner's first
frame, and removes it: nothing runs in it. It does so one, two, four and more at a time. The service
answers calls at level ``container``, each in a container of its own, and single ones with pauses.
They take turns, with a network namespace for each container and, unless ``--own-network``, with
one that all join. The daemon is that of DOCKER_HOST; ``--engine bubblewrap`` does all this with
sandboxes of that engine, each of which has a network namespace of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.local_service import LocalService
from harness.measurement import say
from harness.report import table

from benchmarks.single import Connection, spaced_calls
from benchmarks.work import TRIVIAL_CODE, Check
from execbox_service.engines.choose import EngineChoice, choose_engine
from execbox_service.engines.container_spec import container_spec
from execbox_service.settings import Settings, load_settings

_CHECK = Check(TRIVIAL_CODE, "main_solution", {"n": 21})
_AT_ONCE = (1, 2, 4, 6)
_CLIENTS = 8
_SINGLE_COUNT, _SINGLE_INTERVAL_S = 30, 0.5
_QUIET_S = 6.0
"""For the service's pool to be full again before the bare loop has its turn."""


@dataclass(frozen=True)
class Turn:
    """Containers a second in one turn of each: of the bare loop by how many at once."""

    bare_per_s: dict[int, float]
    service_per_s: float

    @property
    def best_per_s(self) -> float:
        return max(self.bare_per_s.values())


@dataclass(frozen=True)
class Speed:
    """The medians of all turns with one kind of network namespace."""

    network: str
    bare_per_s: dict[int, float]
    service_per_s: float
    ratio: float
    """The service beside the bare loop's best of the same turn."""
    single_p50_ms: float
    single_p95_ms: float


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.containers", description=__doc__)
    parser.add_argument("--count", type=int, default=60, help="containers a turn (default 60)")
    parser.add_argument("--turns", type=int, default=3, help="of each (default 3)")
    parser.add_argument("--engine", choices=["docker", "bubblewrap"], default="docker")
    parser.add_argument("--own-network", action="store_true", help="leave out the one all join")
    parser.add_argument("--json", type=Path, help="write what was measured here, too")
    arguments = parser.parse_args(argv)
    kinds = [("false", "one each"), ("true", "one that all join")]
    speeds = []
    one_kind = arguments.own_network or arguments.engine == "bubblewrap"
    for shared, title in kinds[:1] if one_kind else kinds:
        say(f"network namespace: {title}")
        speeds.append(
            _measured(
                arguments.engine,
                title,
                shared=shared,
                count=arguments.count,
                turn_count=arguments.turns,
            )
        )
    print(table(_HEAD, [_row(speed) for speed in speeds]))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(speed) for speed in speeds]), "utf-8")
    return 0


_HEAD = [
    "network namespace",
    f"bare loop, a second, {' / '.join(map(str, _AT_ONCE))} at once",
    f"service, a second, {_CLIENTS} clients",
    "service / best of the bare loop",
    "single call, p50 / p95 ms",
]


def _row(speed: Speed) -> list[str]:
    return [
        speed.network,
        " / ".join(f"{rate:.1f}" for rate in speed.bare_per_s.values()),
        f"{speed.service_per_s:.1f}",
        f"{speed.ratio:.2f}",
        f"{speed.single_p50_ms:.1f} / {speed.single_p95_ms:.1f}",
    ]


def _measured(
    engine: EngineChoice, title: str, *, shared: str, count: int, turn_count: int
) -> Speed:
    with LocalService(engine=engine, shared_network=shared) as service:
        port = int(service.url.rpartition(":")[2])
        # An instance of its own: engines remove what carries their label.
        settings = load_settings({"port": str(port + 1), "shared_network": shared})
        single = spaced_calls(
            service.url, "container", count=_SINGLE_COUNT, interval_s=_SINGLE_INTERVAL_S
        )
        turns = [
            Turn(
                bare_per_s={
                    at_once: asyncio.run(_bare(engine, settings, count=count, at_once=at_once))
                    for at_once in _AT_ONCE
                },
                service_per_s=_service(service.url, count),
            )
            for _ in range(turn_count)
        ]
    return Speed(
        network=title,
        bare_per_s={
            at_once: statistics.median(turn.bare_per_s[at_once] for turn in turns)
            for at_once in _AT_ONCE
        },
        service_per_s=statistics.median(turn.service_per_s for turn in turns),
        ratio=statistics.median(turn.service_per_s / turn.best_per_s for turn in turns),
        single_p50_ms=single.p50_ms,
        single_p95_ms=single.p95_ms,
    )


async def _bare(choice: EngineChoice, settings: Settings, *, count: int, at_once: int) -> float:
    """Create, wait for the first frame, remove; each of those at work does so in turn."""
    await asyncio.sleep(_QUIET_S)
    engine, _facts = await choose_engine(choice, container_spec(settings))
    left = iter(range(count))

    async def work() -> None:
        for _number in left:
            await (await engine.create()).destroy()

    try:
        began_s = time.monotonic()
        await asyncio.gather(*(work() for _ in range(at_once)))
        return count / (time.monotonic() - began_s)
    finally:
        await engine.stop()


def _service(url: str, count: int) -> float:
    """Calls by all clients, with the warm containers used up first: what is sustained is what is
    made. The pool has found how many to make at once by then."""
    body = _CHECK.as_request("container")
    warm_count = load_settings({}).pool_size_max

    def call(_number: int) -> None:
        Connection(url).request("POST", "/v1/execute", body)

    with ThreadPoolExecutor(_CLIENTS) as clients:
        list(clients.map(call, range(warm_count + count)))
        began_s = time.monotonic()
        list(clients.map(call, range(count)))
        return count / (time.monotonic() - began_s)


if __name__ == "__main__":
    sys.exit(main())
