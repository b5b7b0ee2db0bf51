"""``python -m acceptance.chaos``: is anything lost, double, wrong or left behind while all fails?

    python -m acceptance.chaos [--seconds 600] [--every 5] [--executions 2000] [--laps 1] [--seed N]
                               [--page docs/faults.md] [--output FOLDER]
    python -m acceptance.chaos --short      each kind of fault once: two minutes; CI runs it
    python -m acceptance.chaos --long       200,000 executions, a fault every 30 s: hours

The same work is done twice, by clients that resume: calmly, and again and again while every few
seconds one thing fails, in a drawn order, each kind as often as the others. Afterwards every file
has to be the calm one's byte for byte, and nothing may be left. Takes root and ``dockerd``. Exits
with 1 if anything is lost, different or left, with 2 if it cannot be run here.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from harness.bench import IMAGE
from harness.local_service import ServiceDidNotStart
from harness.measurement import machine_of, say
from harness.moved_clock import NoMovedClock
from harness.own_daemon import NoOwnDaemon
from harness.report import RESULTS, Claim, Findings, number

from acceptance.chaos.clients import Clients, Disk, WorkFailed
from acceptance.chaos.driving import Done, hurt
from acceptance.chaos.kinds import KINDS, Kind
from acceptance.chaos.left import Watch, left_in_files
from acceptance.chaos.place import Place, placed
from acceptance.chaos.told import in_page, recovery_table, slope_claims
from acceptance.chaos.work import (
    commands,
    differences,
    result_count,
    write_inputs,
    wrong_in,
)

__all__ = ["Options", "main", "run"]

_CALM_S: Final = 7200.0
_ROOM_MB: Final = 64
_EXECUTIONS_PER_MB: Final = 50
_AFTERWARDS_S: Final = 300.0
"""For what is left of the last lap when nothing fails any more, beside the time of a calm one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How much, how long, and by which draw."""

    seconds: float = 600.0
    """For which there are faults; each kind is done once at least."""
    every_s: float = 5.0
    """Between the end of one fault and the next."""
    execution_count: int = 2_000
    """Asked for in one lap, about."""
    lap_count: int = 1
    """At least; as long as there are to be more, there are faults."""
    seed: int = 15
    image: str = IMAGE


@dataclass
class _Run:
    """What is known of a run so far."""

    place: Place
    options: Options
    folder: Path
    done: Done = field(default_factory=Done)
    differing: list[str] = field(default_factory=list)
    calm_s: float = 0.0
    calm_executions: int = 0
    result_count: int = 0
    begun_count: int = 0
    laps: int = 0

    @property
    def inputs(self) -> Path:
        return self.folder / "inputs"

    @property
    def calm(self) -> Path:
        return self.folder / "calm"

    def do_calmly(self) -> list[str]:
        """The work without a fault; what of it is wrong all the same."""
        self.inputs.mkdir()
        options = self.options
        write_inputs(self.inputs, execution_count=options.execution_count, seed=options.seed)
        began_s = time.monotonic()
        with self._clients(self.folder / "lap-0") as clients:
            clients.wait(within_s=_CALM_S)
            shutil.copytree(self.folder / "lap-0", self.calm)
        self.calm_s = time.monotonic() - began_s
        self.calm_executions = self.place.executions_ended()
        say(f"calm: {self.calm_executions} executions in {self.calm_s:.0f} s")
        return wrong_in(self.inputs, self.calm)

    def do_in_chaos(self, watch: Watch) -> None:
        """Laps, for as long as there are faults; the last is let end. Raises ``WorkFailed``."""
        drawn = random.Random(self.options.seed)
        until_s = time.monotonic() + self.options.seconds
        kinds: list[Kind] = []
        while True:
            self.laps += 1
            lap = self.folder / f"lap-{self.laps}"
            with self._clients(lap) as clients:
                while not clients.are_done and self._has_time(until_s):
                    time.sleep(self.options.every_s)
                    hurt(self.place, clients, self.done, drawn=drawn, kinds=kinds)
                if not self._has_time(until_s):
                    watch.end_samples()
                    clients.wait(within_s=_AFTERWARDS_S + 2 * self.calm_s)
                self._compare(lap, clients)
            if not self._has_time(until_s):
                return

    def _has_time(self, until_s: float) -> bool:
        return (
            time.monotonic() < until_s
            or len(self.done.recoveries) < len(KINDS)
            or self.laps < self.options.lap_count
        )

    @contextmanager
    def _clients(self, folder: Path) -> Iterator[Clients]:
        """At work, on a disk of their own that is gone afterwards."""
        room_mb = _ROOM_MB + self.options.execution_count // _EXECUTIONS_PER_MB
        disk = Disk(folder, room_mb=room_mb)
        clients = Clients(
            commands(self.inputs, folder, url=self.place.network.url),
            folder,
            disk=disk,
            environment=self.place.clients_environment,
        )
        try:
            with clients.at_work():
                yield clients
        finally:
            disk.remove()

    def _compare(self, lap: Path, clients: Clients) -> None:
        all_of_it = commands(self.inputs, lap, url="")
        outputs = [name for command in all_of_it for name in command.outputs]
        self.begun_count += clients.begun_count
        self.result_count += result_count(lap, outputs=outputs)
        for found in differences(self.calm, lap, outputs=outputs):
            self.differing.append(f"lap {self.laps}: {found}")
        self.differing += [f"lap {self.laps}: left: {each}" for each in left_in_files(lap)]


def run(options: Options, folder: Path) -> Findings:
    """All of it, with its files in ``folder``. Raises ``NoMovedClock``, ``NoOwnDaemon``,
    ``ServiceDidNotStart``."""
    with placed(options.image, seed=options.seed) as place:
        watch = Watch(place)
        watch.begin()
        place.begin()
        able = place.capabilities()
        found = _Run(place, options, folder)
        failure = None
        wrong: list[str] = []
        try:
            wrong = found.do_calmly()
            with watch.at_work():
                found.do_in_chaos(watch)
        except WorkFailed as error:
            failure = f"{error}"
            say(f"{failure}\n{place.log_tail()}")
        place.end()
        left = watch.left()
    settings = _settings_of(found)
    # Of the daemon's own making: docs/faults.md.
    settings["containers that the killed daemon forgot"] = str(len(watch.forgotten))
    findings = Findings("chaos", machine_of(able), settings)
    findings.tables.append(recovery_table(found.done.recoveries))
    findings.claims += [
        Claim("all work is done", failure or f"{found.laps} laps", failure is None),
        _none("the calm run's verdicts are right", wrong),
        _none("each lap's files are the calm run's, byte for byte", found.differing),
        _none("no probe was answered wrongly", found.done.wrong),
        _none("nothing is left: containers, control groups, mounts, shims", left),
        *slope_claims(watch.trends()),
    ]
    findings.data["recoveries"] = found.done.recoveries
    findings.data["series"] = {"at_s": watch.times_s} | watch.series
    return findings


def _none(text: str, found: Sequence[str]) -> Claim:
    return Claim(text, "; ".join(found[:5]) or "none", not found)


def _settings_of(found: _Run) -> dict[str, str]:
    return {
        "seed": str(found.options.seed),
        "executions of one lap, calm": f"{found.calm_executions} in {number(found.calm_s)} s",
        "laps": str(found.laps),
        "faults": str(len(found.done.recoveries)),
        "records compared": str(found.result_count),
        "times that clients were begun": str(found.begun_count),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and write down what was found; the exit code."""
    asked = _parser().parse_args(argv)
    # As Ctrl-C does: daemon, services and clients are ended with their blocks.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = Options(
        seconds=asked.seconds,
        every_s=asked.every,
        execution_count=asked.executions,
        lap_count=asked.laps,
        seed=asked.seed,
        image=os.environ.get("EXECBOX_IMAGE", IMAGE),
    )
    if asked.short:
        options = replace(options, seconds=0, every_s=0.1, execution_count=120)
    if asked.long:
        options = replace(options, seconds=0, every_s=30, execution_count=20_000, lap_count=10)
    try:
        with tempfile.TemporaryDirectory(prefix="execbox-chaos-") as folder:
            findings = run(options, Path(folder))
    except (NoMovedClock, NoOwnDaemon, ServiceDidNotStart) as error:
        print(f"acceptance.chaos: {error}", file=sys.stderr)
        return 2
    findings.write(asked.output)
    if asked.page is not None:
        page = asked.page.read_text("utf-8")
        asked.page.write_text(in_page(page, findings.tables[0]), "utf-8")
    return 0 if findings.hold else 1


def _parser() -> argparse.ArgumentParser:
    defaults = Options()
    parser = argparse.ArgumentParser(
        prog="python -m acceptance.chaos",
        description="Whether anything is lost, double, wrong or left behind while all fails.",
    )
    parser.add_argument("--seconds", type=float, default=defaults.seconds, help="of faults (600)")
    parser.add_argument("--every", type=float, default=defaults.every_s, help="seconds (5)")
    parser.add_argument("--executions", type=int, default=defaults.execution_count)
    parser.add_argument("--laps", type=int, default=defaults.lap_count, help="at least (1)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--short", action="store_true", help="each kind of fault once")
    length.add_argument(
        "--long", action="store_true", help="10 laps of 20,000 executions, a fault every 30 s"
    )
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--page", type=Path, help="a page whose table is replaced")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for what is found")
    return parser


if __name__ == "__main__":
    sys.exit(main())
