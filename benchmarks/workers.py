"""``python -m benchmarks.workers``: what several processes of the service come to on one machine.

The engine answers at once, or after a sleep, so that it is the service that is measured; the client
sends prepared bytes and counts lines.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.local_service import LocalService
from harness.measurement import capabilities_of, conclude, machine_of, say
from harness.meters import service_pids
from harness.report import RESULTS, Claim, Draw, Findings, number, table

from benchmarks.work import TRIVIAL_CODE
from execbox import ClientConfig

_SLEEP_S = 0.2
_SLEEPING_SLOTS = 64
_SLEEPING_LINES = 3200
_SHARE_MIN = 0.9
_CHUNK_BYTES = 1 << 18


class _Answering(LocalService):
    """Without containers."""

    program = ("-m", "harness.answering_engine")


@dataclass(frozen=True)
class Round:
    """Batches on some connections, from the first byte to the last."""

    workers: int
    lines_per_s: float
    cpu_ms: float
    """Of all processes of the service, for each line."""
    lost_count: int


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print it, write it down; 1 if a claim fails."""
    asked = _parser().parse_args(argv)
    return conclude("benchmarks.workers", lambda: _measured(asked), folder=asked.output)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.workers", description="One process of the service and more."
    )
    parser.add_argument(
        "--workers",
        type=int,
        nargs="+",
        default=[2],
        metavar="COUNT",
        help="each compared with one process (default 2)",
    )
    parser.add_argument("--lines", type=int, default=8000, help="of each connection (default 8000)")
    parser.add_argument("--rounds", type=int, default=5, help="of each, in turn (default 5)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for what is found")
    return parser


def _measured(asked: argparse.Namespace) -> tuple[Findings, Draw]:
    with _Answering() as service:
        machine = machine_of(capabilities_of(ClientConfig(base_url=service.url)))
    counts = sorted({1, *asked.workers})
    connections = max(counts)
    settings = {
        "connections": str(connections),
        "lines of each": str(asked.lines),
        "rounds": str(asked.rounds),
    }
    findings = Findings("workers", machine, settings)
    at_once = _at_once(counts, asked.lines, asked.rounds)
    sleeping = {count: _sleeping(count, connections=connections) for count in counts}
    _judge(findings, at_once, sleeping)
    return findings, lambda path: _draw(at_once, path)


def _at_once(counts: Sequence[int], line_count: int, rounds: int) -> list[Round]:
    """All numbers of processes take turns, so that what else the machine does meets each alike."""
    found = []
    slot_count = str(max(8, *counts))
    with ExitStack() as stack:
        services = {
            count: stack.enter_context(
                _Answering(workers=str(count), slot_count=slot_count, log_level="warning")
            )
            for count in counts
        }
        for number_of_round in range(rounds + 1):
            for workers, service in services.items():
                each = _round(service, workers, line_count=line_count, connections=max(counts))
                say(f"{workers}: {each.lines_per_s:.0f} lines a second, {each.cpu_ms:.3f} ms each")
                if number_of_round:
                    # The first warms up.
                    found.append(each)
    return found


def _sleeping(workers: int, *, connections: int) -> Round:
    with _Answering(
        workers=str(workers), slot_count=str(_SLEEPING_SLOTS), log_level="warning"
    ) as service:
        line_count = _SLEEPING_LINES // connections
        return _round(
            service, workers, line_count=line_count, connections=connections, sleep_s=_SLEEP_S
        )


def _round(
    service: LocalService,
    workers: int,
    *,
    line_count: int,
    connections: int,
    sleep_s: float | None = None,
) -> Round:
    port = int(service.url.rpartition(":")[2])
    body = _body(line_count, sleep_s=sleep_s)
    cpu_before_s, began_s = _cpu_s(service.pid), time.monotonic()
    with ThreadPoolExecutor(connections) as threads:
        texts = list(threads.map(lambda _: _answer(port, body), range(connections)))
    took_s = time.monotonic() - began_s
    count = line_count * connections
    cpu_ms = 1000 * (_cpu_s(service.pid) - cpu_before_s) / count
    answered = sum(map(_answered_count, texts))
    return Round(workers, count / took_s, cpu_ms, count - answered)


