"""What a request says (F04, F08, F11, F12, F29) and what the answer is like."""

from __future__ import annotations

import json
from typing import Any

import pytest

from execbox.wire import ErrorCode, ExecuteRequest
from execbox_service.api.error_responses import error_bytes
from execbox_service.api.validation import parsed
from execbox_service.failures import CallerMistake
from tests.effort import lines_run

from .harness import Answer, RunningServer, assert_error, execute_body, wait_until


def _problems(answer: Answer) -> str:
    assert_error(answer, 422)
    return "\n".join(answer.json["error"]["detail"]["problems"])


def test_execute_valid_request_reaches_the_runtime_and_comes_back(server: RunningServer) -> None:
    """One execution for each call, in order, and an id to find it in the log."""
    answer = server.post(execute_body(calls=[{"args": [1]}, {"kwargs": {"a": {"b": None}}}]))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert [item["output"] for item in answer.json["executions"]] == [[1], {"a": {"b": None}}]
    assert len(answer.headers["x-request-id"]) == 32
    assert server.runtime.principals[-1] == "anonymous"


def test_generate_valid_request_reaches_the_runtime_and_comes_back(server: RunningServer) -> None:
    """It has the same checks before it and the same shape of errors as execute."""
    request = {"function": {"code": "pass"}, "input_generator": {"code": "pass"}, "attempts": 7}
    answer = server.post(json.dumps(request).encode(), path="/v1/generate")
    assert (answer.status, answer.json["attempts"]) == (200, 7)
    wrong = json.dumps(request | {"image": "x"}).encode()
    assert "image: unknown field" in _problems(server.post(wrong, path="/v1/generate"))


@pytest.mark.parametrize(
    "value",
    [
        10**4299,
        -(2**64),
        1e16,
        5e-324,
        -0.0,
        "\x00\x1f\x7f\u2028\ud7ff\uffff\U0001f600",
        {"": {"\u0000": []}},
        [[[[[[]]]]]],
    ],
    ids=["4300_digits", "beyond_64_bits", "large", "tiny", "minus_zero", "text", "keys", "nested"],
)
def test_execute_values_survive_the_way_there_and_back(server: RunningServer, value: Any) -> None:
    """The bytes are the value: nothing is rounded, replaced or dropped."""
    answer = server.post(execute_body(calls=[{"args": [value]}]))
    output = answer.json["executions"][0]["output"]
    assert repr(output) == repr([value])


@pytest.mark.parametrize("levels", [100, 900, 2000, 20_000])
@pytest.mark.parametrize("place", ["argument", "limits", "body"])
def test_execute_deep_nesting_is_refused(server: RunningServer, levels: int, place: str) -> None:
    """F04: a cap of our own, whoever's stack would overflow first."""
    nested = "[" * levels + "]" * levels
    body = {
        "argument": execute_body(calls=[{"args": ["@"]}]).replace(b'"@"', nested.encode()),
        "limits": execute_body(limits="@").replace(b'"@"', nested.encode()),
        "body": nested.encode(),
    }[place]
    answer = server.post(body)
    assert_error(answer, 400)
    assert answer.json["error"]["detail"] == {"reason": "too_deep"}
    assert server.canary_is_ok()


@pytest.mark.parametrize(
    "body",
    [
        b'{"function": {"code": "a"}, "function": {"code": "b"}, "calls": [{"args": []}]}',
        b'{"function": {"code": "a", "code": "b"}, "calls": [{"args": []}]}',
        b'{"function": {"code": "a"}, "calls": [{"kwargs": {"x": 1, "x": 2}}]}',
        b'{"function": {"code": "a"}, "calls": [{"kwargs": {"x": 1, "\\u0078": 2}}]}',
    ],
    ids=["top", "code", "kwargs", "escaped"],
)
def test_execute_duplicate_keys_are_refused(server: RunningServer, body: bytes) -> None:
    """F08: never "the last one wins"."""
    before = len(server.runtime.requests)
    answer = server.post(body)
    assert_error(answer, 400)
    assert answer.json["error"]["detail"] == {"reason": "duplicate_key"}
    assert len(server.runtime.requests) == before


LIMITS = {
    "cpu_time_s": ("0.01", "60"),
    "wall_time_s": ("0.05", "120"),
    "memory_mb": ("16", "4096"),
    "output_bytes": ("1", "16777216"),
    "stdout_bytes": ("0", "1048576"),
    "job_time_s": ("1", "3600"),
}
BAD_NUMBERS = ["-1", "1e-9", "1e9", "true", '"10"', "[]", "{}", "null", str(2**63), "9" * 400]


