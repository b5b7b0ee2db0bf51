"""Parquet in and out: the same records again, runs that go on, and what needs pyarrow."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execbox.cli import main
from execbox.dataset.files.json_lines import DatasetError, decode_line, encode_line
from execbox.dataset.files.lookup import Lookup
from execbox.dataset.files.parquet import ParquetLines, write_parquet
from execbox.dataset.files.records import BadLine, Record, read_records
from execbox.dataset.steps.file_run import run_step
from execbox.dataset.steps.step import Step, per_record
from tests.dataset.files import function, read_lines, write_lines

TEXTS = st.text(max_size=4)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**25), max_value=10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.lists(
    st.dictionaries(st.sampled_from(["id", "a", "b", "ü.\n"]), VALUES, max_size=4), max_size=5
)


def packed(records: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    lines = list(map(encode_line, records))
    write_parquet(lambda: iter(lines), file)
    return file.getvalue()


def unpacked(data: bytes) -> list[dict[str, Any]]:
    lines = io.BufferedReader(ParquetLines(io.BytesIO(data), "x.parquet"))
    return [decode_line(line) for line in lines]


def parquet(path: Path, **columns: Any) -> Path:
    """A table as other programs write it."""
    pq.write_table(pa.table(columns), path)
    return path


@settings(max_examples=150, deadline=None)
@given(RECORDS)
def test_records_written_are_the_records_read(records: list[dict[str, Any]]) -> None:
    """Missing and null, order of keys, large integers, 1 and 1.0: nothing is another."""
    again = unpacked(packed(records))
    # As text, because 1 == 1.0 == True; a record's own columns come in the table's order.
    assert [sorted((k, json.dumps(v)) for k, v in each.items()) for each in again] == [
        sorted((k, json.dumps(v)) for k, v in each.items()) for each in records
    ]


def test_lone_surrogate_and_line_separators_survive() -> None:
    """What UTF-8 cannot carry is written as JSON text with its escape."""
    record = {"id": "\ud800", "a": "\u2028\x85\n", "b": {"\udfff": ["\ud800"]}}
    assert unpacked(packed([record])) == [record]


def test_column_whose_name_is_no_unicode_is_refused_and_named() -> None:
    """Parquet has no such names; JSON lines do."""
    with pytest.raises(DatasetError, match=r"column 'a\\ud800' .* -o FILE.jsonl"):
        packed([{"id": "1", "a\ud800": 1}])


def test_error_of_pyarrow_on_writing_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on reading, no traceback."""

    def refuse(*_: object, **__: object) -> None:
        raise pa.ArrowInvalid("too much")

    monkeypatch.setattr(pq, "ParquetWriter", refuse)
    with pytest.raises(DatasetError, match=r"the table: .*too much.* -o FILE.jsonl"):
        packed([{"id": "1"}])


def test_columns_are_plain_where_all_values_are() -> None:
    """So that other programs find texts, numbers and conversations, not JSON."""
    messages = [{"role": "user", "content": "?"}]
    records = [
        {"id": "0", "n": 1, "x": 0.5, "ok": True, "messages": messages, "io": {"input": {"n": 1}}},
        {"id": "1", "n": 2, "x": 1.5, "ok": None, "messages": [], "io": {"input": {"s": ""}}},
    ]
    schema = pq.read_schema(io.BytesIO(packed(records)))
    assert {each.name: str(each.type) for each in schema} == {
        "id": "string",
        "n": "int64",
        "x": "double",
        "ok": "bool",
        "messages": "list<element: struct<role: string, content: string>>",
        "io": "extension<arrow.json>",
    }


def shouting(*, fails_at: int | None = None) -> Step:
    async def work(record: Record) -> dict[str, object]:
        if record.index == fails_at:
            raise KeyboardInterrupt
        return {"text": str(record.value["text"]).upper(), "n": {"at": [record.index]}}

    return Step(
        name="shout",
        settings={},
        work=per_record(work),
        reason_of=lambda _: "done",
        concurrency=1,
    )


def test_step_reads_and_writes_parquet_and_goes_on_after_an_end(tmp_path: Path) -> None:
    """An interrupted run ends with the same bytes as an undisturbed one; a finished one keeps."""
    source = parquet(tmp_path / "in.parquet", text=[f"t{n}" for n in range(700)])
    whole, again = tmp_path / "whole.parquet", tmp_path / "again.parquet"
    assert run_step(shouting(), source=source, output=whole).counts == {"done": 700}
    with pytest.raises(KeyboardInterrupt):
        run_step(shouting(fails_at=300), source=source, output=again)
    assert not again.exists()
    summary = run_step(shouting(), source=source, output=again)
    assert summary.resumed_count >= 299
    assert again.read_bytes() == whole.read_bytes()
    assert run_step(shouting(), source=source, output=again).resumed_count == 700
    assert again.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.glob("*.partial")) == []
    (first, *_) = read_records(again)
    assert isinstance(first, Record)
    assert first.value == {"id": "0", "text": "T0", "n": {"at": [0]}}


