"""``python -m benchmarks.coordinator``: what the service itself spends on an execution.

With an engine that answers at once, so that nothing but the service is measured: the CPU time of
its process for each line of a batch, item of a verify request, call of a large job, and single
request. ``--beside FOLDER`` measures a second checkout in turns with this one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.instant import InstantService
from harness.measurement import say
from harness.report import table

from benchmarks.work import TRIVIAL_CODE

_ROOT = Path(__file__).resolve().parents[1]
_CONNECTION_COUNT = 16
_CALLS_PER_JOB = 2000
_ITEMS_PER_REQUEST = 1000
_ITEMS_PER_FUNCTION = 10
_ROUND_COUNT = 5


@dataclass(frozen=True)
class Shape:
    """One way to ask for executions: how many of them, and what sends them."""

    name: str
    count: int
    send: Callable[[int, int], Coroutine[None, None, None]]
    """Given the port and how many."""
    step: int = 1
    """They are sent in multiples of it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coordinator", description=__doc__)
    parser.add_argument("--beside", type=Path, help="a checkout of the revision to compare with")
    parser.add_argument("--rounds", type=int, default=_ROUND_COUNT)
    parser.add_argument("--only", choices=[shape.name for shape in SHAPES])
    asked = parser.parse_args(argv)
    shapes = [shape for shape in SHAPES if asked.only in (None, shape.name)]
    checkouts = {"this": _ROOT} | ({"before": asked.beside.resolve()} if asked.beside else {})
    found: dict[tuple[str, str], list[float]] = {}
    services = {name: InstantService(path) for name, path in checkouts.items()}
    try:
        for service in services.values():
            service.start()
        for number in range(asked.rounds + 1):
            for shape in shapes:
                for name, service in services.items():
                    spent_ms = _spent_ms(service, shape)
                    # In the first, interpreters warm up.
                    if number:
                        found.setdefault((shape.name, name), []).append(spent_ms)
            say(f"round {number} of {asked.rounds}")
    finally:
        for service in services.values():
            service.stop()
    print(_table(shapes, list(checkouts), found))
    return 0


def _spent_ms(service: InstantService, shape: Shape) -> float:
    """CPU milliseconds of the service's process for one of a shape's executions."""
    before_s = service.cpu_s()
    asyncio.run(shape.send(service.port, shape.count))
    return (service.cpu_s() - before_s) / shape.count * 1000


def _table(
    shapes: Sequence[Shape], names: Sequence[str], found: dict[tuple[str, str], list[float]]
) -> str:
    rows = []
    for shape in shapes:
        medians = [statistics.median(found[shape.name, name]) for name in names]
        cells = [f"{median:.3f}" for median in medians]
        best = [f"{min(found[shape.name, name]):.3f}" for name in names]
        ratio = [f"{medians[0] / medians[1]:.2f}"] if len(medians) > 1 else []
        rows.append([shape.name, *cells, *best, *ratio])
    head = [f"CPU ms, {name}" for name in names] + [f"least, {name}" for name in names]
    return table(["one", *head, *(["ratio"] if len(names) > 1 else [])], rows)


# What is sent


async def _lines(port: int, count: int) -> None:
    request = {"function": {"code": TRIVIAL_CODE}, "isolation": "process"}
    lines = b"".join(
        json.dumps(
            {"id": str(number), "op": "execute"} | request | {"calls": [{"kwargs": {"n": number}}]}
        ).encode()
        + b"\n"
        for number in range(count)
    )
    answer = await _post(port, "/v1/batch", lines, media_type="application/x-ndjson")
    _expect(answer.count(b'"status":"ok"'), count)


async def _items(port: int, count: int) -> None:
    for start in range(0, count, _ITEMS_PER_REQUEST):
        items = [
            {
                "id": str(number),
                "kind": "input",
                "function": {"code": f"{TRIVIAL_CODE}# {number // _ITEMS_PER_FUNCTION}\n"},
                "prediction": {"n": number},
                "output": 42,
            }
            for number in range(start, start + _ITEMS_PER_REQUEST)
        ]
        body = json.dumps({"items": items, "isolation": "process"}).encode()
        answer = await _post(port, "/v1/verify", body)
        # Of real sandboxes, which answer twice the prediction, all but one are wrong.
        verdicts = (b'"verdict":"correct"', b'"verdict":"incorrect"')
        _expect(sum(map(answer.count, verdicts)), _ITEMS_PER_REQUEST)


async def _calls(port: int, count: int) -> None:
    for start in range(0, count, _CALLS_PER_JOB):
        request = {
            "function": {"code": TRIVIAL_CODE},
            "isolation": "process",
            "calls": [{"kwargs": {"n": start + n}} for n in range(_CALLS_PER_JOB)],
        }
        answer = await _post(port, "/v1/execute", json.dumps(request).encode())
        _expect(answer.count(b'"status":"ok"'), _CALLS_PER_JOB)


async def _singles(port: int, count: int) -> None:
    each_count = count // _CONNECTION_COUNT
    await asyncio.gather(*(_singles_of_one(port, each_count) for _ in range(_CONNECTION_COUNT)))


async def _singles_of_one(port: int, count: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = {"function": {"code": TRIVIAL_CODE}, "isolation": "process"}
    body = json.dumps(request | {"calls": [{"kwargs": {"n": 21}}]}).encode()
    message = _message(port, "/v1/execute", body, media_type="application/json")
    for _ in range(count):
        writer.write(message)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        _expect((await reader.readexactly(length)).count(b'"status":"ok"'), 1)
    writer.close()


async def _post(
    port: int, path: str, body: bytes, *, media_type: str = "application/json"
) -> bytes:
    """The whole answer of one request on a connection of its own, chunk sizes included."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    message = _message(port, path, body, media_type=media_type, more=b"Connection: close\r\n")
    writer.write(message)
    answer = await reader.read(-1)
    writer.close()
    return answer


def _message(port: int, path: str, body: bytes, *, media_type: str, more: bytes = b"") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {media_type}\r\n"
        f"Content-Length: {len(body)}\r\n"
    ).encode() + b"%b\r\n%b" % (more, body)


def _expect(found_count: int, count: int) -> None:
    if found_count != count:
        raise SystemExit(f"coordinator: {found_count} of {count} answers as they should be")


SHAPES = (
    Shape("line", 4000, _lines),
    Shape("item", 4000, _items, step=_ITEMS_PER_REQUEST),
    Shape("call", 10_000, _calls, step=_CALLS_PER_JOB),
    Shape("single", 2000, _singles, step=_CONNECTION_COUNT),
)


if __name__ == "__main__":
    sys.exit(main())
