"""``python -m acceptance.held_up``: how long is one caller held up by what a different one holds?

Three cases on real containers, each with its own service: threads that are pinned to one core and
must be stopped (G06), jobs that sleep on every slot (G07), and more connections than are permitted,
none of which shows a key (G08). Meanwhile an honest key asks for something small again and again.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import resource
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.beside import beside
from harness.exported import exported
from harness.local_service import LocalService
from harness.measurement import conclude, machine_of, say
from harness.report import RESULTS, Claim, Draw, Findings, number, table

from execbox import Client, ClientConfig, ExecboxError
from execbox.config import RetryPolicy
from execbox.wire import Capabilities, ExecuteResponse

_ONE = "def main_solution():\n    return 1\n"
_PINNED = """
import os
import threading

def main_solution():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    def spin():
        while True:
            pass

    threads = [threading.Thread(target=spin, daemon=True) for _ in range(10)]
    for thread in threads:
        thread.start()
    threads[0].join()
"""
_PINNED_LIMITS = {"cpu_time_s": 60, "wall_time_s": 2}
_HARD_STOP_S = 8.0
"""Four times the wall limit."""
_SLEEPS = "import time\n\ndef main_solution():\n    time.sleep(36)\n    return 1\n"
_SLEEPS_LIMITS = {"wall_time_s": 60}
_RELIEF_S = 10.0
_SMALL_EVERY_S = 0.1
_CONNECTION_COUNT = 4200
_UNFINISHED = b"GET / HTTP/1.1\r\n"


@dataclass(frozen=True)
class Small:
    """What came of one small request of the honest key; no ``error`` where it was answered."""

    begun_s: float
    took_s: float
    error: str | None


@dataclass
class Case:
    """What came of one case: of the honest key's requests, and what must hold of the rest."""

    name: str
    small: list[Small] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    took_s: float = 0.0

    @property
    def longest_s(self) -> float:
        return max((each.took_s for each in self.small), default=0.0)

    @property
    def errors(self) -> list[str]:
        return [each.error for each in self.small if each.error is not None]


class _Place:
    """One service with two keys, and who asks it for what."""

    def __init__(self, service: LocalService, keys: dict[str, str]) -> None:
        self.service = service
        self._keys = keys

    @contextmanager
    def client(self, name: str) -> Iterator[Client]:
        """A client that never tries again: what it is told is what is measured."""
        config = ClientConfig(
            base_url=self.service.url, api_key=self._keys[name], retry=RetryPolicy.never()
        )
        with Client(config=config) as client:
            yield client

    def capabilities(self) -> Capabilities:
        with self.client("honest") as client:
            return client.capabilities()

    def execute(self, code: str, *, key: str, **fields: Any) -> ExecuteResponse:
        with self.client(key) as client:
            return client.execute(code, [[]], isolation="process", **fields)

    def counted(self, name: str) -> float:
        return exported(self.service.url, key=self._keys["honest"]).get(name, 0.0)

    @contextmanager
    def asking(self, case: Case) -> Iterator[None]:
        """The honest key asks again and again inside the block."""
        began_s = time.monotonic()

        def ask() -> None:
            # Each on a connection of its own, which nothing has shown to be honest before.
            with self.client("honest") as client:
                case.small.append(_ask(client, began_s))

        try:
            with beside(_SMALL_EVERY_S, ask):
                yield
        finally:
            case.took_s = time.monotonic() - began_s


def _ask(client: Client, began_s: float) -> Small:
    asked_s = time.monotonic()
    error = None
    try:
        answer = client.execute(_ONE, [[]], isolation="process")
        if answer.executions[0].output != 1:
            error = f"a wrong answer: {answer.executions[0]}"
    except ExecboxError as raised:
        error = f"{type(raised).__name__}: {raised}"
    return Small(asked_s - began_s, time.monotonic() - asked_s, error)


@contextmanager
def _place() -> Iterator[_Place]:
    keys = {name: secrets.token_hex(16) for name in ("honest", "hostile")}
    hashes = ",".join(
        f"{name}:{hashlib.sha256(key.encode()).hexdigest()}" for name, key in keys.items()
    )
    with LocalService(api_key_hashes=hashes, log_level="error") as service:
        place = _Place(service, keys)
        # Each key's first container is made before anything is measured.
        for key in keys:
            place.execute(_ONE, key=key)
        yield place


def pinned(place: _Place) -> Case:
    """G06: stopped once, judged then, and nothing of it runs again with the machine to itself."""
    case = Case("G06, ten threads pinned to one core")
    alone_before = place.counted("execbox_executions_alone_total")
    began_s = time.monotonic()
    with place.asking(case):
        answer = place.execute(_PINNED, key="hostile", limits=_PINNED_LIMITS)
        stopped_s = time.monotonic() - began_s
    (execution,) = answer.executions
    alone_count = place.counted("execbox_executions_alone_total") - alone_before
    case.claims += [
        Claim(
            "G06: `timeout` at the first stop",
            f"`{execution.status}` after {number(stopped_s)} s, run again alone {alone_count:.0f}",
            execution.status == "timeout" and stopped_s < _HARD_STOP_S + 2 and not alone_count,
        ),
        _held_up(case, bound_s=2.0),
    ]
    return case


