"""``python -m benchmarks.sessions``: what cells and sessions cost, and how soon one is interrupted.

    python -m benchmarks.sessions [--dialogues 5] [--sessions 200] [--interrupts 10]
                                  [--output FOLDER]

Dialogues of 20 cells, over HTTP as any client sends them; cells that never end, of which each is
interrupted at its limit; then many sessions that are idle, with a function call while they are, and
a cell in each of them afterwards. Exits with 1 if a claim does not hold.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.local_service import LocalService, ServiceDidNotStart
from harness.machine import describe_machine, docker_version
from harness.measurement import capabilities_of
from harness.meters import containers_memory_bytes, resident_mb
from harness.report import RESULTS, Claim, Findings, number, table, write_report

from benchmarks.series import percentile
from execbox import Client
from execbox.errors import ExecboxError
from execbox.session import Session
from execbox.wire import CellLimits

CELL_MS_MAX = 10.0
INTERRUPT_S_MAX = 0.5
_CELLS = 20
_LIMIT_S = 0.5
_BEGINNING_AT_ONCE = 4
_FUNCTION = "def main_solution():\n    return 42\n"
_CALLS = 40
_SETTLE_S = 5.0


@dataclass(frozen=True)
class Dialogues:
    """Cells one after the other, each as its caller saw it."""

    taken_s: list[float]
    first_s: list[float]
    """Beginning a session."""


@dataclass(frozen=True)
class Interrupts:
    """How long after its limit each cell was answered."""

    late_s: dict[str, list[float]]
    lost_count: int


@dataclass(frozen=True)
class Idle:
    """Many sessions at once."""

    count: int
    begun_s: float
    session_mb: float
    service_mb: float
    """What the service's own process has grown by."""
    call_ms: float
    """A function call meanwhile, p50."""
    call_before_ms: float
    lost_count: int


def dialogues(client: Client, *, count: int) -> Dialogues:
    """So many sessions, each of 20 cells. Raises RuntimeError if one gave something else."""
    taken_s: list[float] = []
    first_s: list[float] = []
    for _ in range(count):
        began_s = time.monotonic()
        with client.session() as session:
            session.run("total = 0")
            first_s.append(time.monotonic() - began_s)
            cells = range(1, _CELLS + 1)
            taken_s.extend(_timed(partial(_add, session, cell)) for cell in cells)
    return Dialogues(taken_s, first_s)


