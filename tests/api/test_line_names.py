from __future__ import annotations

import time

import pytest

from execbox_service.api.line_names import names_in

BOTH = {"id": "a", "op": "execute"}


@pytest.mark.parametrize(
    ("line", "names"),
    [
        (b'{"id": "a", "op": "execute", "calls": NaN}', BOTH),
        (b'{"calls": [NaN, -Infinity], "op": "execute", "id": "a"}', BOTH),
        (b'{"id": "a", "op": "execute", "calls": [{"args": [01]}]}', BOTH),
        (b'{"id": "a", "op": "execute", "calls": [', BOTH),
        (b'{"id": "a", "op": "execute", "n": ' + b"9" * 5000 + b"}", BOTH),
        (b'{"id": "a", "op": "execute", "code": "\\x"}', BOTH),
        (b'{"id": "a", "op": "execute", "code": "\x00\xff"}', BOTH),
        (b'{"id": "a", "op": "execute"} trailing', BOTH),
        (b'\xef\xbb\xbf{"id": "a", "op": "execute"}', BOTH),
        (b'{"id": "a", "id": "b", "op": "execute"}', BOTH),
        (b'{"x": "\\"id\\": {", "id": "a", "op": "execute", oops}', BOTH),
        (b'{"items": [{"id": "inner"}], "op": "verify" x, "id": "a"}', {"id": "a", "op": "verify"}),
        (b'{"items": [{"id": "inner"}, NaN]}', {}),
        (b'{"x": "id", "a"}', {}),
        (b'["id", "a", NaN]', {}),
        (b'{"id": 7, "op": ["execute"], "x": NaN}', {}),
        (b'{"id": "a', {}),
        (b'{"id": "\\ud800", "op": "execute", NaN}', {"op": "execute"}),
        (b'{"id": "caf\\u00e9", NaN}', {"id": "caf\u00e9"}),
        (b'{"id": "' + b"a" * 10_000 + b'", "op": "execute", NaN}', {"op": "execute"}),
        (b"", {}),
        (b"not json", {}),
        (b'}{"id": "a"', {}),
    ],
)
def test_names_are_read_wherever_the_fault_is(line: bytes, names: dict[str, str]) -> None:
    """Of the outermost object only, and only what is a string there."""
    assert names_in(line, "id", "op") == names


@pytest.mark.parametrize(
    "line",
    [b'{"' + b'\\"' * 1_000_000, b'"' * 2_000_000, b"[" * 2_000_000, b'{"a":' * 400_000],
    ids=["escaped_quotes", "quotes", "brackets", "objects"],
)
def test_names_of_a_hostile_line_take_time_in_proportion(line: bytes) -> None:
    """No text is searched twice: ten times the length is about ten times the work."""
    began_s = time.thread_time()
    assert names_in(line, "id", "op") == {}
    assert time.thread_time() - began_s < 20
