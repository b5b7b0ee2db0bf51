"""The ways to run checks that are compared; measuring them is in ``series.py``.

Each way is a context manager, since most keep something running, and runs a list of checks.
Functions of a corpus only ever run inside containers.
"""

from __future__ import annotations

import http.client
import json
import queue
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import inside
from benchmarks.work import Check
from execbox.wire import Isolation

_REQUEST_TIMEOUT_S = 120
_INSIDE_TIMEOUT_S = 600
# What any sensible use of Docker for this would set; ours sets more.
_DOCKER_OPTIONS = ("--network", "none", "--memory", "640m", "--pids-limit", "128")


@dataclass(frozen=True)
class Runs:
    """How a list of checks went: one latency for each check, in no order, or none at all."""

    elapsed_s: float
    latencies_s: list[float]
    ok_count: int
    cpu_s: float | None = None
    """What those that ran them say they used, where they do."""


@dataclass(frozen=True)
class Way:
    """A name, how many checks at once, and how to run a list of them for some rounds."""

    name: str
    concurrency: int
    run: Callable[[Sequence[Check], int], Runs]


@contextmanager
def over_http(url: str, isolation: Isolation, *, concurrency: int) -> Iterator[Way]:
    """execbox: each check a request of its own, from a client that does as little as possible."""
    local = threading.local()
    address = urlsplit(url).netloc

    def run(body: bytes) -> bool:
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection(address, timeout=_REQUEST_TIMEOUT_S)
        local.connection.request("POST", "/v1/execute", body, {"Content-Type": "application/json"})
        return _ended_ok(local.connection.getresponse().read())

    def run_all(checks: Sequence[Check], rounds: int) -> Runs:
        bodies = [check.as_request(isolation) for check in checks] * rounds
        return spread(run, bodies, concurrency)

    yield Way(f"execbox {isolation}", concurrency, run_all)


@contextmanager
def over_batch(url: str, isolation: Isolation, *, concurrency: int) -> Iterator[Way]:
    """execbox: all checks as lines of one ``POST /v1/batch``; how many run at once is its choice.

    A line's latency is not measured: they are all sent as fast as the service takes them.
    """

    def run_all(checks: Sequence[Check], rounds: int) -> Runs:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_REQUEST_TIMEOUT_S)
        lines = [
            check.as_batch_line(isolation, number=number)
            for number, check in enumerate([*checks] * rounds)
        ]
        began_s = time.monotonic()
        connection.putrequest("POST", "/v1/batch")
        connection.putheader("Content-Type", "application/x-ndjson")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        # The connection lets go of its socket once a response to an unfinished request begins, and
        # would send what is left over a new one.
        with connection.sock.dup() as sending:
            sender = threading.Thread(target=_send_chunks, args=(sending, lines), daemon=True)
            sender.start()
            ok_count = sum(_ended_ok(line) for line in connection.getresponse())
            sender.join()
        connection.close()
        return Runs(time.monotonic() - began_s, [], ok_count)

    yield Way(f"execbox {isolation}, batch", concurrency, run_all)


@contextmanager
def docker_run(image: str, *, concurrency: int) -> Iterator[Way]:
    """A container for each check, made and removed by the Docker command line."""
    command = ["docker", "run", "-i", "--rm", *_DOCKER_OPTIONS]
    command += ["--entrypoint", "python3", image, "-c", inside.ONE_CHECK]
    yield Way("docker run", concurrency, _by_command(lambda: command, concurrency))


@contextmanager
def docker_exec(image: str, *, concurrency: int) -> Iterator[Way]:
    """Containers that stay, one for each check at a time, and ``docker exec`` into them."""
    names = [f"execbox-bench-{uuid.uuid4().hex[:12]}" for _ in range(concurrency)]
    free: queue.SimpleQueue[str] = queue.SimpleQueue()
    local = threading.local()

    def command() -> list[str]:
        if not hasattr(local, "name"):
            local.name = free.get()
            free.put(local.name)
        return ["docker", "exec", "-i", local.name, "python3", "-c", inside.ONE_CHECK]

    try:
        for name in names:
            start = ["docker", "run", "-d", "--rm", "--name", name, *_DOCKER_OPTIONS]
            _must([*start, "--entrypoint", "sleep", image, "infinity"])
            free.put(name)
        yield Way("docker exec", concurrency, _by_command(command, concurrency))
    finally:
        subprocess.run(["docker", "rm", "-f", *names], capture_output=True, check=False)


