"""Batches on real containers: what a client that dies, a long batch and a small queue do."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from harness.exported import exported
from harness.local_service import LocalService
from harness.meters import resident_mb

from execbox import Client, wire
from tests.api.harness import wait_until

pytestmark = pytest.mark.docker

DOUBLE = "def main_solution(n):\n    return n * 2\n"
SLEEP = "import time\ndef main_solution(n):\n    time.sleep(n)\n    return n\n"


@pytest.fixture(scope="module")
def service() -> Iterator[LocalService]:
    """A service with two slots and a queue that a batch would overflow."""
    with LocalService(engine="docker", slot_count="2", queue_size="2") as running:
        yield running


def line(name: str, code: str, argument: Any, **fields: Any) -> dict[str, Any]:
    """An execute line that runs in a shared sandbox."""
    body = {"id": name, "op": "execute", "function": {"code": code}, "isolation": "process"}
    return body | {"calls": [{"args": [argument]}]} | fields


def slots_active(service: LocalService) -> int:
    """As the service itself counts them."""
    return int(exported(service.url)["execbox_slots_active"])


def executed_count(service: LocalService) -> int:
    """Executions that have ended, whatever their status."""
    values = exported(service.url).items()
    return int(sum(value for name, value in values if name.startswith("execbox_executions_total")))


def test_batch_of_every_operation_runs(service: LocalService) -> None:
    """Executions, pairs and verdicts in one stream."""
    item = {
        "id": "1",
        "kind": "input",
        "function": {"code": DOUBLE},
        "prediction": 4,
        "output": 8,
    }
    lines = [
        line("e", DOUBLE, 4),
        {
            "id": "g",
            "op": "generate",
            "function": {"code": DOUBLE},
            "input_generator": {
                "code": "import random\ndef input_generator(): return {'n': random.randint(1, 99)}"
            },
            "count": 2,
            "isolation": "process",
        },
        {"id": "v", "op": "verify", "items": [item], "isolation": "process"},
    ]
    with Client(config=service.config()) as client:
        results = {result.id: result for result in client.batch(lines)}
    assert [result.error for result in results.values()] == [None] * 3
    executed, generated, verified = (results[name].answer for name in ("e", "g", "v"))
    assert isinstance(executed, wire.ExecuteAnswer)
    assert executed.executions[0].output == 8
    assert isinstance(generated, wire.GenerateAnswer)
    assert [pair.output for pair in generated.pairs] == [
        pair.input["n"] * 2 for pair in generated.pairs
    ]
    assert isinstance(verified, wire.VerifyAnswer)
    assert verified.items[0].verdict == "correct"


def test_batch_longer_than_the_queue_is_not_refused(service: LocalService) -> None:
    """Overload inside a batch waits: nothing fails, and nothing had to be sent again."""
    with Client(config=service.config()) as client:
        results = list(client.batch(line(str(n), DOUBLE, n) for n in range(300)))
    assert sorted(int(result.id or "-1") for result in results) == list(range(300))
    for result in results:
        assert isinstance(result.answer, wire.ExecuteAnswer)
        assert result.answer.executions[0].output == 2 * int(result.id or "-1")


def test_single_request_waits_for_lines_and_not_for_the_batch(service: LocalService) -> None:
    """Of the same key: it takes turns with the batch, of which it lets two lines or so pass."""
    with Client(config=service.config()) as client:
        before_count = executed_count(service)
        stream = client.batch(line(str(n), SLEEP, 0.5) for n in range(12))
        next(stream)
        client.execute(DOUBLE, [{"n": 1}], isolation="process")
        passed_count = executed_count(service) - before_count - 1
        assert sum(1 for _ in stream) == 11
    assert passed_count <= 6


CLIENT = """
import sys
from execbox import Client
code = "import time\\ndef main_solution(n):\\n    time.sleep(n)\\n"
def lines():
    for n in range(int(sys.argv[2])):
        yield {"id": str(n), "op": "execute", "function": {"code": code}, "isolation": "process",
               "calls": [{"args": [50]}], "limits": {"wall_time_s": 60}}
with Client(sys.argv[1]) as client:
    for result in client.batch(lines()):
        pass
"""


@pytest.mark.parametrize("line_count", [4, 1000])
def test_killed_client_frees_the_slots_within_two_seconds(
    service: LocalService, line_count: int
) -> None:
    """Whatever was running is stopped, and whatever was waiting is forgotten."""
    process = subprocess.Popen([sys.executable, "-c", CLIENT, service.url, str(line_count)])
    try:
        wait_until(lambda: slots_active(service) == 2, timeout_s=20)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    killed_s = time.monotonic()
    wait_until(lambda: slots_active(service) == 0, timeout_s=2)
    with Client(config=service.config()) as client:
        client.execute(DOUBLE, [{"n": 1}], isolation="process")
    assert time.monotonic() - killed_s < 10


def test_memory_of_service_and_client_does_not_grow_with_the_batch(service: LocalService) -> None:
    """Ten times the lines in the same memory, nothing lost, every id once."""

    def lines(count: int) -> Iterator[dict[str, Any]]:
        for number in range(count):
            item = {"id": "1", "kind": "output", "prediction": number % 2, "output": 1}
            yield {"id": str(number), "op": "verify", "items": [item] * 5}

    def run(count: int) -> tuple[float, float]:
        seen: set[str | None] = set()
        with Client(config=service.config()) as client:
            for result in client.batch(lines(count)):
                assert isinstance(result.answer, wire.VerifyAnswer)
                assert result.id not in seen
                seen.add(result.id)
        assert len(seen) == count
        return resident_mb(service.pid), resident_mb()

    service_mb, client_mb = run(500)
    service_later_mb, client_later_mb = run(5000)
    assert service_later_mb - service_mb < 15
    assert client_later_mb - client_mb < 15
