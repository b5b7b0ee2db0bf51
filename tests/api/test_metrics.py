"""The metrics path of the HTTP layer, and what the counts count."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx

from execbox.wire import Execution, Status, Usage
from execbox_service.metrics import Metrics
from execbox_service.scheduling.job_run import Effort

from .harness import RunningServer, execute_body


def batch_lines(server: RunningServer, *lines: dict[str, Any]) -> None:
    """Send a batch and read its answers to their end."""
    body = "".join(json.dumps(line) + "\n" for line in lines)
    answer = httpx.post(
        f"{server.url}/v1/batch", content=body, headers={"Content-Type": "application/x-ndjson"}
    )
    assert len(answer.text.split()) >= len(lines)


def test_metrics_after_a_request_count_it_by_our_own_path(server: RunningServer) -> None:
    """A request shows up under its route and status."""
    server.post(execute_body())
    text = server.get("/metrics").body.decode()
    assert 'execbox_request_seconds_count{path="/v1/execute",status="200"}' in text


def test_metrics_of_unknown_paths_share_one_label(server: RunningServer) -> None:
    """Whoever asks for paths that do not exist cannot make labels."""
    server.get("/nothing/of/the/kind")
    text = server.get("/metrics").body.decode()
    assert 'path="none",status="404"' in text
    assert "of/the/kind" not in text


def test_metrics_executed_are_counted_by_status() -> None:
    """Every execution of a job is counted once, under its status."""
    metrics = Metrics()
    usage = Usage(cpu_time_s=0.02, wall_time_s=0.03, peak_memory_bytes=1)
    ended = [
        Execution(status=Status.OK, usage=usage),
        Execution(status=Status.OK, usage=usage),
        Execution(status=Status.NOT_RUN),
    ]
    effort = Effort(queue_time_s=0.5, execution_count=5, alone_count=1, throttled_s=0.25)
    metrics.worked(effort)
    metrics.executed(ended)
    text = metrics.render().decode()
    assert 'execbox_executions_total{status="ok"} 2.0' in text
    assert 'execbox_executions_total{status="not_run"} 1.0' in text
    assert "execbox_execution_cpu_seconds_count 2.0" in text
    assert "execbox_queue_seconds_sum 0.5" in text
    assert "execbox_executions_ended_total 5.0" in text
    assert "execbox_executions_alone_total 1.0" in text
    assert "execbox_throttled_seconds_total 0.25" in text


def test_metrics_count_errors_by_code(server: RunningServer) -> None:
    """An error is counted under the code that its caller sees, in a line of a batch as well."""

    def count() -> float:
        lines = server.get("/metrics").body.decode().splitlines()
        name = 'execbox_errors_total{code="engine_unavailable"} '
        return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))

    before = count()
    assert server.post(execute_body(function={"code": "engine_lost"})).status == 503
    line = {
        "id": "1",
        "op": "execute",
        "function": {"code": "engine_lost"},
        "calls": [{"args": []}],
    }
    batch_lines(server, line)
    deadline_s = time.monotonic() + 5
    while count() < before + 2:
        # A request is counted after its answer is sent.
        assert time.monotonic() < deadline_s, server.get("/metrics").body.decode()
        time.sleep(0.01)


def test_metrics_of_batch_lines_are_by_operation_of_ours(server: RunningServer) -> None:
    """An operation that does not exist makes no label."""
    batch_lines(server, {"op": "execute", "function": {"code": "pass"}, "calls": [{"args": []}]})
    batch_lines(server, {"op": "nothing of the kind"})
    text = server.get("/metrics").body.decode()
    assert 'execbox_batch_line_seconds_count{op="execute"}' in text
    assert 'execbox_batch_line_seconds_count{op="none"}' in text
    assert "of the kind" not in text
