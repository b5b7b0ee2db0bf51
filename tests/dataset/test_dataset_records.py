from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from execbox.dataset.files.json_lines import BadRecord, DatasetError, encode_line
from execbox.dataset.files.lookup import Lookup
from execbox.dataset.files.records import LINE_BYTES_MAX, BadLine, Record, read_records
from tests.dataset.files import write_lines
from tests.effort import refuse_effort

BAD_LINES = [
    (b"{", "not_json"),
    (b"nonsense", "not_json"),
    (b'{"a": NaN}', "not_json"),
    (b'{"a": 1e400}', "not_json"),
    (b'{"a": 1, "a": 2}', "not_json"),
    (b'{"a": ' + b"9" * 5000 + b"}", "not_json"),
    (b"\xff\xfe", "not_json"),
    (b"[1, 2]", "not_an_object"),
    (b"null", "not_an_object"),
    (b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}", "too_deep"),
    (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep"),
    (b'{"a": "' + b"x" * LINE_BYTES_MAX + b'"}', "line_too_long"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES, ids=lambda value: repr(value)[:30])
def test_bad_line_is_told_with_its_place_and_reading_goes_on(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    """One line that cannot be used costs that line only, and no time to speak of."""
    path = write_lines(tmp_path / "in.jsonl", [{"n": 0}, line, {"n": 2}])
    refuse_effort(lambda: read_records(path))
    first, bad, last = read_records(path)
    assert isinstance(first, Record)
    assert isinstance(last, Record)
    assert (last.number, last.value) == (3, {"n": 2})
    assert isinstance(bad, BadLine)
    assert (bad.number, bad.reason) == (2, reason)
    assert bad.message.startswith(f"{path}:2: ")
    assert last.end_bytes == path.stat().st_size


def test_line_of_50_mb_is_skipped_without_holding_it(tmp_path: Path) -> None:
    """A line over the limit is passed over piece by piece."""
    path = tmp_path / "in.jsonl"
    with path.open("wb") as file:
        file.write(b'{"a": "')
        for _ in range(50):
            file.write(b"x" * 1024 * 1024)
        file.write(b'"}\n{"n": 1}\n')
    bad, good = read_records(path)
    assert isinstance(bad, BadLine)
    assert "52428" in bad.message
    assert isinstance(good, Record)


def test_ids_come_from_the_record_else_from_its_place_and_are_never_twice(
    tmp_path: Path,
) -> None:
    """What a record is called does not change from run to run."""
    triple = {"itemid": 4, "ioid": 1, "io_pred": "o"}
    lines = [{"id": "a"}, {"id": 7}, triple, {}, b"", {"id": "a"}, triple, {"id": True}]
    path = write_lines(tmp_path / "in.jsonl", lines)
    ids = [line.id for line in read_records(path) if isinstance(line, Record)]
    assert ids == ["a", "7", "4.1.o", "3", "a~2", "4.1.o~2", "7~2"]


@pytest.mark.parametrize(
    ("own", "given"),
    [
        (["a", "a", "a"], ["a", "a~2", "a~3"]),
        (["a", "a~2", "a", "a"], ["a", "a~2", "a~3", "a~4"]),
        (["a", "a", "a~2", "a", "a~2"], ["a", "a~2", "a~2~2", "a~3", "a~2~3"]),
        (["a~3", "a~2", "a", "a"], ["a~3", "a~2", "a", "a~4"]),
    ],
)
def test_ids_that_look_like_given_ones_are_not_given_again(
    tmp_path: Path, own: list[str], given: list[str]
) -> None:
    """Two lines of one name would be one result, or a file that cannot be continued."""
    path = write_lines(tmp_path / "in.jsonl", [{"id": name} for name in own])
    assert [line.id for line in read_records(path) if isinstance(line, Record)] == given


@pytest.mark.parametrize("taken", [0, 50_000])
def test_hundred_thousand_equal_ids_are_named_in_linear_time(tmp_path: Path, taken: int) -> None:
    """Also where half of the names are taken already."""
    names = [*(f"a~{n}" for n in range(2, 2 + taken)), *["a"] * (100_000 - taken)]
    path = write_lines(tmp_path / "in.jsonl", [{"id": name} for name in names])
    begun_s = time.process_time()
    given = {line.id for line in read_records(path) if isinstance(line, Record)}
    assert len(given) == 100_000
    # A few seconds of CPU time; one more look for every line before would take hours.
    assert time.process_time() - begun_s < 60


def test_file_with_bom_crlf_and_no_last_newline_is_read(tmp_path: Path) -> None:
    """What editors on other systems leave behind is no mistake."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"n": 1}\r\n{"n": 2}')
    assert [line.value for line in read_records(path) if isinstance(line, Record)] == [
        {"n": 1},
        {"n": 2},
    ]


def test_missing_file_raises_one_error_that_names_it(tmp_path: Path) -> None:
    """There is nothing to go on with."""
    with pytest.raises(DatasetError, match=r"none\.jsonl: cannot be read"):
        list(read_records(tmp_path / "none.jsonl"))


@pytest.mark.parametrize(
    "value",
    [
        {"text": "汉字 é \n\u2028", "float": 0.1, "int": 10**30, "one": 1.0},
        {"surrogate": "\ud800"},
    ],
)
def test_encoded_line_reads_back_the_same(value: dict[str, object]) -> None:
    """A record survives being written, lone surrogates included."""
    line = encode_line(value)
    assert line.count(b"\n") == 1
    assert json.loads(line) == value


@pytest.mark.parametrize(
    "value", [float("nan"), {1, 2}, 10**5000], ids=["nan", "a set", "5,000 digits"]
)
def test_value_without_json_form_is_refused(value: object) -> None:
    """What could not be read back is not written."""
    with pytest.raises(BadRecord):
        encode_line({"value": value})


def test_lookup_finds_lines_and_ids_and_names_what_it_lacks(tmp_path: Path) -> None:
    """Empty and bad lines are counted, so that itemid keeps meaning the line."""
    lines = [{"id": "a", "n": 0}, b"", b"{", {"id": "b", "n": 3}]
    path = write_lines(tmp_path / "functions.jsonl", lines)
    with Lookup(path, by_id=True) as lookup:
        assert [lookup.at(0)["n"], lookup.at(3)["n"]] == [0, 3]
        named = lookup.named("b")
        assert named is not None
        assert named["n"] == 3
        assert lookup.named("c") is None
        for index in (1, 2, 4, -1):
            with pytest.raises(BadRecord, match="refers to function") as caught:
                lookup.at(index)
            assert caught.value.reason == "unknown_function"