@pytest.mark.parametrize("field", LIMITS)
@pytest.mark.parametrize("literal", BAD_NUMBERS, ids=lambda literal: literal[:20])
def test_execute_limit_out_of_range_names_field_value_and_range(
    server: RunningServer, field: str, literal: str
) -> None:
    """F11: types are strict, and the message says what is permitted."""
    body = execute_body(limits={field: "@"}).replace(b'"@"', literal.encode())
    problem = _problems(server.post(body))
    lowest, highest = LIMITS[field]
    assert problem.startswith(f"limits.{field}: ")
    assert f"from {lowest} to {highest}" in problem
    if literal in ("-1", "true", '"10"', "null", str(2**63)):
        assert literal in problem
    assert len(problem) < 200


@pytest.mark.parametrize("field", ["cpu_time_s", "memory_mb"])
def test_execute_limit_of_zero_or_a_fraction_is_refused(server: RunningServer, field: str) -> None:
    """F11: zero is below every minimum but that of stdout, and memory is a whole number."""
    assert f"limits.{field}: 0 must be" in _problems(server.post(execute_body(limits={field: 0})))
    assert "1.5 must be an integer" in _problems(
        server.post(execute_body(limits={"memory_mb": 1.5}))
    )


UNKNOWN = ["image", "privileged", "volumes", "env", "network", "preload", "cap_add", "__class__"]


@pytest.mark.parametrize("name", UNKNOWN)
def test_execute_unknown_field_at_any_level_is_named(server: RunningServer, name: str) -> None:
    """F12: nothing of it reaches the engine, and what is known there is listed."""
    extra = {name: True}
    before = len(server.runtime.requests)
    places: dict[str, dict[str, Any]] = {
        "": extra,
        "function.": {"function": {"code": "pass", **extra}},
        "limits.": {"limits": extra},
        "checks.": {"checks": extra},
        "checks.determinism.": {"checks": {"determinism": extra}},
        "checks.complexity.": {"checks": {"complexity": extra}},
        "calls[0].": {"calls": [{"args": [], **extra}]},
    }
    for prefix, fields in places.items():
        problem = _problems(server.post(execute_body(**fields)))
        assert f"{prefix}{name}: unknown field" in problem
    assert len(server.runtime.requests) == before


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"function": None}, "function: null must be an object"),
        ({"function": {}}, "function.code: is required"),
        ({"function": {"code": 5}}, "function.code: must be a string"),
        ({"function": {"code": "a\0b"}}, "function.code: must not contain NUL"),
        (
            {"function": {"code": "", "entry_point": "f()"}},
            'function.entry_point: "f()" must be the name of a function, class or method',
        ),
        ({"function": {"code": "", "entry_point": "A..f"}}, '"A..f" must be the name of'),
        ({"function": {"code": "", "entry_point": "A.for"}}, '"A.for" must be the name of'),
        (
            {"function": {"code": "", "entry_point": "f" * 201}},
            "must be a string of 1 to 200 characters",
        ),
        ({"calls": []}, "calls: an array of 0: must be an array of 1 to 10000 items"),
        ({"calls": {}}, "calls: an object: must be an array of 1 to 10000 items"),
        ({"calls": [{"args": {}}]}, "calls[0].args: an object: must be an array"),
        ({"calls": [{"kwargs": []}]}, "calls[0].kwargs: an array of 0: must be an object"),
        ({"calls": [{}]}, "calls[0]: an object: give exactly one of"),
        ({"calls": [{"args": [], "kwargs": {}}]}, "give exactly one of"),
        ({"calls": [{"args": [], "expression": None}]}, "give exactly one of"),
        ({"calls": [{"stdin": "a"}]}, "give exactly one of"),
        (
            {"calls": [{"args": [], "stdin": 5}]},
            "calls[0].stdin: must be a string, or must be an object",
        ),
        ({"calls": [{"args": [], "stdin": {"base64": "a"}}]}, "must be base64 with padding"),
        ({"calls": [{"expression": "f(\0)"}]}, "calls[0].expression: must not contain NUL"),
        ({"isolation": "vm"}, "isolation: \"vm\" must be 'container' or 'process'"),
        ({"checks": {"complexity": "small"}}, "'codeio', or must be an object"),
        ({"checks": {"determinism": {"runs": 1}}}, "runs: 1 must be an integer from 2 to 10"),
        (
            {"checks": {"complexity": {"total_bytes": 0}}},
            "checks.complexity.total_bytes: 0 must be an integer from 1 to",
        ),
    ],
)
def test_execute_invalid_field_says_what_it_must_be(
    server: RunningServer, fields: dict[str, Any], expected: str
) -> None:
    """Each message has the path, the value unless it is a program, and what is permitted."""
    assert expected in _problems(server.post(execute_body(**fields)))


