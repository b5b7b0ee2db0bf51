"""Clients that are killed, vanish without a word or stop reading: slots come back."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest
from harness.exported import exported
from harness.local_service import LocalService

from execbox import Client
from tests.api.harness import wait_until

pytestmark = pytest.mark.docker

BACK_S: Final = 2.0
TCP_REPAIR: Final = 19
"""linux/tcp.h: a socket that is closed in this state tells its peer nothing."""
CLIENT = """
import sys
from execbox import Client
code = "import time\\ndef main_solution(n):\\n    time.sleep(50)\\n"
program = "import time\\ntime.sleep(50)"
limits = {"wall_time_s": 60}
with Client(sys.argv[1]) as client:
    match sys.argv[2]:
        case "execute":
            client.execute(code, [{"n": n} for n in range(3)], limits=limits)
        case "execute in a shared container":
            client.execute(code, [{"n": 1}], limits=limits, isolation="process")
        case "generate":
            draw = "def input_generator(): return {'n': 1}"
            client.generate(code, draw, count=2, limits=limits)
        case "verify":
            item = {"id": "1", "kind": "input", "function": {"code": code},
                    "prediction": {"n": 1}, "output": 1, "limits": limits}
            client.verify([item])
        case "run":
            client.run(program, limits=limits)
        case "watched cell":
            with client.session(limits=limits) as session:
                session.run(program, on_output=print)
"""


@pytest.fixture(scope="module")
def service() -> Iterator[LocalService]:
    with LocalService(engine="docker", slot_count="2") as running:
        yield running


def slots_active(service: LocalService) -> int:
    return int(exported(service.url)["execbox_slots_active"])


@pytest.mark.parametrize(
    "what",
    [
        "execute",
        "execute in a shared container",
        "generate",
        "verify",
        "run",
        "watched cell",
    ],
)
def test_killed_client_gives_its_slots_back_within_two_seconds(
    service: LocalService, what: str
) -> None:
    """Whatever it had asked for, what runs is stopped at once."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLIENT, service.url, what], stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: slots_active(service) >= 1, timeout_s=20)
        # Not before the code runs: between two of them there is nothing to stop.
        time.sleep(0.3)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_until(lambda: slots_active(service) == 0, timeout_s=BACK_S)


def connected(service: LocalService) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2])))


def asking(path: str, body: bytes, *, media: str = "json") -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/{media}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def execute(sleep_s: float, **fields: Any) -> dict[str, Any]:
    code = "import time\ndef main_solution(s):\n    time.sleep(s)\n    return 'x' * 500_000"
    call = {"args": [sleep_s]}
    return {"function": {"code": code}, "calls": [call], "isolation": "process"} | fields


def vanish(connection: socket.socket) -> None:
    """As a machine that loses its power: neither an end nor a reset is sent."""
    if os.geteuid() != 0:
        pytest.skip("closing a connection without a word takes root")
    connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    connection.close()


def test_client_that_vanished_without_a_word_holds_a_slot_no_longer_than_its_work(
    service: LocalService,
) -> None:
    """Nobody can know before there is something to send."""
    connection = connected(service)
    connection.sendall(asking("/v1/execute", json.dumps(execute(2.0)).encode()))
    wait_until(lambda: slots_active(service) == 1, timeout_s=20)
    vanish(connection)
    wait_until(lambda: slots_active(service) == 0, timeout_s=2.0 + BACK_S)


def test_batch_whose_client_vanished_ends_with_the_lines_under_way(service: LocalService) -> None:
    """The first answer that cannot be delivered ends it."""
    lines = [execute(0.5, id=str(n), op="execute") for n in range(200)]
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    connection = connected(service)
    connection.sendall(asking("/v1/batch", body, media="x-ndjson"))
    wait_until(lambda: slots_active(service) == 2, timeout_s=20)
    vanish(connection)
    wait_until(lambda: slots_active(service) == 0, timeout_s=0.5 + BACK_S)


def test_batch_whose_reader_stalls_holds_no_slot_that_others_wait_for(
    service: LocalService,
) -> None:
    """Its lines go on until the answers that nobody takes fill what they may; then nothing runs."""
    lines = [execute(0.01, id=str(n), op="execute") for n in range(200)]
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    with connected(service) as connection:
        connection.sendall(asking("/v1/batch", body, media="x-ndjson"))
        wait_until(lambda: slots_active(service) > 0, timeout_s=20)

        def stands_still() -> bool:
            before = executed(service)
            time.sleep(0.7)
            return slots_active(service) == 0 and executed(service) == before

        wait_until(stands_still, timeout_s=20)
        assert executed(service) < 200
        began_s = time.monotonic()
        with Client(config=service.config()) as client:
            client.execute("def main_solution(): return 1", [[]], isolation="process")
        assert time.monotonic() - began_s < BACK_S


def executed(service: LocalService) -> float:
    return exported(service.url)["execbox_executions_ended_total"]
