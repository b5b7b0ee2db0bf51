"""Several workers on real containers: a killed one's are removed, and sessions are reached through
any connection."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness.bench import containers_of

from execbox import AsyncClient
from tests.live_service import LiveService, live_service
from tests.workers.serving import batch_line, wait_until

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def running(_no_settings_from_outside: None) -> Iterator[LiveService]:
    """Two workers with a slot each."""
    with live_service({"workers": "2", "slot_count": "2", "key_session_count_max": "3"}) as it:
        yield it


def _names(service: LiveService) -> set[str]:
    return {str(each["Names"][0]).lstrip("/") for each in containers_of(service.instance)}


def _of_worker(names: set[str], number: int) -> set[str]:
    return {name for name in names if name.startswith(f"execbox-{number:04x}")}


def _worker_pids(service: LiveService) -> dict[int, int]:
    """By number, which the service's log says, and their children's order is."""
    front = service.process.pid
    children = Path(f"/proc/{front}/task/{front}/children").read_text().split()
    return dict(enumerate(sorted(map(int, children)), start=1))


def _cell(client: httpx.Client, address: str, code: str) -> dict[str, Any]:
    answer: dict[str, Any] = client.post(f"{address}/run", json={"code": code}, timeout=60).json()
    return answer


def test_session_is_reached_through_any_connection(running: LiveService) -> None:
    """Cells, files, streams and its end: of four connections, two come to the worker that does not
    have it."""
    clients = [httpx.Client(timeout=60) for _ in range(4)]
    begun = clients[0].post(f"{running.url}/v1/sessions", json={})
    address = f"{running.url}/v1/sessions/{begun.json()['id']}"
    assert _cell(clients[0], address, "n = 0")["status"] == "ok"
    for count, client in enumerate(clients, start=1):
        assert _cell(client, address, "n += 1; n")["value"]["repr"] == str(count)
        put = client.put(
            f"{address}/files/d/{count}.bin",
            content=bytes(range(256)) * count,
            headers={"Content-Type": "application/octet-stream"},
        )
        assert put.status_code == 204
    for count, client in enumerate(clients):
        assert client.get(f"{address}/files/d/3.bin").content == bytes(range(256)) * 3
        missing = client.get(f"{address}/files/none").json()
        assert missing["error"]["code"] == "session_file_missing"
        assert client.get(address).json()["cells"] == 5 + count
        lines = client.post(f"{address}/run", json={"code": "print(1); 2", "stream": True}).text
        assert '"stdout":"1\\n"' in lines.replace(" ", "")
        assert '"repr":"2"' in lines.replace(" ", "")
    assert clients[3].delete(address).status_code == 204
    for client in clients:
        assert client.get(address).json()["error"]["code"] == "session_gone"
        client.close()


def test_sessions_of_a_key_are_counted_over_workers(running: LiveService) -> None:
    """Three are its most, whichever workers they live in."""
    with httpx.Client(timeout=60) as one, httpx.Client(timeout=60) as two:
        begun = [client.post(f"{running.url}/v1/sessions", json={}) for client in (one, two, one)]
        refused = two.post(f"{running.url}/v1/sessions", json={})
        assert refused.json()["error"]["code"] == "sessions_too_many"
        assert len({each.json()["id"][0] for each in begun}) == 2
        for each in begun:
            assert one.delete(f"{running.url}/v1/sessions/{each.json()['id']}").is_success


async def test_killed_workers_containers_are_removed_and_its_batch_goes_on(
    running: LiveService,
) -> None:
    """Each line has its one answer; what the worker had is gone, a new one has its own."""
    wait_until(lambda: all(_of_worker(_names(running), number) for number in (1, 2)))
    before, pid = _of_worker(_names(running), 1), _worker_pids(running)[1]
    ids: list[str] = []
    async with AsyncClient(running.url) as client:
        async for answer in client.batch((batch_line(n) for n in range(400)), concurrency=2):
            assert answer.error is None
            ids.append(answer.id or "")
            if len(ids) == 50:
                os.kill(pid, signal.SIGKILL)
    assert sorted(map(int, ids)) == list(range(400))
    wait_until(lambda: not before & _names(running))
    wait_until(lambda: len(_worker_pids(running)) == 2)
    wait_until(lambda: bool(_of_worker(_names(running), 1)))


def test_cell_that_came_through_a_different_worker_is_answered_when_the_service_ends() -> None:
    """The worker that it runs in has no request of its own, and waits for it all the same."""
    settings = {"workers": "2", "slot_count": "2", "shutdown_grace_s": "60"}
    with (
        live_service(settings) as service,
        httpx.Client(timeout=60) as one,
        httpx.Client(timeout=60) as two,
        ThreadPoolExecutor(1) as threads,
    ):
        # Their connections come to two workers.
        session_ids = [
            client.post(f"{service.url}/v1/sessions", json={}).json()["id"] for client in (one, two)
        ]
        assert len({session_id[0] for session_id in session_ids}) == 2
        address = f"{service.url}/v1/sessions/{session_ids[0]}"
        code = "import time; time.sleep(3); 7"
        asked = threads.submit(_cell, two, address, code)
        wait_until(lambda: bool(one.get(address).json()["running"]))
        service.process.send_signal(signal.SIGTERM)
        assert asked.result()["value"]["repr"] == "7"
