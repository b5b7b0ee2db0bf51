"""The metrics path of the HTTP layer, and what the counts count."""

from __future__ import annotations

from execbox.wire import Execution, Status, Usage
from execbox_service.metrics import Metrics

from .harness import RunningServer, execute_body


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
    metrics.executed(ended, queue_time_s=0.5)
    text = metrics.render().decode()
    assert 'execbox_executions_total{status="ok"} 2.0' in text
    assert 'execbox_executions_total{status="not_run"} 1.0' in text
    assert "execbox_execution_cpu_seconds_count 2.0" in text
    assert "execbox_queue_seconds_sum 0.5" in text
