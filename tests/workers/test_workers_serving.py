"""Several workers as one service, with fake sandboxes: connections, limits, deaths, hanging, the
end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from harness.meters import service_pids

from execbox import AsyncClient
from execbox_service.settings import hash_api_key
from tests.workers.serving import Served, batch_line, execute_body, output_of, served, wait_until

KEYS = ",".join(f"{name}:{hash_api_key(name * 20)}" for name in ("a", "b"))


def _headers(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name * 20}"}


@pytest.fixture(scope="module")
def service() -> Iterator[Served]:
    with served() as it:
        yield it


def _worker_of(client: httpx.Client, url: str) -> int:
    answer = client.post(f"{url}/v1/execute", json=execute_body({"who": True}))
    pid = output_of(answer)
    assert isinstance(pid, int)
    return pid


def test_two_connections_of_one_client_come_to_two_workers(service: Served) -> None:
    """And stay there, request after request."""
    with httpx.Client() as one, httpx.Client() as two:
        pids = [[_worker_of(client, service.url) for client in (one, two)] for _ in range(3)]
    assert set(pids[0]) == service.worker_pids()
    assert pids[1:] == [pids[0]] * 2


def test_meters_of_a_service_take_in_its_workers(service: Served) -> None:
    """What a benchmark says of CPU time and memory is of all of its processes."""
    assert set(service_pids(service.process.pid)) == {service.process.pid} | service.worker_pids()


def test_many_connections_are_spread_evenly(service: Served) -> None:
    """However many there are, no worker has two more than a different one."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(httpx.Client()) for _ in range(11)]
        counts = Counter(_worker_of(client, service.url) for client in clients)
    assert sorted(counts.values()) == [5, 6]


async def test_batch_on_one_connection_uses_all_slots(service: Served) -> None:
    """Four executions of 0.2 s at a time, though each of two workers has half of the cores."""
    began_s = time.monotonic()
    async with AsyncClient(config=service.config()) as client:
        lines = [batch_line(n, sleep_s=0.2) for n in range(40)]
        answers = [each async for each in client.batch(lines, concurrency=1)]
    took_s = time.monotonic() - began_s
    assert sorted(each.id or "" for each in answers) == sorted(map(str, range(40)))
    assert all(each.error is None for each in answers)
    # Two slots would take four seconds.
    assert took_s < 3.4


def test_metrics_are_of_all_workers(service: Served) -> None:
    """What one counts and what the other does, whichever is asked."""
    before = service.metric("execbox_executions_ended_total")
    with httpx.Client() as one, httpx.Client() as two:
        for client in (one, two, two):
            client.post(f"{service.url}/v1/execute", json=execute_body({"n": 1}, {"n": 2}))
    assert service.metric("execbox_executions_ended_total") - before == 6
    assert service.metric("execbox_slots") == 4
    assert service.metric("execbox_workers_ready") == 2


def test_capabilities_and_readiness_are_of_the_whole(service: Served) -> None:
    """All slots, and ready."""
    able = httpx.get(f"{service.url}/v1/capabilities").json()
    assert able["concurrency"] == 4
    assert httpx.get(f"{service.url}/readyz").json() == {"ready": True, "reason": None}


# Keys


def test_key_concurrency_is_exact_over_workers() -> None:
    """Of twelve requests at once on as many connections, as many are let in as the key may have,
    whichever workers they come to; a different key is let in beside them."""
    with served(api_key_hashes=KEYS, key_concurrency_max="3", slot_count="8") as service:

        def ask(client: httpx.Client, name: str) -> int:
            body = execute_body({"n": 1, "sleep_s": 2.0})
            url = f"{service.url}/v1/execute"
            return client.post(url, json=body, headers=_headers(name), timeout=30).status_code

        with contextlib.ExitStack() as stack, ThreadPoolExecutor(13) as threads:
            clients = [stack.enter_context(httpx.Client()) for _ in range(13)]
            asked = [threads.submit(ask, client, "a") for client in clients[1:]]
            asked_by_other = threads.submit(ask, clients[0], "b")
            counts = Counter(each.result() for each in asked)
        assert counts == {200: 3, 429: 9}
        assert asked_by_other.result() == 200


def test_key_rate_is_exact_over_workers() -> None:
    """A burst of five and then one in a hundred seconds: five of twenty, on two connections."""
    with (
        served(api_key_hashes=KEYS, key_rate_per_s="0.01", key_burst_count="5") as service,
        httpx.Client(headers=_headers("a")) as one,
        httpx.Client(headers=_headers("a")) as two,
    ):
        counts = Counter(
            client.post(f"{service.url}/v1/execute", json=execute_body({"n": 1})).status_code
            for client in (one, two) * 10
        )
    assert counts == {200: 5, 429: 15}


# Deaths


