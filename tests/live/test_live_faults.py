"""Containers that die and services that end, on a service with real containers (F20, F21)."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from docker.errors import APIError
from harness.bench import IMAGE, containers_of
from harness.docker_daemon import docker_client

from execbox_service.engines.docker.policy import LABEL
from tests.api.harness import Answer, assert_error, wait_until
from tests.live_service import (
    LiveService,
    end,
    headers_of,
    live_service,
    settings_of_attacks,
    statuses_of,
)

from .conftest import CANARY

pytestmark = [
    pytest.mark.docker,
    # The SDK leaves the socket of a connection that failed to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SLEEPS = "import time\ndef main_solution():\n    time.sleep(0.9)\n    return 'slept'"
SLEEPS_LONG = SLEEPS.replace("0.9", "6")
"""So long that nobody's load lets it end before its container is killed."""


def running_ids(instance: str) -> set[str]:
    return {each["Id"] for each in containers_of(instance) if each["State"] == "running"}


def kill(name: str) -> None:
    with docker_client() as client, contextlib.suppress(APIError):
        client.kill(name)


@contextlib.contextmanager
def executing(
    service: LiveService, *, code: str = SLEEPS, headers: str = "", count: int = 1
) -> Iterator[Callable[[], list[Answer]]]:
    """Requests whose executions are under way; the answers once they are there."""
    with ThreadPoolExecutor(count) as threads:
        answers: list[Future[Answer]] = [
            threads.submit(service.execute, code, headers=headers, isolation="process")
            for _ in range(count)
        ]
        time.sleep(0.4)
        yield lambda: [answer.result(timeout=60) for answer in answers]


def test_container_killed_from_outside_is_one_retry_and_no_verdict(service: LiveService) -> None:
    """F21: the answer is the code's, from another container."""
    headers = headers_of(CANARY)
    service.execute(SLEEPS, headers=headers, isolation="process")
    with executing(service, headers=headers) as answers:
        names = running_ids(service.instance)
        # At once: of those killed one by one, the last would be the one that the retry came to.
        with ThreadPoolExecutor(max(1, len(names))) as killers:
            killers.map(kill, names)
        (answer,) = answers()
    assert statuses_of(answer) == ["ok"]
    assert answer.json["executions"][0]["output"] == "slept"


def test_containers_killed_again_and_again_are_503_and_the_next_request_is_answered() -> None:
    """F21: retryable, and never no_result, timeout or any other verdict."""
    headers = headers_of(CANARY)
    ended = threading.Event()

    def kill_all(instance: str) -> None:
        with docker_client() as client:
            while not ended.is_set():
                for name in running_ids(instance):
                    with contextlib.suppress(APIError):
                        client.kill(name)
                # Long enough for a new one to be made and to begin.
                ended.wait(0.7)

    with (
        live_service(settings_of_attacks(wall_time_s_max="10")) as service,
        executing(service, code=SLEEPS_LONG, headers=headers) as answers,
    ):
        killer = threading.Thread(target=kill_all, args=(service.instance,))
        killer.start()
        try:
            (answer,) = answers()
        finally:
            ended.set()
            killer.join()
        assert_error(answer, 503)
        wait_until(lambda: service.execute(SLEEPS, headers=headers).status == 200, timeout_s=30)


def test_sigterm_answers_running_executions_and_leaves_nothing() -> None:
    """F20: those that end in time with their result, the others with 503."""
    with live_service(settings_of_attacks(shutdown_grace_s="0")) as service:
        with executing(service, count=3) as answers:
            service.process.terminate()
            received = answers()
        assert end(service.process) == 0
        for answer in received:
            if answer.status == 200:
                assert statuses_of(answer) == ["ok"]
            else:
                assert_error(answer, 503)
        assert containers_of(service.instance) == []


def test_sigkill_lets_containers_end_and_the_next_start_removes_its_own_only() -> None:
    """F20: nobody is left to tell them, they end all the same; what is somebody else's stays."""
    with docker_client() as client, contextlib.ExitStack() as stack:
        with live_service(settings_of_attacks()) as service:
            neighbours = set()
            for labels in ({LABEL: service.instance + "0"}, {"name": service.instance}, {}):
                made = client.create_container(IMAGE, labels=labels, network_disabled=True)["Id"]
                stack.callback(client.remove_container, made, force=True)
                neighbours.add(made)
            with executing(service, count=2), contextlib.suppress(AssertionError, OSError):
                end(service.process, number=signal.SIGKILL)
            left = service.containers()
            assert left
            wait_until(lambda: not running_ids(service.instance), timeout_s=15)
        with live_service(settings_of_attacks(), port=service.port) as again:
            assert not again.containers() & left
            assert again.canary_is_ok()
            assert neighbours <= {each["Id"] for each in client.containers(all=True)}
