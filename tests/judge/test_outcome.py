"""From what came out of a container to a status: precedence, limits, and what a lie is worth."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execbox.wire import Execution, Limits, Status
from execbox_service.judge import outcome
from execbox_service.runner_frames import Measured, Result
from tests.fake_engine import measured, report_frame

ERROR = {"type": "ValueError", "message": "m", "traceback": "t", "line": 3}
EXCEPTION = report_frame(b"", status="exception", error=ERROR)
OK = report_frame(5)
LIMITS = Limits(cpu_time_s=1.0, output_bytes=100, stdout_bytes=10)


def result(frame: bytes = OK, *, stdout: bytes = b"", stderr: bytes = b"", **fields: Any) -> Result:
    """What came out of a container, of a trivial execution unless ``fields`` say otherwise."""
    header = {"sizes": (len(frame), len(stdout), len(stderr))} | measured(0, **fields)
    return Result(Measured.model_validate(header), frame, stdout, stderr)


def judged(*args: Any, **fields: Any) -> Execution:
    """The execution of such a result under ``LIMITS``."""
    return outcome.judge(result(*args, **fields), limits=LIMITS)


@pytest.mark.parametrize(
    ("fields", "frame", "status", "limit"),
    [
        ({}, OK, "ok", None),
        ({}, EXCEPTION, "exception", None),
        ({}, report_frame(b"", status="invalid_code", error=ERROR), "invalid_code", None),
        ({}, report_frame(b"", status="unserializable", error=ERROR), "unserializable", None),
        ({}, report_frame(b"", status="output_too_large", error=ERROR), "output_too_large", None),
        ({}, b"", "no_result", None),
        ({}, OK + b"x", "no_result", None),
        ({"exit_code": 1}, OK, "no_result", None),
        ({"exit_code": 1}, EXCEPTION, "no_result", None),
        ({"exit_code": None, "signal": 11}, b"", "no_result", None),
        ({"exit_code": None, "signal": 9}, OK, "no_result", None),
        ({"killed": "cpu_time", "exit_code": None, "signal": 9}, b"", "timeout", "cpu_time"),
        ({"killed": "cpu_time"}, OK, "timeout", "cpu_time"),
        ({"cpu_time_ns": 1_000_000_000}, OK, "ok", None),
        ({"cpu_time_ns": 1_000_000_001}, OK, "timeout", "cpu_time"),
        ({"killed": "wall_time"}, OK, "timeout", "wall_time"),
        ({"killed": "hard_stop"}, OK, "timeout", "wall_time"),
        ({"killed": "result_bytes"}, OK, "output_too_large", None),
        ({"result_overflowed": True}, OK, "output_too_large", None),
        ({"oom_kill_count": 1}, OK, "memory_exceeded", None),
        ({"oom_kill_count": 1, "killed": "cpu_time"}, b"", "memory_exceeded", None),
        ({"oom_kill_count": 3, "killed": "hard_stop"}, EXCEPTION, "memory_exceeded", None),
        (
            {"oom_kill_count": 1, "cpu_time_ns": 10**10, "exit_code": 1},
            b"",
            "memory_exceeded",
            None,
        ),
        ({"killed": "wall_time", "cpu_time_ns": 2 * 10**9}, b"", "timeout", "cpu_time"),
        ({"killed": "cpu_time", "result_overflowed": True}, b"", "timeout", "cpu_time"),
        ({"killed": "result_bytes", "exit_code": None, "signal": 9}, b"", "output_too_large", None),
    ],
)
def test_status_follows_the_precedence(
    fields: dict[str, Any], frame: bytes, status: str, limit: str | None
) -> None:
    """Memory before time, time before a missing result, that before what the job reports."""
    ended = judged(frame, **fields)
    assert (ended.status.value, ended.limit) == (status, limit)


RANK = ["memory_exceeded", "timeout", "output_too_large", "no_result"]
EVIDENCE: dict[str, dict[str, Any]] = {
    "memory_exceeded": {"oom_kill_count": 1},
    "timeout": {"killed": "wall_time"},
    "output_too_large": {"result_overflowed": True},
    "no_result": {"exit_code": 3},
}


@pytest.mark.parametrize("pair", list(itertools.combinations(RANK, 2)))
def test_status_of_two_causes_is_the_first_of_the_order(pair: tuple[str, str]) -> None:
    """Each pair of causes, whatever else the job says."""
    first, second = pair
    for frame in (OK, EXCEPTION, b""):
        assert judged(frame, **EVIDENCE[second], **EVIDENCE[first]).status.value == first


@given(
    oom=st.integers(0, 3),
    killed=st.sampled_from([None, "cpu_time", "wall_time", "hard_stop", "result_bytes"]),
    exit_code=st.none() | st.integers(0, 255),
    signal=st.none() | st.integers(1, 64),
    frame=st.sampled_from([OK, EXCEPTION, b"", b"junk", report_frame(b"{")])
    | st.binary(max_size=60),
    overflowed=st.booleans(),
)
def test_status_is_total_and_output_means_ok(
    oom: int,
    killed: str | None,
    exit_code: int | None,
    signal: int | None,
    frame: bytes,
    overflowed: bool,
) -> None:
    """Every combination has a status, and only ``ok`` has an output."""
    ended = judged(
        frame,
        oom_kill_count=oom,
        killed=killed,
        exit_code=exit_code,
        signal=signal,
        result_overflowed=overflowed,
    )
    if ended.status is Status.OK:
        assert (exit_code, oom) == (0, 0)
        assert killed is None
        assert ended.error is None
    else:
        assert ended.output is None
        assert ended.output_flags == []
    assert (ended.limit is None) == (ended.status is not Status.TIMEOUT)
    ended.model_dump_json()


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"signal": 11, "exit_code": None}, "SIGSEGV"),
        ({"signal": 31, "exit_code": None}, "SIGSYS"),
        ({"signal": 40, "exit_code": None}, "SIG40"),
        ({"signal": 9, "exit_code": None, "killed": "cpu_time"}, None),
        ({"signal": 9, "exit_code": None, "killed": "result_bytes"}, None),
        ({"signal": 9, "exit_code": None, "oom_kill_count": 1}, "SIGKILL"),
    ],
)
def test_signal_is_named_unless_it_was_ours(fields: dict[str, Any], name: str | None) -> None:
    """The signal with which we end what is over its limits is no fact about the code."""
    assert judged(b"", **fields).signal == name


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"[1, 2.5, null]", "ok"),
        (b'"' + b"x" * 98 + b'"', "ok"),
        (b'"' + b"x" * 99 + b'"', "output_too_large"),
        (b"", "unserializable"),
        (b"NaN", "unserializable"),
        (b"[1e999]", "unserializable"),
        (b'{"a": 1, "a": 1}', "unserializable"),
        (b"'a'", "unserializable"),
        (b"1 2", "unserializable"),
        (b'"\xff"', "unserializable"),
        (b'"\\ud800"', "unserializable"),
        (b"\xef\xbb\xbf1", "unserializable"),
        (b"[" * 50 + b"]" * 50, "ok"),
    ],
)
def test_output_of_a_job_that_lies_is_decoded_strictly(data: bytes, status: str) -> None:
    """The job says it is JSON within its limit; whether it is, is decided here."""
    ended = judged(report_frame(data))
    assert ended.status.value == status
    if status != "ok":
        assert ended.error is not None
        assert ended.output is None


def test_output_that_nests_too_deep_is_refused() -> None:
    """64 levels are the most, flagged or not."""
    wide = LIMITS.model_copy(update={"output_bytes": 10**6})
    for depth, status in ((64, "ok"), (65, "unserializable"), (100_000, "unserializable")):
        data = b"[" * depth + b"]" * depth
        for flags in ([], ["non_finite"]):
            ended = outcome.judge(result(report_frame(data, flags=flags)), limits=wide)
            assert ended.status.value == status, (depth, flags)


def test_output_that_is_not_finite_is_carried_as_text() -> None:
    """With the flag, the text comes back as it is, and the output stays null."""
    ended = judged(report_frame(b"[NaN,-Infinity]", flags=["non_finite"]))
    assert (ended.status, ended.output, ended.output_text) == (Status.OK, None, "[NaN,-Infinity]")
    assert ended.output_flags == ["non_finite"]
    broken = judged(report_frame(b"[NaN,", flags=["non_finite"]))
    assert (broken.status, broken.output_text) == (Status.UNSERIALIZABLE, None)


def test_flags_that_are_repeated_are_given_once() -> None:
    """A job may repeat itself; the answer does not."""
    ended = judged(report_frame(1, flags=["mutates_input", "mutates_input"]))
    assert ended.output_flags == ["mutates_input"]


def test_error_is_that_of_the_job_where_its_status_counts() -> None:
    """A report that was overruled leaves no error behind."""
    kept = judged(EXCEPTION)
    assert kept.error is not None
    assert (kept.error.type, kept.error.line) == ("ValueError", 3)
    assert judged(EXCEPTION, killed="wall_time").error is None


@pytest.mark.parametrize(
    ("data", "measured_cut", "text", "flagged"),
    [
        (b"0123456789", False, "0123456789", False),
        (b"0123456789", True, "0123456789", True),
        (b"\xff\xff\xff", False, "\ufffd\ufffd\ufffd", False),
        (b"\xff\xff\xff\xff", False, "\ufffd\ufffd\ufffd", True),
        ("éééé".encode() + b"\xc3", False, "éééé", True),
        (b"", False, "", False),
    ],
)
def test_stdout_is_text_within_the_limit(
    data: bytes, measured_cut: bool, text: str, flagged: bool
) -> None:
    """Bytes that are no UTF-8 grow when they are replaced; what is cut then is flagged as well."""
    ended = judged(stdout=data, stderr=data, stdout_truncated=measured_cut, stderr_truncated=True)
    assert (ended.stdout, ended.truncated.stdout) == (text, flagged)
    assert (ended.stderr, ended.truncated.stderr) == (text, True)


def test_usage_is_the_kernels() -> None:
    """Nanoseconds become seconds; nothing a job says is in it."""
    ended = judged(cpu_time_ns=1_500_000, wall_time_ns=2_500_000, peak_memory_bytes=7)
    assert ended.usage is not None
    assert ended.usage.model_dump() == {
        "cpu_time_s": 0.0015,
        "wall_time_s": 0.0025,
        "peak_memory_bytes": 7,
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({"killed": "hard_stop"}, True), ({"killed": "hard_stop", "oom_kill_count": 1}, False),
     ({"killed": "wall_time"}, False), ({}, False)],
)  # fmt: skip
def test_hard_stop_is_run_again_unless_memory_was_the_cause(
    fields: dict[str, Any], expected: bool
) -> None:
    """Only what the machine was too busy for is run again."""
    stopped = result(cpu_time_ns=0, **fields)
    assert outcome.was_starved(stopped, wall_time_s=1.0, cpu_count=1.0) is expected


def test_limit_factor_widens_the_cpu_limit() -> None:
    """A run under variation has multiplied limits."""
    late = result(cpu_time_ns=1_900_000_000)
    assert outcome.judge(late, limits=LIMITS).status is Status.TIMEOUT
    assert outcome.judge(late, limits=LIMITS, limit_factor=2).status is Status.OK