async def test_batch_goes_on_when_a_worker_is_killed() -> None:
    """The client resumes on a new connection: each line has one answer, and the worker is
    started again."""
    with served() as service:
        before = service.worker_pids()
        ids: list[str] = []
        async with AsyncClient(config=service.config()) as client:
            lines = (batch_line(n, sleep_s=0.01) for n in range(600))
            async for answer in client.batch(lines, concurrency=2):
                assert answer.error is None
                ids.append(answer.id or "")
                if len(ids) == 100:
                    os.kill(min(before), signal.SIGKILL)
        assert sorted(map(int, ids)) == list(range(600))
        wait_until(lambda: len(service.worker_pids()) == 2)
        assert min(before) not in service.worker_pids()
        assert "SIGKILL and is started again in" in service.text()


def test_worker_that_dies_frees_its_slots_and_its_keys_requests() -> None:
    """What it held would else be missing for ever."""
    with (
        served(api_key_hashes=KEYS, key_concurrency_max="2", slot_count="2") as service,
        ThreadPoolExecutor(2) as threads,
    ):
        body = execute_body({"n": 1, "sleep_s": 60})
        url = f"{service.url}/v1/execute"

        def ask() -> object:
            try:
                return httpx.post(url, json=body, headers=_headers("a"), timeout=90)
            except httpx.TransportError as broken:
                return broken

        hung = [threads.submit(ask) for _ in range(2)]
        wait_until(lambda: _active(service) == 2)
        for pid in service.worker_pids():
            os.kill(pid, signal.SIGKILL)
        assert all(isinstance(each.result(), httpx.TransportError) for each in hung)
        answer = httpx.post(url, json=execute_body({"n": 7}), headers=_headers("a"), timeout=60)
        assert output_of(answer) == 7


def _active(service: Served) -> float:
    text = httpx.get(f"{service.url}/metrics", headers=_headers("b"), timeout=30).text
    (line,) = (each for each in text.splitlines() if each.startswith("execbox_slots_active "))
    return float(line.split()[1])


def test_counters_never_go_down_when_a_worker_dies() -> None:
    """What it had counted when it was last asked stays in the sum."""
    with served() as service:
        for _ in range(4):
            with httpx.Client() as client:
                client.post(f"{service.url}/v1/execute", json=execute_body({"n": 1}))
        before = service.metric("execbox_executions_ended_total")
        os.kill(min(service.worker_pids()), signal.SIGKILL)
        wait_until(lambda: service.metric("execbox_workers_restarted_total") == 1)
        wait_until(lambda: service.metric("execbox_workers_ready") == 2)
        assert service.metric("execbox_executions_ended_total") == before == 4


def test_worker_that_dies_while_metrics_are_asked_for_is_counted_once() -> None:
    """It has said what it counted, and a different one, which hangs, is waited for."""
    with served(workers="3") as service, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(httpx.Client(timeout=30)) for _ in range(3)]
        by_pid = {_worker_of(client, service.url): client for client in clients}
        assert service.metric("execbox_executions_ended_total") == 3
        dying, hung, asked = by_pid
        os.kill(hung, signal.SIGSTOP)
        with ThreadPoolExecutor(1) as threads:
            answer = threads.submit(by_pid[asked].get, f"{service.url}/metrics")
            time.sleep(0.7)  # Less than what hangs is waited for.
            os.kill(dying, signal.SIGKILL)
            text = answer.result().text
        os.kill(hung, signal.SIGCONT)
        assert "\nexecbox_executions_ended_total 3.0\n" in text


@pytest.mark.alone
def test_worker_that_is_told_to_end_by_itself_is_handed_nothing_and_finishes() -> None:
    """As by an administrator's kill: connections come to the others, and none waits in vain."""
    with (
        served(shutdown_grace_s="60") as service,
        httpx.Client(timeout=60) as one,
        ThreadPoolExecutor(1) as threads,
    ):
        leaving = _worker_of(one, service.url)
        body = execute_body({"n": 7, "sleep_s": 8.0})
        under_way = threads.submit(one.post, f"{service.url}/v1/execute", json=body)
        wait_until(lambda: service.metric("execbox_slots_active") == 1)
        os.kill(leaving, signal.SIGTERM)
        wait_until(lambda: service.metric("execbox_workers_ready") == 1, within_s=7)
        assert not under_way.done()
        for _ in range(4):
            ready = httpx.get(f"{service.url}/readyz", timeout=30).json()
            assert ready["ready"]
            assert ready["reason"].endswith("of 2: is being started again")
        assert output_of(under_way.result()) == 7
        wait_until(lambda: service.metric("execbox_workers_ready") == 2)
        assert leaving not in service.worker_pids()


# What the others run


@pytest.fixture
def image_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the name of the image means to the workers that start from now on."""
    path = tmp_path / "image"
    path.write_text("sha256:one")
    monkeypatch.setenv("FAKE_IMAGE", str(path))
    return path


def _images(service: Served) -> set[str]:
    """Of both workers, in answers to two connections."""
    with httpx.Client(timeout=30) as one, httpx.Client(timeout=30) as two:
        assert _worker_of(one, service.url) != _worker_of(two, service.url)
        clients = (one, two)
        return {each.get(f"{service.url}/v1/capabilities").json()["image"] for each in clients}


def test_worker_started_again_has_the_image_that_the_service_began_with(image_file: Path) -> None:
    """Although the image's name means a different one by now: an image that was built anew."""
    with served() as service:
        image_file.write_text("sha256:two")
        before = service.worker_pids()
        os.kill(min(before), signal.SIGKILL)
        wait_until(lambda: len(service.worker_pids() - {min(before)}) == 2)
        wait_until(lambda: service.metric("execbox_workers_ready") == 2)
        assert _images(service) == {"sha256:one"}


