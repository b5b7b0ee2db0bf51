"""From what came out of a session's sandbox to how its cell ended."""

from __future__ import annotations

import json
from typing import Any

import pytest

from execbox.wire import JSON_DEPTH_MAX, CellResponse
from execbox_service.json_steps import LARGE_BYTES
from execbox_service.judge import cell_outcome
from execbox_service.runner_frames import CellMeasured, CellResult
from tests.fake_engine import report_frame

ERROR = {"type": "ValueError", "message": "m", "traceback": "t", "line": 3}
RAISED = report_frame(b"", status="exception", error=ERROR)
NOT_COMPILED = report_frame(b"", status="invalid_code", error=ERROR)
SHOWN = report_frame({"repr": "5", "json": 5, "media": []})
NOTHING = report_frame(None)
DEAD = {"alive": False, "exit_code": None, "signal": 9}


def judged(frame: bytes = NOTHING, **fields: Any) -> CellResponse:
    """The cell of such a result, of one that went well unless ``fields`` say otherwise."""
    header = {
        "seq": 0, "alive": True, "exit_code": None, "signal": None, "cpu_time_ns": 2_000_000,
        "wall_time_ns": 3_000_000, "peak_memory_bytes": 2**20, "limit": None, "oom_kill_count": 0,
        "stdout_truncated": False, "stderr_truncated": False, "sizes": (len(frame), 1, 0),
    } | fields  # fmt: skip
    result = CellResult(CellMeasured.model_validate(header), frame, b"x", b"")
    return cell_outcome.judge(result, cell=7, stdout_bytes=10)


@pytest.mark.parametrize(
    ("fields", "frame", "status", "reason"),
    [
        ({}, NOTHING, "ok", None),
        ({}, SHOWN, "ok", None),
        ({}, RAISED, "exception", None),
        ({}, NOT_COMPILED, "invalid_code", None),
        ({}, b"garbage", "no_result", None),
        ({"limit": "cpu_time"}, RAISED, "timeout", None),
        ({"limit": "wall_time"}, SHOWN, "timeout", None),
        ({"limit": "cpu_time", **DEAD}, b"", "timeout", "did not react"),
        ({"oom_kill_count": 1, **DEAD}, b"", "memory_exceeded", "memory_mb"),
        ({"oom_kill_count": 1, "limit": "cpu_time", **DEAD}, b"", "memory_exceeded", "memory_mb"),
        ({"oom_kill_count": 1}, SHOWN, "ok", None),
        ({"limit": "result_bytes", **DEAD}, b"x", "no_result", "its end is reported"),
        ({"alive": False, "exit_code": 0}, SHOWN, "no_result", "ended the session's process"),
        ({"alive": False, "signal": 11}, b"", "no_result", "ended the session's process"),
    ],
)
def test_cell_has_the_first_status_that_applies(
    fields: dict[str, Any], frame: bytes, status: str, reason: str | None
) -> None:
    """Kernel evidence first; a session that is lost always says why."""
    cell = judged(frame, **fields)
    assert cell.status == status
    assert cell.session_lost is (not fields.get("alive", True))
    assert (reason or "") in (cell.lost_reason or "")
    assert (cell.lost_reason is None) is (not cell.session_lost)


def test_cell_that_was_interrupted_says_where_it_was() -> None:
    """The error is the interruption's, and no value is shown."""
    cell = judged(RAISED, limit="cpu_time")
    assert (cell.limit, cell.value) == ("cpu_time", None)
    assert cell.error is not None
    assert cell.error.line == 3


def test_cell_ended_by_us_names_no_signal() -> None:
    """A crash does; the signal that ends what does not react is ours."""
    assert judged(b"", alive=False, signal=11).signal == "SIGSEGV"
    assert judged(b"", limit="cpu_time", **DEAD).signal is None


@pytest.mark.parametrize(
    "output", [b"[]", b"5", b'{"repr": 5}', b'{"media": [{}]}', b"{", b'{"a": 1, "a": 1}']
)
def test_cell_whose_value_is_no_value_is_unserializable(output: bytes) -> None:
    """The session's process can say anything, and is believed in form only."""
    cell = judged(report_frame(output))
    assert (cell.status, cell.value) == ("unserializable", None)
    assert cell.error is not None


def test_cell_carries_its_value_output_and_number() -> None:
    """As the process told them, in the API's units."""
    cell = judged(SHOWN)
    assert cell.value is not None
    assert (cell.value.repr, cell.value.json_value, cell.value.media) == ("5", 5, [])
    assert '"json":5' in cell.model_dump_json()
    assert (cell.stdout, cell.cell, cell.usage.cpu_time_s) == ("x", 7, 0.002)


def test_cell_in_which_a_figure_could_not_be_drawn_has_its_value_and_the_error() -> None:
    """All that could be shown is; what is said to be a value and is none is not."""
    shown = {"repr": "5", "json": 5, "media": []}
    cell = judged(report_frame(shown, status="exception", error=ERROR))
    assert cell.status == "exception"
    assert cell.value is not None
    assert cell.error is not None
    assert (cell.value.json_value, cell.error.type) == (5, "ValueError")
    assert judged(report_frame(b"5", status="exception", error=ERROR)).status == "unserializable"


@pytest.mark.parametrize("size_bytes", [0, LARGE_BYTES])
def test_value_as_deep_as_any_may_be_is_shown(size_bytes: int) -> None:
    """The object that it is shown in does not count; one level more is none."""
    at_most = json.loads("[" * JSON_DEPTH_MAX + "]" * JSON_DEPTH_MAX)
    shown = {"repr": "x" * size_bytes, "media": []}
    cell = judged(report_frame(shown | {"json": at_most}))
    assert cell.value is not None
    assert cell.value.json_value == at_most
    assert judged(report_frame(shown | {"json": [at_most]})).status == "unserializable"