def sleeping(place: _Place) -> Case:
    """G07: as many sleepers as slots; the honest key waits once, and not again."""
    case = Case("G07, jobs that sleep on every slot")
    slot_count = place.capabilities().concurrency
    with ThreadPoolExecutor(slot_count) as sleepers:
        answers: list[Future[ExecuteResponse]] = [
            sleepers.submit(place.execute, _SLEEPS, key="hostile", limits=_SLEEPS_LIMITS)
            for _ in range(slot_count)
        ]
        time.sleep(1)
        with place.asking(case):
            statuses = [answer.result().executions[0].status.value for answer in answers]
    later_s = max((each.took_s for each in case.small[1:]), default=0.0)
    case.claims += [
        Claim("G07: the sleepers end as they would", ", ".join(statuses), set(statuses) == {"ok"}),
        _held_up(case, bound_s=_RELIEF_S + 2),
        Claim(
            "G07: only the first small request waits",
            f"{len(case.small)} requests, from the second on {number(later_s)} s at most",
            len(case.small) > 1 and later_s < 1.0,
        ),
    ]
    return case


def unclaimed(place: _Place) -> Case:
    """G08: more connections than are permitted, each with an unfinished request and no key."""
    case = Case(f"G08, {_CONNECTION_COUNT} connections without a key")
    address = ("127.0.0.1", int(place.service.url.rpartition(":")[2]))
    with ExitStack() as opened, place.asking(case):
        connections = []
        for _ in range(_CONNECTION_COUNT):
            connection = opened.enter_context(socket.create_connection(address, timeout=10))
            connection.sendall(_UNFINISHED)
            connections.append(connection)
        time.sleep(1)
        told_count = sum(map(_told_to_go, connections))
    case.claims += [
        Claim("G08: the oldest give way", f"{told_count} were told 503", told_count > 0),
        _held_up(case, bound_s=2.0),
    ]
    return case


def _told_to_go(connection: socket.socket) -> bool:
    connection.setblocking(False)
    with contextlib.suppress(OSError):
        return b" 503 " in connection.recv(100)
    return False


def _held_up(case: Case, *, bound_s: float) -> Claim:
    short = case.name.partition(",")[0]
    wrong = f"; errors: {case.errors[:3]}" if case.errors else ""
    return Claim(
        f"{short}: each small request of the honest key is answered within {number(bound_s)} s",
        f"{len(case.small) - len(case.errors)} of {len(case.small)}, the slowest after "
        f"{number(case.longest_s)} s{wrong}",
        bool(case.small) and not case.errors and case.longest_s < bound_s,
    )


_CASES: tuple[Callable[[_Place], Case], ...] = (pinned, sleeping, unclaimed)


def _measured() -> tuple[Findings, Draw]:
    cases = []
    for run in _CASES:
        with _place() as place:
            able = place.capabilities()
            cases.append(run(place))
            say(f"{cases[-1].name}: {number(cases[-1].took_s)} s")
    findings = Findings("held_up", machine_of(able), {"slots": str(able.concurrency)})
    rows = [
        [case.name, str(len(case.small)), number(case.longest_s), str(len(case.errors))]
        for case in cases
    ]
    head = ["while there were", "small requests", "slowest, s", "not answered"]
    findings.tables.append(table(head, rows))
    findings.claims += [claim for case in cases for claim in case.claims]
    findings.data["cases"] = cases
    return findings, lambda path: _draw(cases, path)


def _draw(cases: Sequence[Case], path: Path) -> None:
    from harness.plot_style import OURS, picture

    with picture(path, (9, 2.6)) as figure:
        for axes, case in zip(figure.subplots(1, len(cases)), cases, strict=True):
            axes.plot(
                [each.begun_s for each in case.small],
                [each.took_s for each in case.small],
                ".",
                color=OURS,
            )
            axes.set(xlabel="s", ylabel="answered after, s", yscale="log")
            axes.set_title(case.name)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the three cases, print what came; 1 if the honest key was held up too long."""
    parser = argparse.ArgumentParser(
        prog="python -m acceptance.held_up",
        description="How long a key is held up by what a different caller holds.",
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for what is found")
    asked = parser.parse_args(argv)
    _permit_descriptors(_CONNECTION_COUNT + 200)
    return conclude("acceptance.held_up", _measured, folder=asked.output)


def _permit_descriptors(count: int) -> None:
    """For this program and the services it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


if __name__ == "__main__":
    sys.exit(main())