def _body(line_count: int, *, sleep_s: float | None) -> bytes:
    slept = {} if sleep_s is None else {"sleep_s": sleep_s}
    return b"".join(
        json.dumps(
            {
                "id": f"line-{n}",
                "op": "execute",
                "function": {"code": TRIVIAL_CODE},
                "calls": [{"kwargs": {"n": n} | slept}],
                "isolation": "process",
            }
        ).encode()
        + b"\n"
        for n in range(line_count)
    )


def _answer(port: int, body: bytes) -> bytes:
    """All that comes back for a batch."""
    head = (
        f"POST /v1/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode()
    pieces = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        sender = threading.Thread(target=connection.sendall, args=(head + body,))
        sender.start()
        while piece := connection.recv(_CHUNK_BYTES):
            pieces.append(piece)
        sender.join()
    return b"".join(pieces)


def _answered_count(answer: bytes) -> int:
    """How many different lines of a batch are answered, without an error."""
    text = _unchunked(answer)
    ids = {line[: line.index(b",")] for line in text.split(b"\n") if line.startswith(b'{"id"')}
    return len(ids) - text.count(b'"error":{"code"')


def _unchunked(answer: bytes) -> bytes:
    """The body of an answer in chunks."""
    _head, _, rest = answer.partition(b"\r\n\r\n")
    parts: list[bytes] = []
    begins = 0
    while True:
        ends = rest.index(b"\r\n", begins)
        size = int(rest[begins:ends], 16)
        if not size:
            return b"".join(parts)
        parts.append(rest[ends + 2 : ends + 2 + size])
        begins = ends + 2 + size + 2


def _cpu_s(pid: int) -> float:
    """Of a service, from the kernel's clock of each of its processes."""
    return sum(time.clock_gettime((~each << 3) | 2) for each in service_pids(pid))


# What came of it


def _judge(findings: Findings, at_once: Sequence[Round], sleeping: dict[int, Round]) -> None:
    of = {count: [each for each in at_once if each.workers == count] for count in sleeping}
    rate = {count: statistics.median(each.lines_per_s for each in of[count]) for count in of}
    cpu = {count: statistics.median(each.cpu_ms for each in of[count]) for count in of}
    head = ["processes", "lines a second", "CPU ms a line", "64 slots of 200 ms, a second", "lost"]
    rows = [
        [
            str(count),
            number(rate[count]),
            number(cpu[count]),
            number(sleeping[count].lines_per_s),
            str(sum(each.lost_count for each in (*of[count], sleeping[count]))),
        ]
        for count in of
    ]
    findings.tables.append(table(head, rows))
    most = _SLEEPING_SLOTS / _SLEEP_S
    lost_count = sum(each.lost_count for each in (*at_once, *sleeping.values()))
    for count in sorted(of.keys() - {1}):
        grown, share = rate[count] / rate[1], sleeping[count].lines_per_s / most
        wanted = _SHARE_MIN * count
        findings.claims += [
            Claim(
                f"{count} processes answer {wanted:g} times as many lines a second as one",
                number(grown),
                grown >= wanted,
            ),
            Claim(
                f"a line costs at most a ninth more CPU time with {count}",
                number(cpu[count] / cpu[1]),
                cpu[count] <= cpu[1] * 10 / 9,
            ),
            Claim(
                f"64 slots of 200 ms with {count}: {_SHARE_MIN:g} of {most:g} a second",
                number(share),
                share >= _SHARE_MIN,
            ),
        ]
    findings.claims.append(Claim("no line is lost", str(lost_count), not lost_count))
    findings.data["rounds"] = [asdict(each) for each in (*at_once, *sleeping.values())]


def _draw(rounds: Sequence[Round], path: Path) -> None:
    from harness.plot_style import OURS, picture

    with picture(path, (5, 3)) as figure:
        axis = figure.subplots()
        counts = sorted({each.workers for each in rounds})
        for count in counts:
            rates = [each.lines_per_s for each in rounds if each.workers == count]
            axis.plot([count] * len(rates), rates, "o", color=OURS)
        axis.set_xticks(counts)
        axis.set_xlabel("processes")
        axis.set_ylim(bottom=0)
        axis.set_title("lines of batches a second, answered at once")


if __name__ == "__main__":
    sys.exit(main())