@pytest.mark.parametrize(
    ("document", "status"), [("[]", 422), ("null", 422), ("1", 422), ('"x"', 422), ("", 400)]
)
def test_execute_body_that_is_no_object_is_refused(
    server: RunningServer, document: str, status: int
) -> None:
    """There is no body for which the answer is not in the one shape."""
    assert_error(server.post(document.encode()), status)


def test_execute_many_problems_are_cut_to_ten(server: RunningServer) -> None:
    """However much is wrong, the answer stays short."""
    answer = server.post(execute_body(calls=[{"args": 1}] * 3000))
    assert_error(answer, 422)
    detail = answer.json["error"]["detail"]
    assert len(detail["problems"]) == 10
    assert detail["problem_count"] == 3000


def test_parsed_masses_of_unknown_fields_are_refused_quickly() -> None:
    """Describing each of a million mistakes took several times as long as finding them."""
    body = execute_body(**{f"unknown_{number}": 0 for number in range(300_000)})

    def refused() -> None:
        with pytest.raises(CallerMistake, match="unknown_0: unknown field") as caught:
            parsed(ExecuteRequest, body)
        assert isinstance(caught.value.detail, dict)
        assert caught.value.detail["problem_count"] == 300_000

    assert lines_run(refused) < 10_000


def test_execute_long_values_and_names_are_not_repeated(server: RunningServer) -> None:
    """Errors repeat nothing long, nor the program, whatever is wrong with it."""
    marker = "S3CRET" * 1000
    for fields in (
        {marker: 1},
        {"isolation": marker},
        {"function": {"code": marker + "\0"}},
        {"limits": {"cpu_time_s": marker}},
        {"checks": {"complexity": {marker: 1}}},
        {"calls": [{"expression": marker + "\0"}]},
    ):
        answer = server.post(execute_body(**fields))
        assert_error(answer, 422)
        assert answer.body.count(b"S3CRET") <= 22
    duplicate = f'{{"{marker}": 1, "{marker}": 2}}'.encode()
    assert server.post(duplicate).body.count(b"S3CRET") <= 10


def test_execute_escaped_nul_in_an_argument_is_data(server: RunningServer) -> None:
    """D24 needs it back; only programs may not contain it."""
    answer = server.post(execute_body(calls=[{"args": ["a\0b"]}]))
    assert answer.json["executions"][0]["output"] == ["a\0b"]


@pytest.mark.parametrize(
    ("size_difference_bytes", "status"), [(-1, 200), (0, 200), (1, 413), (20_000_000, 413)]
)
def test_execute_body_around_the_cap_is_accepted_up_to_it(
    server: RunningServer, size_difference_bytes: int, status: int
) -> None:
    """F29: 413 above the cap, before parsing; below it a normal answer."""
    size_bytes = server.settings.body_bytes_max + size_difference_bytes
    body = execute_body(function={"code": "#"})
    padded = body.replace(b'"#"', b'"#' + b"x" * (size_bytes - len(body)) + b'"')
    assert len(padded) == size_bytes
    answer = server.post(padded)
    assert answer.status == status
    if status == 413:
        assert_error(answer, 413)
        assert answer.json["error"]["detail"] == {"body_bytes_max": 100_000}


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Content-Type: application/json", 200),
        ("Content-Type: Application/JSON; charset=UTF-8", 200),
        ("Content-Type: text/plain", 415),
        ("Content-Type: application/x-www-form-urlencoded", 415),
        ("X-Nothing: 1", 415),
        ("Content-Type: application/json\r\nContent-Encoding: gzip", 415),
    ],
)
def test_execute_content_type_other_than_json_is_refused(
    server: RunningServer, header: str, status: int
) -> None:
    """A web page can send text/plain to anyone, but not application/json."""
    body = execute_body()
    head = (
        f"POST /v1/execute HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        f"{header}\r\n\r\n"
    )
    answer = server.exchange(head.encode() + body)
    assert answer.status == status
    if status != 200:
        assert_error(answer, status)


def test_execute_failures_of_the_service_are_retryable(server: RunningServer) -> None:
    """429 and 503 say when to try again, in whole seconds and never zero."""
    full = server.post(execute_body(function={"code": "overloaded"}))
    assert_error(full, 429)
    assert (full.code, full.headers["retry-after"]) == ("queue_full", "3")
    lost = server.post(execute_body(function={"code": "engine_lost"}))
    assert_error(lost, 503)
    assert (lost.code, lost.headers["retry-after"]) == ("engine_unavailable", "1")


