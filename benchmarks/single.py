"""What one execution costs and where that goes, measured one request at a time over HTTP."""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from harness.meters import read_cpu_times

from benchmarks import inside
from benchmarks.series import percentile
from benchmarks.work import TRIVIAL_CODE, Check, request_body
from execbox.wire import Isolation

_CHECK = Check(TRIVIAL_CODE, "main_solution", {"n": 21})
_PROBE_COUNT = 200
_DOCKER_RUN_COUNT = 10


@dataclass(frozen=True)
class Latency:
    """Of single requests, sent at ``interval_s`` or without a pause."""

    name: str
    count: int
    interval_s: float
    p50_ms: float
    p95_ms: float
    max_ms: float


@dataclass(frozen=True)
class ManyCalls:
    """Of ``count`` calls of one function in one request: means per call."""

    isolation: Isolation
    count: int
    elapsed_ms: float
    service_cpu_ms: float
    containers_cpu_ms: float | None
    job_cpu_ms: float
    job_wall_ms: float


class Connection:
    """One kept-alive connection to the service."""

    def __init__(self, url: str) -> None:
        self._http = http.client.HTTPConnection(urlsplit(url).netloc, timeout=300)

    def request(self, method: str, path: str, body: bytes | None = None) -> Any:
        """The decoded answer. Raises RuntimeError for any status but 200."""
        self._http.request(method, path, body, {"Content-Type": "application/json"})
        answer = self._http.getresponse()
        decoded = json.loads(answer.read())
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}: {decoded}")
        return decoded


def spaced_calls(url: str, isolation: Isolation, *, count: int, interval_s: float) -> Latency:
    """Single calls of a function that does nothing, with time for the pool to fill in between."""
    body = _CHECK.as_request(isolation)
    taken_s = []
    for _ in range(count):
        # A client that comes once a second has no connection open.
        began_s = time.monotonic()
        Connection(url).request("POST", "/v1/execute", body)
        taken_s.append(time.monotonic() - began_s)
        time.sleep(max(0.0, interval_s - taken_s[-1]))
    return _latency(f"execbox {isolation}, one call", taken_s, interval_s)


def health_checks(url: str) -> Latency:
    """Requests that run nothing: the cost of HTTP itself."""
    connection = Connection(url)
    return _repeated("GET /healthz", _PROBE_COUNT, lambda: connection.request("GET", "/healthz"))


def warm_calls(url: str) -> Latency:
    """Single calls at level ``process``, one after the other on one connection."""
    connection = Connection(url)
    body = _CHECK.as_request("process")
    connection.request("POST", "/v1/execute", body)
    return _repeated(
        "execbox process, back to back",
        _PROBE_COUNT,
        lambda: connection.request("POST", "/v1/execute", body),
    )


def docker_runs(image: str) -> Latency:
    """``docker run`` of the same function, one after the other."""
    command = ["docker", "run", "-i", "--rm", "--network", "none", "--entrypoint", "python3"]
    command += [image, "-c", inside.ONE_CHECK]
    given = json.dumps(_CHECK.as_object()).encode()
    return _repeated(
        "docker run, one call",
        _DOCKER_RUN_COUNT,
        lambda: subprocess.run(command, input=given, capture_output=True, check=True),
    )


def many_calls(url: str, isolation: Isolation, *, count: int, service_pid: int) -> ManyCalls:
    """Call one function ``count`` times in one request."""
    body = request_body(_CHECK, [{"n": n} for n in range(count)], isolation)
    connection = Connection(url)
    before = read_cpu_times(service_pid)
    began_s = time.monotonic()
    answer = connection.request("POST", "/v1/execute", body)
    elapsed_s = time.monotonic() - began_s
    used = read_cpu_times(service_pid).since(before)
    usages = [execution["usage"] for execution in answer["executions"]]
    containers_s = used.containers_s
    return ManyCalls(
        isolation=isolation,
        count=count,
        elapsed_ms=elapsed_s / count * 1000,
        service_cpu_ms=(used.service_s or 0.0) / count * 1000,
        containers_cpu_ms=None if containers_s is None else containers_s / count * 1000,
        job_cpu_ms=statistics.mean(usage["cpu_time_s"] for usage in usages) * 1000,
        job_wall_ms=statistics.mean(usage["wall_time_s"] for usage in usages) * 1000,
    )


def _repeated(name: str, count: int, work: Any) -> Latency:
    taken_s = []
    for _ in range(count):
        began_s = time.monotonic()
        work()
        taken_s.append(time.monotonic() - began_s)
    return _latency(name, taken_s, 0.0)


def _latency(name: str, taken_s: list[float], interval_s: float) -> Latency:
    return Latency(
        name=name,
        count=len(taken_s),
        interval_s=interval_s,
        p50_ms=percentile(taken_s, 50) * 1000,
        p95_ms=percentile(taken_s, 95) * 1000,
        max_ms=max(taken_s) * 1000,
    )
