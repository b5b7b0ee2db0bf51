"""``python -m acceptance.soak``: all attacks and honest work mixed at full load, for an hour.

    python -m acceptance.soak [--minutes 60] [--seed N] [--json FILE] [--plot FILE]

Starts the service and sends it more at once than it has slots for, through several keys, at both
isolation levels. Exits with 1 if an answer was wrong, if anything of a job was left when none ran,
or if a series grows. What is sent is in ``soak_work``, what is sampled in ``soak_meters``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import random
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from harness.host_view import HostView
from harness.local_service import LocalService
from harness.report import as_json

from acceptance.attack_targets import Came, Target, all_targets
from acceptance.soak_meters import GAUGES, Meters, Sample
from acceptance.soak_report import About, SoakReport, Tally, report_of, tell
from acceptance.soak_work import HONEST, attacked, batch
from execbox import AsyncClient, ClientConfig, ExecboxError, Overloaded, wire
from execbox.config import RetryPolicy

_KEY_COUNT = 3
_SPARE_CLIENTS = 4
"""More clients than slots, so that a request always waits."""
_SAMPLE_EVERY_S = 10.0
_QUIET_PART, _QUIET_EVERY_MAX_S = 0.1, 300.0
_SETTLE_S = 4.0
"""After the last job: used containers are removed, new ones made."""
_ATTACK_SHARE, _BATCH_SHARE, _PROCESS_SHARE = 0.45, 0.1, 0.75
_LOG_BYTES = 10 * 2**20
_STARVED = "machine_too_busy"


@dataclass
class Gate:
    """Lets clients work, or holds them until none is at work."""

    open: asyncio.Event = field(default_factory=asyncio.Event)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    active_count: int = 0

    def __post_init__(self) -> None:
        self.idle.set()

    @contextlib.asynccontextmanager
    async def through(self) -> AsyncIterator[None]:
        await self.open.wait()
        self.active_count += 1
        self.idle.clear()
        try:
            yield
        finally:
            self.active_count -= 1
            if not self.active_count:
                self.idle.set()

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """No client is at work inside the block."""
        self.open.clear()
        await self.idle.wait()
        await asyncio.sleep(_SETTLE_S)
        try:
            yield
        finally:
            self.open.set()


@dataclass
class Soak:
    """One run: its clients, its samples, and what came of everything."""

    meters: Meters
    seed: int
    duration_s: float
    targets: list[Target] = field(default_factory=all_targets)
    gate: Gate = field(default_factory=Gate)
    tally: Tally = field(default_factory=Tally)
    loaded: list[Sample] = field(default_factory=list)
    quiet: list[Sample] = field(default_factory=list)
    residue: list[str] = field(default_factory=list)
    begun_s: float = 0.0

    @property
    def at_s(self) -> float:
        return time.monotonic() - self.begun_s

    def stop(self) -> None:
        """End as if the time were over; what there is will be judged."""
        self.duration_s = min(self.duration_s, self.at_s)

    async def run(self, clients: list[AsyncClient], *, client_count: int) -> None:
        self.begun_s = time.monotonic()
        await self._quiet_sample()
        workers = [
            asyncio.create_task(self._work(clients, random.Random(f"{self.seed}/{number}")))
            for number in range(client_count)
        ]
        try:
            await self._watch()
        finally:
            self.gate.open.set()
            await asyncio.gather(*workers)
        async with self.gate.held():
            await self._quiet_sample()

    async def _watch(self) -> None:
        quiet_every_s = min(_QUIET_EVERY_MAX_S, self.duration_s * _QUIET_PART)
        quiet_next_s = quiet_every_s
        self.gate.open.set()
        while self.at_s < self.duration_s:
            await asyncio.sleep(_SAMPLE_EVERY_S)
            self.loaded.append(await asyncio.to_thread(self.meters.sample, self.at_s))
            if self.at_s >= quiet_next_s:
                async with self.gate.held():
                    await self._quiet_sample()
                quiet_next_s = self.at_s + quiet_every_s
                self._say()

    async def _quiet_sample(self) -> None:
        self.quiet.append(await asyncio.to_thread(self.meters.sample, self.at_s))
        for left in await asyncio.to_thread(self.meters.residue):
            print(f"RESIDUE after {self.at_s:.0f} s: {left}", flush=True)
            self.residue.append(f"after {self.at_s:.0f} s: {left}")

    def _say(self) -> None:
        values = self.quiet[-1].values
        print(
            f"{self.at_s / 60:.1f} min: {self.tally.counts.total()} answers, "
            f"{self.tally.unexpected_count} unexpected, {self.tally.refused_count} refused; quiet: "
            + ", ".join(f"{name} {values[name]:g}" for name in GAUGES),
            flush=True,
        )

    async def _work(self, clients: list[AsyncClient], chance: random.Random) -> None:
        while self.at_s < self.duration_s:
            async with self.gate.through():
                if self.at_s < self.duration_s:
                    await self._one(chance.choice(clients), chance)

    async def _one(self, client: AsyncClient, chance: random.Random) -> None:
        """One piece of work, whose every answer goes to the tally."""
        isolation: wire.Isolation = "process" if chance.random() < _PROCESS_SHARE else "container"
        share, name = chance.random(), "honest"
        try:
            if share < _ATTACK_SHARE:
                target = chance.choice(self.targets)
                name = f"{target.id} {target.title}"
                async for came in attacked(client, target, isolation):
                    self.tally.add(came)
                return
            if share < _ATTACK_SHARE + _BATCH_SHARE:
                name = "batch"
                answers = await batch(client, isolation, chance, targets=self.targets)
            else:
                answers = await chance.choice(HONEST)(client, isolation, chance)
        except Overloaded as error:
            # An honest answer of a service that has more to do than it can.
            self.tally.refused_count += 1
            await asyncio.sleep(error.retry_after_s or 1.0)
        except ExecboxError as error:
            code = getattr(error, "code", type(error).__name__)
            if code == _STARVED:
                # As honest: what else this machine does left the execution no time.
                self.tally.refused_count += 1
                return
            self.tally.add(Came(name, isolation, f"error {code}", str(error), repr(error)))
            await asyncio.sleep(1.0)
        else:
            for came in answers:
                self.tally.add(came)


async def _drive(service: LocalService, keys: list[str], soak: Soak) -> None:
    configs = [
        ClientConfig(base_url=service.url, api_key=key, retry=RetryPolicy.never()) for key in keys
    ]
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(AsyncClient(config=config)) for config in configs
        ]
        slot_count = (await clients[0].capabilities()).concurrency
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, soak.stop)
        await soak.run(clients, client_count=slot_count + _SPARE_CLIENTS)


def run(*, duration_s: float, seed: int, judges_shared: bool, log_path: Path | None) -> SoakReport:
    """Start the service, soak it, end it."""
    keys = [secrets.token_hex(16) for _ in range(_KEY_COUNT)]
    hashes = ",".join(
        f"soak-{number}:{hashlib.sha256(key.encode()).hexdigest()}"
        for number, key in enumerate(keys)
    )
    with LocalService(api_key_hashes=hashes) as service:
        view = HostView(service.url.removeprefix("http://"))
        soak = Soak(Meters(view, service.pid), seed=seed, duration_s=duration_s)
        try:
            asyncio.run(_drive(service, keys, soak))
        finally:
            view.close()
            if log_path is not None:
                log_path.write_text(service.log_tail(_LOG_BYTES), "utf-8")
    about = About(
        command=" ".join(["python", "-m", "acceptance.soak", *sys.argv[1:]]),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=seed,
        duration_s=soak.duration_s,
        attack_count=len(soak.targets),
        judges_shared=judges_shared,
    )
    return report_of(soak.tally, soak.loaded, soak.quiet, residue=soak.residue, about=about)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m acceptance.soak", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--json", type=Path, help="write samples, slopes and counts here")
    parser.add_argument("--plot", type=Path, help="needs matplotlib")
    parser.add_argument("--log", type=Path, help="write the service's log here")
    parser.add_argument(
        "--shared-machine",
        action="store_true",
        help="others use the Docker daemon too: what they move is told and not judged",
    )
    args = parser.parse_args(argv)
    print(f"seed {args.seed}", flush=True)
    report = run(
        duration_s=args.minutes * 60,
        seed=args.seed,
        judges_shared=not args.shared_machine,
        log_path=args.log,
    )
    tell(report)
    if args.json:
        args.json.write_text(as_json(report), "utf-8")
    if args.plot:
        from acceptance.soak_plot import draw

        draw(report.loaded, report.quiet, args.plot, trends=report.trends)
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
