"""Reading and writing JSON in steps: the same as in one go, and no step that takes long."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execbox.strict_json import StrictJSONError, decode
from execbox_service import json_steps
from execbox_service.json_steps import (
    decode_in_steps,
    encode_in_steps,
    read_bytes_max,
)
from tests.waits import collector_at_rest, longest_wait

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=60,
)


@contextlib.contextmanager
def steps_of(window_chars: int) -> Iterator[None]:
    """Windows and batches of a few members, so that small documents need many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_steps, "_WINDOW_CHARS_MAX", window_chars)
        patch.setattr(json_steps, "_WINDOW_CHARS_MIN", min(8, window_chars))
        patch.setattr(json_steps, "_BATCH_MAX", 3)
        patch.setattr(json_steps, "_LIGHT_MAX", 5)
        patch.setattr(json_steps, "_SORTED_MAX", 3)
        yield


def outcome(body: bytes, read: Any) -> str:
    """What reading gives, or why not, in a form that tells 1 from 1.0 and -0.0 from 0.0."""
    try:
        return json.dumps(read(body))
    except StrictJSONError as error:
        return f"{error.reason}: {error.message}"


@given(
    value=JSON_VALUES,
    window_chars=st.integers(min_value=12, max_value=80),
    spaced=st.booleans(),
    ascii_only=st.booleans(),
)
def test_decode_of_any_value_is_the_same_in_steps(
    value: Any, window_chars: int, spaced: bool, ascii_only: bool
) -> None:
    """However the windows fall: within escapes, numbers, keys and brackets."""
    text = json.dumps(value, indent=1 if spaced else None, ensure_ascii=ascii_only)
    body = text.encode("utf-8", "replace")
    with steps_of(window_chars):
        assert outcome(body, decode_in_steps) == outcome(body, decode)


@given(
    pieces=st.lists(
        st.sampled_from(
            ['[', ']', '{', '}', ',', ':', '"', '"a"', '"a":', '1', '-1.5e3', '1e999', 'true',
             'nul', 'NaN', ' ', '\n', '\\', '"\\u00e9"', '"\\ud83d\\ude00"', '"\\ud83d"',
             '"\\x"', '"\t"', '[1,2,', '{"a":1,"a":2}', '1' * 30, '[[[[[[[[', ']]]]]]]]']
        ),
        max_size=30,
    ),
    window_chars=st.integers(min_value=12, max_value=60),
)  # fmt: skip
def test_decode_of_any_text_is_refused_alike_in_steps(pieces: list[str], window_chars: int) -> None:
    """The same value, or a refusal for a reason that the text has: where several are wrong, one
    reader may come upon one first, and the other upon another."""
    body = "".join(pieces).encode()
    with steps_of(window_chars):
        in_steps, whole = outcome(body, decode_in_steps), outcome(body, decode)
    if whole[:1].isalpha() and ": " in whole and whole.split(":")[0] in REASONS:
        assert in_steps.split(":")[0] in REASONS
        if whole.startswith("syntax") and in_steps.startswith("syntax"):
            assert in_steps == whole
    else:
        assert in_steps == whole


REASONS = {
    "empty", "encoding", "too_deep", "syntax", "duplicate_key", "not_finite", "integer_too_long",
    "lone_surrogate",
}  # fmt: skip


@given(value=JSON_VALUES, window_chars=st.integers(min_value=12, max_value=80))
def test_encode_of_any_value_is_the_same_in_steps(value: Any, window_chars: int) -> None:
    """Compact, with sorted keys where that is asked for."""
    with steps_of(window_chars):
        for sort_keys in (False, True):
            whole = json.dumps(value, separators=(",", ":"), sort_keys=sort_keys)
            assert "".join(encode_in_steps(value, sort_keys=sort_keys)) == whole


MIB = 1024 * 1024
WORST = {
    "empty arrays": "[" + "[]," * 300_000 + "1]",
    "empty objects": "[" + "{}," * 300_000 + "1]",
    "chains of arrays": "[" + ("[" * 50 + "]" * 50 + ",") * 8_000 + "1]",
    "numbers": "[" + "12345," * 2_600_000 + "1]",
    "numbers of one digit": "[" + "1," * 8_000_000 + "1]",
    "floats": "[" + "0.125," * 1_300_000 + "1]",
    "words": "[" + "true," * 3_000_000 + "1]",
    "strings": "[" + '"ab",' * 3_000_000 + "1]",
    "one string": '"' + "x" * (15 * MIB) + '"',
    "one string of escapes": '"' + "\\n" * (7 * MIB) + '"',
    "one string of pairs": '"' + "\\ud83d\\ude00" * (MIB + MIB // 4) + '"',
    "spaces": "[1," + " " * (15 * MIB) + "1]",
    "many members": "{" + ",".join(f'"{n}":1' for n in range(300_000)) + "}",
    "members with spaces between": json.dumps({"a": {}} | {f"b{n}": n for n in range(300_000)}),
    "objects": "[" + '{"a":1,"b":[2]},' * 200_000 + "1]",
    "unclosed arrays in a row": "[" + "[]," * 300_000,
    "matrix": "[" + ("[" + "1.5," * 999 + "1]" + ",") * 1000 + "1]",
}
GAP_MAX_S = 0.05
READING_MAX_S = 10


@pytest.mark.parametrize("shape", WORST)
def test_every_step_of_the_worst_documents_leaves_room_for_others(shape: str) -> None:
    """Another thread, as the event loop is one, is never kept waiting for 50 ms: not by reading,
    nor by writing what was read."""
    body = WORST[shape].encode()
    with collector_at_rest():
        with longest_wait() as read:
            try:
                value = decode_in_steps(body)
            except StrictJSONError:
                value = None
        with longest_wait() as written:
            assert sum(map(len, encode_in_steps(value))) > 0
    assert read.spent_s < READING_MAX_S, f"reading took {read.spent_s:.1f} s"
    waits_ms = [round(1000 * waits.longest_s) for waits in (read, written)]
    assert max(waits_ms) < 1000 * GAP_MAX_S, f"read and written: {waits_ms} ms"


def test_read_bytes_of_brackets_in_strings_are_those_of_strings() -> None:
    """A model's text of braces and quotes is no structure, and takes what its letters take."""
    text = json.dumps({"response": '{"a": [1, "' * 1_000_000}).encode()
    assert len(text) <= read_bytes_max(text) < 2 * len(text)
    assert read_bytes_max(b"[" + b"[]," * 1_000_000 + b"1]") > 64_000_000