def _add(session: Session, cell: int) -> None:
    ended = session.run(f"total += {cell}\nprint({cell})\ntotal")
    value = ended.value.repr if ended.value is not None else None
    if (ended.stdout, value) != (f"{cell}\n", str(cell * (cell + 1) // 2)):
        raise RuntimeError(f"cell {cell} gave {ended}")


def interrupts(client: Client, *, count: int) -> Interrupts:
    """Cells that burn, and cells that sleep, each answered so long after its limit."""
    endless = {
        "cpu_time": ("while True: pass", CellLimits(cpu_time_s=_LIMIT_S)),
        "wall_time": ("import time\ntime.sleep(60)", CellLimits(wall_time_s=_LIMIT_S)),
    }
    late_s: dict[str, list[float]] = {name: [] for name in endless}
    lost_count = 0
    with client.session() as session:
        for _ in range(count):
            for name, (code, limits) in endless.items():
                began_s = time.monotonic()
                ended = session.run(code, limits=limits)
                elapsed_s = time.monotonic() - began_s
                # A machine that is busy gives CPU time more slowly: what counts is what the cell
                # had beyond its limit, and what passed while it did not run.
                reached_s = getattr(ended.usage, f"{name}_s")
                late_s[name].append(elapsed_s - ended.usage.wall_time_s + reached_s - _LIMIT_S)
                lost_count += ended.session_lost or ended.limit != name
    return Interrupts(late_s, lost_count)


def idle_sessions(client: Client, *, count: int, service_pid: int) -> Idle:
    """So many sessions that do nothing, and a cell in each of them in the end."""
    before_ms = _call_ms(client)
    before_bytes, before_mb = containers_memory_bytes(), resident_mb(service_pid)
    began_s = time.monotonic()
    with _held(client, count) as sessions:
        begun_s = time.monotonic() - began_s
        session_mb = (containers_memory_bytes() - before_bytes) / count / 2**20
        service_mb = resident_mb(service_pid) - before_mb
        # The pool makes the containers anew that the last sessions took.
        time.sleep(_SETTLE_S)
        during_ms = _call_ms(client)
        lost_count = sum(not _is_whole(number, session) for number, session in enumerate(sessions))
    return Idle(count, begun_s, session_mb, service_mb, during_ms, before_ms, lost_count)


@contextmanager
def _held(client: Client, count: int) -> Iterator[list[Session]]:
    """Sessions with a variable each; all are ended afterwards."""
    sessions = [client.session() for _ in range(count)]

    def begin(number: int) -> None:
        sessions[number].__enter__()
        sessions[number].run(f"x = {number}")

    with ThreadPoolExecutor(_BEGINNING_AT_ONCE) as pool:
        try:
            list(pool.map(begin, range(count)))
            yield sessions
        finally:
            list(pool.map(Session.close, sessions))


def _is_whole(number: int, session: Session) -> bool:
    try:
        value = session.run("x").value
    except ExecboxError:
        return False
    return value is not None and value.repr == str(number)


def _call_ms(client: Client) -> float:
    taken_s = [
        _timed(lambda: client.execute(_FUNCTION, [{"args": []}], isolation="process"))
        for _ in range(_CALLS)
    ]
    return statistics.median(taken_s) * 1000


def _timed(work: Callable[[], object]) -> float:
    began_s = time.monotonic()
    work()
    return time.monotonic() - began_s


def findings_of(
    machine: dict[str, str], told: Dialogues, stopped: Interrupts, idle: Idle
) -> Findings:
    """The table and what must hold."""
    found = Findings("sessions", machine, {"cells of a dialogue": str(_CELLS)})
    p50_ms, p95_ms = (percentile(told.taken_s, share) * 1000 for share in (50, 95))
    latest = {name: max(late_s) for name, late_s in stopped.late_s.items()}
    typical = {name: statistics.median(late_s) for name, late_s in stopped.late_s.items()}
    found.tables = [
        table(
            ["what", "found"],
            [
                [
                    f"a cell of {len(told.taken_s)}, p50 and p95 over HTTP",
                    f"{number(p50_ms)} and {number(p95_ms)} ms",
                ],
                [
                    "beginning a session, with its first cell, p50",
                    f"{number(percentile(told.first_s, 50) * 1000)} ms",
                ],
                *[
                    [
                        f"answered after its limit on {name}, p50 and latest",
                        f"{number(typical[name])} and {number(latest[name])} s",
                    ]
                    for name in latest
                ],
                [f"beginning {idle.count} sessions", f"{number(idle.begun_s)} s"],
                ["an idle session holds", f"{number(idle.session_mb)} MB"],
                ["the service grows by, for all of them", f"{number(idle.service_mb)} MB"],
                [
                    "a function call before and while they are idle, p50",
                    f"{number(idle.call_before_ms)} and {number(idle.call_ms)} ms",
                ],
                ["of them lost", str(idle.lost_count)],
            ],
            align="lr",
        )
    ]
    found.claims = [
        Claim(
            f"a cell of a dialogue takes at most {CELL_MS_MAX:g} ms, p50",
            f"{number(p50_ms)} ms",
            p50_ms <= CELL_MS_MAX,
        ),
        Claim(
            f"a cell is answered at most {INTERRUPT_S_MAX:g} s after its limit, and its session "
            "lives",
            f"{number(max(latest.values()))} s, {stopped.lost_count} lost",
            max(latest.values()) <= INTERRUPT_S_MAX and not stopped.lost_count,
        ),
        Claim(
            f"{idle.count} idle sessions hold no slot: functions run meanwhile; none is lost",
            f"{idle.lost_count} lost",
            not idle.lost_count,
        ),
    ]
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """1 if a claim does not hold or the service did not start."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sessions", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--dialogues", type=int, default=5, metavar="N")
    parser.add_argument("--sessions", type=int, default=200, metavar="N")
    parser.add_argument("--interrupts", type=int, default=10, metavar="N")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FOLDER")
    arguments = parser.parse_args(argv)
    most = str(arguments.sessions)
    try:
        with (
            LocalService(session_count_max=most, key_session_count_max=most) as service,
            Client(config=service.config()) as client,
        ):
            able = capabilities_of(service.config())
            machine = describe_machine(able, docker_version=docker_version() or "none")
            told = dialogues(client, count=arguments.dialogues)
            stopped = interrupts(client, count=arguments.interrupts)
            idle = idle_sessions(client, count=arguments.sessions, service_pid=service.pid)
    except ServiceDidNotStart as error:
        print(f"benchmarks.sessions: the service did not start:\n{error}", file=sys.stderr)
        return 1
    found = findings_of(machine, told, stopped, idle)
    record = {"dialogues": told, "interrupts": stopped, "idle": idle, "machine": machine}
    write_report(arguments.output, "sessions", markdown=found.as_markdown(), record=record)
    return 0 if found.hold else 1


if __name__ == "__main__":
    sys.exit(main())
