"""Memory of service and client over one long batch of verify lines, as numbers and as a plot.

    python -m benchmarks.batch_memory [--lines 100000] [--plot FILE]

Most lines compare an output, one in fifty runs a prediction. Exits with 1 if a line was lost,
answered twice or answered wrongly.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.local_service import LocalService
from harness.meters import resident_mb

from execbox import BatchResult, Client, wire

_RUN_EVERY = 50
_SAMPLE_S = 0.5
_DOUBLE = {"code": "def main_solution(n):\n    return n * 2\n"}


@dataclass
class Samples:
    """Resident sets in MiB, and how many lines were answered when they were read."""

    answered: list[int] = field(default_factory=list)
    service_mb: list[float] = field(default_factory=list)
    client_mb: list[float] = field(default_factory=list)


@dataclass
class Watch:
    """Samples two processes until it is told to end."""

    service_pid: int
    samples: Samples = field(default_factory=Samples)
    answered_count: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        ended = False
        while not ended:
            ended = self.ended.wait(_SAMPLE_S)
            self.samples.answered.append(self.answered_count)
            self.samples.service_mb.append(resident_mb(self.service_pid))
            self.samples.client_mb.append(resident_mb(os.getpid()))


def lines(count: int) -> Iterator[dict[str, Any]]:
    """Line n is right if n is even."""
    for number in range(count):
        right = number % 2 == 0
        if number % _RUN_EVERY in (0, 1):
            item = {
                "kind": "input",
                "function": _DOUBLE,
                "prediction": {"n": number},
                "output": 2 * number if right else -1,
            }
        else:
            item = {"kind": "output", "prediction": [number], "output": [number] if right else []}
        yield {
            "id": str(number),
            "op": "verify",
            "items": [{"id": "1"} | item],
            "isolation": "process",
        }


def is_right(result: BatchResult) -> bool:
    expected = "correct" if int(result.id or -1) % 2 == 0 else "incorrect"
    answer = result.answer
    return isinstance(answer, wire.VerifyAnswer) and answer.items[0].verdict == expected


def draw(samples: Samples, path: Path) -> None:
    """Both lines over the lines answered; needs matplotlib."""
    from harness.plot_style import OTHERS, OURS, picture

    with picture(path, (8, 3.5)) as figure:
        axis = figure.subplots()
        axis.plot(samples.answered, samples.service_mb, label="service", color=OURS)
        axis.plot(samples.answered, samples.client_mb, label="client", color=OTHERS)
        axis.set_xlabel("lines answered")
        axis.set_ylabel("resident memory, MiB")
        axis.set_ylim(0, 1.25 * max(samples.service_mb + samples.client_mb))
        axis.legend()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.batch_memory", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args(argv)
    seen = bytearray(args.lines)
    wrong_count = 0
    with LocalService() as service, Client(config=service.config()) as client:
        watch = Watch(service.pid)
        thread = threading.Thread(target=watch.run)
        thread.start()
        begun_s = time.monotonic()
        try:
            for result in client.batch(lines(args.lines)):
                seen[int(result.id or -1)] += 1
                wrong_count += not is_right(result)
                watch.answered_count += 1
        finally:
            watch.ended.set()
            thread.join()
        took_s = time.monotonic() - begun_s
    samples = watch.samples
    lost, twice = seen.count(0), args.lines - seen.count(0) - seen.count(1)
    print(f"{args.lines} lines in {took_s:.0f} s; lost {lost}, twice {twice}, wrong {wrong_count}")
    for name, values in (("service", samples.service_mb), ("client", samples.client_mb)):
        middle = values[len(values) // 2 :]
        print(
            f"{name}: {values[len(values) // 10]:.0f} MiB after a tenth, "
            f"{min(middle):.0f} to {max(middle):.0f} MiB in the second half"
        )
    if args.plot:
        draw(samples, args.plot)
    return 1 if lost or twice or wrong_count else 0


if __name__ == "__main__":
    sys.exit(main())
