"""``python -m benchmarks.fairness``: what one key's work does to another key's single calls.

One service, two API keys. A second caller sends single calls at an even pace, first by itself, then
beside each kind of work that could crowd it out.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.exported import exported
from harness.local_service import LocalService
from harness.measurement import capabilities_of, conclude, machine_of, say
from harness.report import RESULTS, Claim, Draw, Findings, number, table

from benchmarks.callers import raw_caller
from benchmarks.load_numbers import Brief, brief
from benchmarks.work import TRIVIAL_CODE
from execbox import AsyncClient, ClientConfig, ExecboxError
from execbox.wire import Function, Limits
from execbox_service.settings import hash_api_key

_PACE_S = 0.05
_SLOW_S = 1.0
_SLOW_CODE = f"import time\ndef main_solution(n):\n    time.sleep({_SLOW_S})\n    return n\n"
_TURN_MS = 1000.0
"""What a turn of everybody else may come to, generously: a long job keeps a slot for 250 ms."""


@dataclass(frozen=True)
class Scene:
    """Singles of one caller while something else goes on."""

    name: str
    singles: Brief
    work_per_s: float
    """What the other work came to meanwhile: executions a second."""
    container_count: int
    """Containers made meanwhile: none, where both keys can keep theirs."""
    max_allowed_ms: float | None


Counting = Callable[[], None]
Work = Callable[[AsyncClient, Counting], Coroutine[Any, Any, None]]
"""Work without end, which says of each execution when it has ended."""


@dataclass(frozen=True)
class _Stage:
    """What a scene needs."""

    url: str
    keys: dict[str, str]
    slot_count: int
    seconds: float

    def config(self, key: str) -> ClientConfig:
        return ClientConfig(base_url=self.url, api_key=self.keys[key])

    def made_count(self) -> int:
        return int(exported(self.url, key=self.keys["single"])["execbox_sandboxes_made_total"])


def main(argv: Sequence[str] | None = None) -> int:
    """Play all scenes, print the latencies, write them down; 1 if somebody was crowded out."""
    asked = _parser().parse_args(argv)
    return conclude("benchmarks.fairness", lambda: _measured(asked.seconds), folder=asked.output)


def _measured(seconds: float) -> tuple[Findings, Draw]:
    keys = {name: secrets.token_hex(16) for name in ("working", "single")}
    hashes = ",".join(f"{name}:{hash_api_key(key)}" for name, key in keys.items())
    # No limits for single keys: it is the queue that is to keep them apart.
    with LocalService(api_key_hashes=hashes, key_concurrency_max="1000") as service:
        able = capabilities_of(ClientConfig(base_url=service.url, api_key=keys["single"]))
        settings = {"slots": str(able.concurrency), "one single every": f"{_PACE_S:g} s"}
        findings = Findings("fairness", machine_of(able), settings)
        stage = _Stage(service.url, keys, able.concurrency, seconds)
        scenes = asyncio.run(_play_all(stage))
    _judge(findings, scenes)
    return findings, lambda path: _draw(scenes, path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fairness",
        description="Single calls of one API key beside other work of another and of its own.",
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="of each scene (default 30)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for what is found")
    return parser


async def _play_all(stage: _Stage) -> list[Scene]:
    slow_ms = _SLOW_S * 1000
    return [
        await _scene(stage, "nothing else", [], key="working", max_allowed_ms=None),
        await _scene(
            stage, "another key's endless batch", [_batch], key="working", max_allowed_ms=_TURN_MS
        ),
        await _scene(
            stage, "an endless batch of its own", [_batch], key="single", max_allowed_ms=_TURN_MS
        ),
        await _scene(
            stage,
            "another key's jobs of 500 calls, twice as many as slots",
            [_large_jobs] * (2 * stage.slot_count),
            key="working",
            max_allowed_ms=_TURN_MS,
        ),
        await _scene(
            stage,
            "another key's calls of 1 s, four times as many as slots",
            [_slow_calls] * (4 * stage.slot_count),
            key="working",
            # One that has begun is waited for, and none of those that wait.
            max_allowed_ms=2 * slow_ms,
        ),
    ]


async def _scene(
    stage: _Stage,
    name: str,
    works: Sequence[Work],
    *,
    key: str,
    max_allowed_ms: float | None,
) -> Scene:
    say(f"beside {name}, {stage.seconds:g} s")
    executed_count = 0

    def count() -> None:
        nonlocal executed_count
        executed_count += 1

    async with AsyncClient(config=stage.config(key)) as client:
        tasks = [asyncio.create_task(work(client, count)) for work in works]
        try:
            # Until it is under way.
            await asyncio.sleep(2.0 if tasks else 0.0)
            made_before = stage.made_count()
            before_count, began_s = executed_count, time.monotonic()
            latencies_s = await _singles(stage)
            rate = (executed_count - before_count) / (time.monotonic() - began_s)
            made_count = stage.made_count() - made_before
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return Scene(name, brief(latencies_s), rate, made_count, max_allowed_ms)


async def _singles(stage: _Stage) -> list[float]:
    """Latencies of single calls, begun at an even pace whatever becomes of those before."""
    latencies_s: list[float] = []
    free: list[Any] = []

    @contextlib.asynccontextmanager
    async def caller() -> AsyncIterator[Any]:
        if free:
            one = free.pop()
        else:
            one = await stack.enter_async_context(raw_caller(stage.url, key=stage.keys["single"]))
        yield one
        free.append(one)

    async def call(number: int) -> None:
        began_s = time.monotonic()
        async with caller() as send:
            answer = await send(number)
        if answer.output != 2 * number:
            raise RuntimeError(f"a wrong output: {answer.output}")
        latencies_s.append(time.monotonic() - began_s)

    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        for number in range(round(stage.seconds / _PACE_S)):
            group.create_task(call(number))
            await asyncio.sleep(_PACE_S)
    return latencies_s


# Work without end


async def _batch(client: AsyncClient, executed: Counting) -> None:
    function = {"code": TRIVIAL_CODE}
    lines = (
        {
            "id": str(n),
            "op": "execute",
            "function": function,
            "calls": [{"kwargs": {"n": n}}],
            "isolation": "process",
        }
        for n in itertools.count()
    )
    async with contextlib.aclosing(client.batch(lines, concurrency=1)) as results:
        async for result in results:
            if result.error is not None:
                raise RuntimeError(f"a line of the batch failed: {result.error}")
            executed()


async def _large_jobs(client: AsyncClient, executed: Counting) -> None:
    calls = [{"n": n} for n in range(500)]
    while True:
        await client.execute(TRIVIAL_CODE, calls, isolation="process")
        for _ in calls:
            executed()


async def _slow_calls(client: AsyncClient, executed: Counting) -> None:
    function = Function(code=_SLOW_CODE)
    while True:
        with contextlib.suppress(ExecboxError):
            limits = Limits(wall_time_s=5 * _SLOW_S)
            await client.execute(function, [{"n": 1}], isolation="process", limits=limits)
            executed()


# What came of it


def _judge(findings: Findings, scenes: Sequence[Scene]) -> None:
    rows = [
        [
            scene.name,
            str(scene.singles.count),
            *map(number, (scene.singles.p50_ms, scene.singles.p95_ms, scene.singles.p99_ms)),
            number(scene.singles.max_ms),
            number(scene.work_per_s),
            str(scene.container_count),
        ]
        for scene in scenes
    ]
    head = [
        "singles beside",
        "count",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "max ms",
        "other work, a second",
        "containers made",
    ]
    findings.tables.append(table(head, rows))
    findings.claims += [
        Claim(
            f"beside {scene.name}: p99 under {scene.max_allowed_ms:.0f} ms",
            f"{number(scene.singles.p99_ms)} ms",
            scene.singles.p99_ms < scene.max_allowed_ms,
        )
        for scene in scenes
        if scene.max_allowed_ms is not None
    ]
    findings.data["scenes"] = [asdict(scene) for scene in scenes]


def _draw(scenes: Sequence[Scene], path: Path) -> None:
    from harness.plot_style import ALARM, OURS, picture

    with picture(path, (9, 3.2)) as figure:
        axis = figure.subplots()
        names = [scene.name for scene in scenes]
        for offset, attribute, color in ((-0.2, "p50_ms", OURS), (0.2, "p99_ms", ALARM)):
            values = [getattr(scene.singles, attribute) for scene in scenes]
            places = [place + offset for place in range(len(names))]
            bars = axis.barh(places, values, height=0.38, color=color, label=attribute[:3])
            axis.bar_label(bars, fmt="%.3g", padding=2, fontsize=8)
        axis.set_yticks(range(len(names)), names)
        axis.set_xscale("log")
        axis.invert_yaxis()
        axis.set_title("latency of single calls beside other work, ms")
        axis.legend()


if __name__ == "__main__":
    sys.exit(main())
