"""Reading and writing JSON in steps: the same as in one go, and no step that takes long."""

from __future__ import annotations

import contextlib
import json
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execbox.strict_json import StrictJSONError, decode
from execbox.wire import Execution, Status
from execbox_service.json_steps import (
    MEMBERS_MAX,
    decode_in_steps,
    encode_in_steps,
    free_in_steps,
    is_light,
    read_bytes_max,
    reading,
    sizes,
    text_head,
    writing,
)
from tests.waits import WAIT_MAX_S, collector_at_rest, longest_wait

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
        patch.setattr(reading, "_WINDOW_CHARS_MAX", window_chars)
        patch.setattr(reading, "_WINDOW_CHARS_MIN", min(8, window_chars))
        patch.setattr(writing, "_BATCH_MAX", 3)
        patch.setattr(writing, "LIGHT_MAX", 5)
        patch.setattr(sizes, "LIGHT_MAX", 5)
        patch.setattr(writing, "_SORTED_MAX", 3)
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
TRIES = 3
"""One that is quick enough is enough: on a machine that does other work one step in thousands takes
twice its time."""
READING_MAX_S = 10


@pytest.mark.alone
@pytest.mark.parametrize("shape", WORST)
def test_every_step_of_the_worst_documents_leaves_room_for_others(shape: str) -> None:
    """Another thread, as the event loop is one, is never kept waiting for long: not by reading,
    nor by writing what was read."""
    body = WORST[shape].encode()
    waits_ms: list[tuple[int, int]] = []
    while not waits_ms or max(waits_ms[-1]) >= 1000 * WAIT_MAX_S:
        assert len(waits_ms) < TRIES, f"read and written: {waits_ms} ms"
        waits_ms.append(waits_of(body))


def waits_of(body: bytes) -> tuple[int, int]:
    """The longest waits beside reading and beside writing, in milliseconds."""
    with collector_at_rest():
        with longest_wait() as read:
            try:
                value = decode_in_steps(body)
            except StrictJSONError:
                value = None
        with longest_wait() as written:
            assert sum(map(len, encode_in_steps(value))) > 0
    assert read.spent_s < READING_MAX_S, f"reading took {read.spent_s:.1f} s"
    return round(1000 * read.longest_s), round(1000 * written.longest_s)


def test_read_bytes_of_brackets_in_strings_are_those_of_strings() -> None:
    """A model's text of braces and quotes is no structure, and takes what its letters take."""
    text = json.dumps({"response": '{"a": [1, "' * 1_000_000}).encode()
    assert len(text) <= read_bytes_max(text) < 2 * len(text)
    assert read_bytes_max(b"[" + b"[]," * 1_000_000 + b"1]") > 64_000_000


def test_read_bytes_of_escapes_are_counted_the_same_wherever_a_part_ends() -> None:
    """A backslash at the end of one part belongs with what begins the next."""
    value = {"a": ["x\\", '[[[["', "\\\\", "\u00e9", [1, [2, {}]]]}
    texts = [json.dumps(value, ensure_ascii=ascii_only).encode() for ascii_only in (True, False)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sizes, "_ROUGHLY_BYTES_MAX", 0)
        whole = [read_bytes_max(text) for text in texts]
        for part_bytes in range(2, 40):
            patch.setattr(sizes, "_PART_BYTES", part_bytes)
            assert [read_bytes_max(text) for text in texts] == whole


def test_object_of_more_members_than_permitted_is_refused_with_the_limit() -> None:
    """The interpreter moves all members of a growing object in one step."""
    members = ",".join(f'"{n:x}":1' for n in range(MEMBERS_MAX + 1))
    with pytest.raises(StrictJSONError, match="more than 500000 members") as refused:
        decode_in_steps(b"[{%b}]" % members.encode())
    assert refused.value.reason == "too_many_members"
    last = members.rindex(",")
    assert len(decode_in_steps(b"{%b}" % members[:last].encode())) == MEMBERS_MAX


LARGE_VALUES: dict[str, Any] = {
    "arrays": lambda: [[] for _ in range(1_000_000)],
    "an object of arrays": lambda: {str(n): [n] for n in range(300_000)},
    "arrays deep inside": lambda: {"a": [[{"b": [[] for _ in range(500_000)]}]]},
    "strings": lambda: [f"{n:x}" for n in range(1_000_000)],
}


@pytest.mark.parametrize("shape", LARGE_VALUES)
def test_freeing_of_large_values_leaves_room_for_others(shape: str) -> None:
    """The interpreter's own way is one step; here nothing is left that takes one."""
    value = LARGE_VALUES[shape]()
    with collector_at_rest(), longest_wait() as waits:
        free_in_steps(value)
    assert is_light((value,))
    assert waits.longest_s < WAIT_MAX_S


def test_freeing_goes_through_models_and_leaves_what_is_small() -> None:
    """What a request or an answer holds; values of ordinary size are not worth it."""
    execution = Execution(status=Status.OK, output=[0] * 100_000, stdout="kept")
    small = Execution(status=Status.OK, output={"a": [1, 2]})
    executions = [execution, small]
    free_in_steps(executions)
    assert (executions, execution.output, small.output) == ([], [], {"a": [1, 2]})


@pytest.mark.parametrize("body", ["[" + "[]," * 400_000 + "x]", '{"a":[' + "[]," * 400_000 + "x]}"])
def test_decode_that_fails_keeps_nothing_of_what_was_read(body: str) -> None:
    """The exception, with its frames, goes to the event loop, which would free it in one step."""
    with pytest.raises(StrictJSONError) as refused:
        decode_in_steps(body.encode())
    cause = refused.value.__cause__
    assert cause is not None
    held = [
        value
        for frame, _line in traceback.walk_tb(cause.__traceback__)
        for value in frame.f_locals.values()
        if isinstance(value, list | dict)
    ]
    assert is_light(held)


def test_integers_of_thousands_of_digits_are_not_light() -> None:
    """To write one takes as long as to write thousands of short ones."""
    assert is_light([12345] * 10_000)
    assert is_light([10**4000])
    assert not is_light([10**4000] * 10)


@given(value=JSON_VALUES, chars_max=st.integers(min_value=1, max_value=200))
def test_head_of_any_text_is_how_json_writes_it(value: Any, chars_max: int) -> None:
    """Spaces included, and no shorter than asked for where there is more."""
    whole = json.dumps(value, ensure_ascii=False)
    with steps_of(20):
        head = text_head(value, chars_max, ensure_ascii=False)
    assert whole.startswith(head)
    assert len(head) >= min(chars_max, len(whole))