def test_execute_bug_of_ours_is_503_without_traceback(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    """F25: the log has the frames under the id that the caller got, but not what was sent."""
    answer = server.post(execute_body(function={"code": "bug"}, calls=[{"args": ["INPUT"]}]))
    assert_error(answer, 503)
    assert answer.code == "internal_error"
    request_id = answer.headers["x-request-id"]
    assert request_id in answer.json["error"]["message"]
    assert "RuntimeError" in caplog.text
    assert "routes.py" in caplog.text
    assert "INPUT" not in caplog.text
    assert "secret: [" not in caplog.text


def test_execute_logs_one_line_without_contents(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    """F25: method, path, status and counts; no code, input or output."""
    caplog.set_level("DEBUG")
    server.runtime.answer = "OUTPUT"
    try:
        server.post(
            execute_body(function={"code": "#CODE"}, calls=[{"args": ["INPUT"]}] * 2),
            path="/v1/execute?key=QUERY",
        )
    finally:
        server.runtime.answer = None
    # The line is written once the answer has been, so the client may be faster.
    wait_until(lambda: any(r.name == "execbox_service.access" for r in caplog.records))
    (record,) = [r for r in caplog.records if r.name == "execbox_service.access"]
    fields = record.__dict__["fields"]
    assert fields["duration_ms"] >= 0
    assert {name: fields[name] for name in fields if name != "duration_ms"} == {
        "method": "POST",
        "path": "/v1/execute",
        "status": 200,
        "key_name": "anonymous",
        "execution_count": 2,
        "statuses": {"ok": 2},
    }
    for record in caplog.records:
        line = json.dumps({name: str(value) for name, value in record.__dict__.items()})
        for content in ("#CODE", "INPUT", "OUTPUT", "QUERY"):
            assert content not in line


@pytest.mark.parametrize(
    "detail",
    ["x" * 100_000, {"a": object()}, {"a": "\ud800"}, list(range(10_000))],
    ids=["long", "object", "surrogate", "list"],
)
def test_error_bytes_of_any_failure_are_short_json(detail: object) -> None:
    """Whatever another layer puts into a failure, the shape and the size hold."""
    failure = CallerMistake(ErrorCode.INVALID_REQUEST, "é\ud800" * 5000, detail=detail)
    body = error_bytes(failure)
    assert len(body) < 4096
    error = json.loads(body.decode("utf-8"))["error"]
    assert error["code"] == "invalid_request"
    assert error["message"].startswith("é?é?")


NON_FINITE = b'{"function": {"code": "pass"}, "calls": [{"args": [Infinity, -Infinity, NaN]}]%s}'


def test_execute_infinite_arguments_are_refused_unless_the_request_permits_them(
    server: RunningServer,
) -> None:
    """Strict JSON is the rule; the message says which field makes the exception."""
    for permission in (b"", b', "non_finite": false', b', "non_finite": "true"'):
        answer = server.post(NON_FINITE % permission)
        assert_error(answer, 400)
        assert '"non_finite": true' in answer.json["error"]["message"]


def test_execute_infinite_arguments_reach_the_runtime_where_permitted(
    server: RunningServer,
) -> None:
    """As Python's floats."""
    answer = server.post(NON_FINITE % b', "non_finite": true')
    assert answer.status == 200
    (call,) = server.runtime.requests[-1].calls
    assert repr(call.args) == "[inf, -inf, nan]"


def test_execute_infinite_arguments_in_a_large_body_are_read_as_in_a_small_one() -> None:
    """A body that is read in steps has the same exception from the rule."""
    body = (NON_FINITE % b', "non_finite": true').replace(b"pass", b"#" * 300_000)
    assert repr(parsed(ExecuteRequest, body).calls[0].args) == "[inf, -inf, nan]"
    with pytest.raises(CallerMistake, match="non_finite"):
        parsed(ExecuteRequest, body.replace(b"true", b"false"))


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b', "non_finite": true, "limits": {"cpu_time_s": NaN}', 422),
        (b', "non_finite": true, "replay": [{"output": NaN}]', 422),
        (b', "non_finite": true, "x": 1e400', 400),
        (b', "non_finite": true, "x": nan', 400),
    ],
)
def test_execute_non_finite_permits_arguments_only(
    server: RunningServer, fields: bytes, status: int
) -> None:
    """No limit, no ground truth, and no number that JSON could have written."""
    assert_error(server.post(NON_FINITE % fields), status)