def test_progress_over_parquet_goes_by_rows(tmp_path: Path) -> None:
    """From nothing to all."""
    source = parquet(tmp_path / "in.parquet", text=["t"] * 1000)
    shares: list[float] = []
    run_step(
        shouting(),
        source=source,
        output=tmp_path / "o.jsonl",
        listener=lambda snapshot: shares.append(snapshot.share),
    )
    assert shares == sorted(shares)
    assert shares[0] < 0.6
    assert shares[-1] == 1.0


def test_commands_pass_parquet_on(tmp_path: Path) -> None:
    """Every file of a step may be one, also those that are looked up in."""
    functions = write_lines(tmp_path / "f.jsonl", [function(n) for n in range(3)])
    table = tmp_path / "f.parquet"
    table.write_bytes(packed(read_lines(functions)))
    with Lookup(table) as lookup:
        assert lookup.at(1) == read_lines(functions)[1]
    for source, output in ((functions, "p.jsonl"), (table, "p.parquet")):
        assert main(["prompts", str(source), "-o", str(tmp_path / output), "-q"]) == 0
    assert unpacked((tmp_path / "p.parquet").read_bytes()) == read_lines(tmp_path / "p.jsonl")


def test_parquet_comes_through_a_pipe(tmp_path: Path) -> None:
    """It is copied, for its end has to be read first."""
    data = packed([{"id": str(n)} for n in range(3)])
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    found = list(read_records(pipe))
    writer.join(timeout=10)
    assert [line.id for line in found if isinstance(line, Record)] == ["0", "1", "2"]


def test_other_programs_tables_are_read(tmp_path: Path) -> None:
    """Numbers of all widths, nested values, dictionaries of texts, dates; null stays null."""
    moment = pa.array([0, None], type=pa.timestamp("s"))
    path = parquet(
        tmp_path / "t.parquet",
        a=pa.array([1, 2], type=pa.uint8()),
        b=[[{"x": 1.5}], []],
        c=pa.array(["u", "u"]).dictionary_encode(),
        d=moment,
        e=pa.array(["1", "x"], type=pa.large_string()),
    )
    assert [line.value for line in read_records(path) if isinstance(line, Record)] == [
        {"a": 1, "b": [{"x": 1.5}], "c": "u", "d": "1970-01-01T00:00:00", "e": "1"},
        {"a": 2, "b": [], "c": "u", "d": None, "e": "x"},
    ]


def test_not_a_number_in_a_table_is_a_bad_line(tmp_path: Path) -> None:
    """As in JSONL, with the row's number."""
    path = parquet(tmp_path / "t.parquet", x=[1.0, float("nan")])
    good, bad = read_records(path)
    assert isinstance(good, Record)
    assert isinstance(bad, BadLine)
    assert (bad.number, bad.reason) == (2, "not_json")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (lambda: pa.array([b"x"]), "binary"),
        (lambda: pa.array([[b"x"]]), "binary"),
        (lambda: pa.array([1], type=pa.decimal128(5, 2)), "decimal128"),
        (lambda: pa.array([[("k", 1)]], type=pa.map_(pa.string(), pa.int64())), "map"),
    ],
)
def test_column_without_a_json_form_is_named(
    tmp_path: Path, values: Callable[[], Any], kind: str
) -> None:
    """Before any record is worked on."""
    path = parquet(tmp_path / "t.parquet", good=["a"], odd=values())
    with pytest.raises(DatasetError, match=f"t.parquet: the column 'odd' holds {kind}"):
        list(read_records(path))


@pytest.mark.parametrize("cut", [9, -5])
def test_damaged_parquet_is_an_error_that_names_the_file(tmp_path: Path, cut: int) -> None:
    """No traceback, and no end of the file."""
    path = tmp_path / "t.parquet"
    path.write_bytes(packed([{"id": "0"}])[:cut])
    with pytest.raises(DatasetError, match=r"t.parquet: (the Parquet data is damaged|cannot be)"):
        list(read_records(path))


def test_parquet_within_gzip_is_refused_by_name(tmp_path: Path) -> None:
    """It is packed already."""
    path = tmp_path / "t.parquet.gz"
    path.write_bytes(gzip.compress(packed([{"id": "0"}])))
    with pytest.raises(DatasetError, match=r"a Parquet file within gzip.*gunzip"):
        list(read_records(path))


@pytest.fixture
def without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where only the client is installed."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)


@pytest.mark.usefixtures("without_pyarrow")
@pytest.mark.parametrize("argv", [["in.parquet", "-o", "o.jsonl"], ["f.jsonl", "-o", "o.parquet"]])
def test_parquet_without_pyarrow_is_refused_with_the_install_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
) -> None:
    """In and out, before anything is written, with a way without it."""
    monkeypatch.chdir(tmp_path)
    Path("in.parquet").write_bytes(b"PAR1\x15\x04")
    write_lines(Path("f.jsonl"), [function()])
    assert main(["prompts", *argv]) == 2
    shown = capsys.readouterr().err
    assert "pip install 'execbox[data]'" in shown
    assert "read_parquet" in shown
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.jsonl", "in.parquet"]