@contextmanager
def in_one_container(image: str, way: str, *, name: str, worker_count: int) -> Iterator[Way]:
    """``way`` of ``inside.py``, all of it inside one container: no isolation between checks."""
    source = Path(inside.__file__).read_text(encoding="utf-8")
    options = ["--network", "none", "--cap-drop", "ALL", "--user", "65534:65534", "--read-only"]
    options += ["--tmpfs", "/tmp", "--memory", "4g", "--pids-limit", "512"]
    command = ["docker", "run", "-i", "--rm", *options, "--entrypoint", "python3"]

    def run_all(checks: Sequence[Check], rounds: int) -> Runs:
        groups: dict[tuple[str, ...], list[Check]] = {}
        for check in checks:
            groups.setdefault(check.imports, []).append(check)
        task = {
            "way": way,
            "worker_count": worker_count,
            "rounds": rounds,
            "groups": [
                {"imports": imports, "checks": [check.as_object() for check in members]}
                for imports, members in groups.items()
            ],
        }
        answer = json.loads(_must([*command, image, "-c", source], given=json.dumps(task)))
        return Runs(answer["elapsed_s"], answer["latencies_s"], answer["ok_count"], answer["cpu_s"])

    yield Way(name, worker_count, run_all)


@contextmanager
def in_this_process() -> Iterator[Way]:
    """Compile, call and serialise, here: only ever for our own trivial function."""

    def run_all(checks: Sequence[Check], rounds: int) -> Runs:
        latencies_s = []
        began_s = time.monotonic()
        for check in [*checks] * rounds:
            one_began_s = time.monotonic()
            namespace: dict[str, Callable[..., object]] = {}
            exec(compile(check.code, "check.py", "exec"), namespace)
            json.dumps(namespace[check.entry_point](**check.kwargs))
            latencies_s.append(time.monotonic() - one_began_s)
        return Runs(time.monotonic() - began_s, latencies_s, len(latencies_s))

    yield Way("in one process", 1, run_all)


def _send_chunks(sending: socket.socket, lines: Sequence[bytes]) -> None:
    for line in lines:
        sending.sendall(b"%x\r\n%s\r\n" % (len(line), line))
    sending.sendall(b"0\r\n\r\n")


def _ended_ok(answer: bytes) -> bool:
    executions = json.loads(answer).get("executions", [{}])
    return bool(executions[0].get("status") == "ok")


def _by_command(
    command: Callable[[], list[str]], concurrency: int
) -> Callable[[Sequence[Check], int], Runs]:
    def run(given: bytes) -> bool:
        done = subprocess.run(command(), input=given, capture_output=True, check=False)
        return done.returncode == 0

    def run_all(checks: Sequence[Check], rounds: int) -> Runs:
        texts = [json.dumps(check.as_object()).encode() for check in checks] * rounds
        return spread(run, texts, concurrency)

    return run_all


def spread(run: Callable[[bytes], bool], items: Sequence[bytes], concurrency: int) -> Runs:
    """Run every item, so many at once; ``run`` says whether it went well."""

    def timed(item: bytes) -> tuple[bool, float]:
        began_s = time.monotonic()
        ok = run(item)
        return ok, time.monotonic() - began_s

    began_s = time.monotonic()
    with ThreadPoolExecutor(concurrency) as threads:
        outcomes = list(threads.map(timed, items))
    elapsed_s = time.monotonic() - began_s
    return Runs(elapsed_s, [taken_s for _ok, taken_s in outcomes], sum(ok for ok, _ in outcomes))


def _must(command: list[str], *, given: str = "") -> bytes:
    done = subprocess.run(
        command, input=given.encode(), capture_output=True, check=False, timeout=_INSIDE_TIMEOUT_S
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:2])}: {done.stderr.decode()[-1000:]}")
    return done.stdout