def test_worker_started_again_with_a_different_image_is_refused_with_the_reason(
    image_file: Path,
) -> None:
    """It is handed no connection, and readiness says why."""
    with served() as service:
        image_file.write_text("!sha256:two")
        os.kill(min(service.worker_pids()), signal.SIGKILL)
        url = f"{service.url}/readyz"
        wait_until(lambda: "sha256:two" in (httpx.get(url, timeout=30).json()["reason"] or ""))
        ready = httpx.get(url, timeout=30).json()
        assert ready["ready"]
        assert "is being started again: it would run functions with engine fake" in ready["reason"]
        assert "began with engine fake and image sha256:one" in ready["reason"]
        assert service.metric("execbox_workers_ready") == 1
        image_file.write_text("!sha256:one")
        wait_until(lambda: service.metric("execbox_workers_ready") == 2)
        assert httpx.get(url, timeout=30).json()["reason"] is None


def test_workers_that_start_with_different_images_do_not_serve(image_file: Path) -> None:
    """The name may come to mean a different image just then."""
    image_file.write_text("!sha256:{}")
    said = "cannot start: it would run functions with"
    with pytest.raises(AssertionError, match=said), served():
        pytest.fail("it serves")


# Hanging

LOOK_S = 0.3
"""A worker says every quarter of a second that it is there, more often than it is looked at."""


def _stopped(service: Served, pid: int) -> None:
    """Stop it, and wait until it is left out."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: "does not respond and is left out" in service.text())


def test_worker_that_hangs_is_left_out_until_it_responds() -> None:
    """Connections come to the others, and readiness says which it is; then its turn comes."""
    with served(look_s=LOOK_S) as service:
        hung = min(service.worker_pids())
        _stopped(service, hung)
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(httpx.Client()) for _ in range(4)]
            assert hung not in {_worker_of(client, service.url) for client in clients}
        ready = httpx.get(f"{service.url}/readyz").json()
        assert ready["ready"]
        assert ready["reason"].endswith("of 2: does not respond")
        os.kill(hung, signal.SIGCONT)
        wait_until(lambda: "responds again" in service.text())
        with httpx.Client() as one, httpx.Client() as two:
            assert hung in {_worker_of(client, service.url) for client in (one, two)}
        assert service.metric("execbox_workers_restarted_total") == 0


def test_worker_that_goes_on_hanging_is_killed_and_started_again() -> None:
    """What it held is free again, and its callers see a broken connection."""
    with served(look_s=LOOK_S) as service:
        hung = min(service.worker_pids())
        _stopped(service, hung)
        wait_until(lambda: len(service.worker_pids() - {hung}) == 2)
        assert "still does not respond and is killed" in service.text()
        wait_until(lambda: service.metric("execbox_workers_ready") == 2)
        assert httpx.get(f"{service.url}/readyz").json() == {"ready": True, "reason": None}


def test_connections_wait_where_every_worker_hangs_and_are_answered_when_one_responds() -> None:
    """The front goes on listening for them."""
    with served(look_s=LOOK_S) as service, ThreadPoolExecutor(1) as threads:
        pids = service.worker_pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: service.text().count("is left out") == 2)
        asked = threads.submit(httpx.get, f"{service.url}/readyz", timeout=30)
        time.sleep(0.5)
        assert not asked.done()
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        assert asked.result().status_code == 200


# The end


def test_term_lets_all_workers_finish() -> None:
    """What is under way on every worker is answered, and nothing of the service is left."""
    with served(slot_count="8") as service, ThreadPoolExecutor(4) as threads:
        body = execute_body({"n": 7, "sleep_s": 1.5})

        def ask() -> httpx.Response:
            return httpx.post(f"{service.url}/v1/execute", json=body, timeout=30)

        asked = [threads.submit(ask) for _ in range(4)]
        wait_until(lambda: service.metric("execbox_slots_active") == 4)
        pids = service.worker_pids()
        assert service.end() == 0
        assert [output_of(each.result()) for each in asked] == [7] * 4
        assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def test_workers_end_when_the_front_is_killed() -> None:
    """Nobody is left who could stop them."""
    with served() as service:
        pids = service.worker_pids()
        service.process.kill()
        service.process.wait()
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))


def test_service_whose_workers_cannot_start_says_why_once_and_ends() -> None:
    """As one process does: exit code 1, and a sentence."""
    environment = os.environ | {
        "EXECBOX_WORKERS": "2",
        "EXECBOX_ENGINE": "docker",
        "EXECBOX_DOCKER_HOST": "tcp://127.0.0.1:1",
        "EXECBOX_PORT": "0",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "execbox", "serve"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.count("execbox: cannot start: nothing here can isolate a function") == 1
    assert "Traceback" not in ended.stderr
