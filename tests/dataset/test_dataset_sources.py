"""What steps read: files, pipes and gzip; what is no JSONL is refused by name, with what to do."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from execbox.dataset.files.json_lines import DatasetError, encode_line
from execbox.dataset.files.lookup import Lookup
from execbox.dataset.files.records import BadLine, Record, read_records
from execbox.dataset.files.sources import open_source

_REPOSITORY = Path(__file__).parents[2]
LINES = b'{"n": 0}\n{"n": 1}\n\nnot json\n{"n": 4}\n'


def values(path: Path) -> list[object]:
    return [line.value if isinstance(line, Record) else line.reason for line in read_records(path)]


def tar_of(data: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("a.jsonl")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


@pytest.mark.parametrize(
    "data",
    [LINES, gzip.compress(LINES), gzip.compress(LINES[:9]) + gzip.compress(LINES[9:])],
    ids=["plain", "gzip", "two gzip members"],
)
@pytest.mark.parametrize("name", ["in.jsonl", "in.jsonl.gz"])
def test_gzip_is_read_whatever_its_name_is(tmp_path: Path, name: str, data: bytes) -> None:
    """What a file is, its first bytes say."""
    path = tmp_path / name
    path.write_bytes(data)
    assert values(path) == [{"n": 0}, {"n": 1}, "not_json", {"n": 4}]
    with Lookup(path) as lookup:
        assert lookup.at(4) == {"n": 4}


def test_pipe_is_read_and_looked_up_in(tmp_path: Path) -> None:
    """As ``<(zcat ...)`` gives one; it can be read once, so what is looked up is copied."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for packed in (False, True):
        data = gzip.compress(LINES) if packed else LINES
        writer = threading.Thread(target=pipe.write_bytes, args=(data,))
        writer.start()
        with Lookup(pipe) as lookup:
            assert lookup.at(1) == {"n": 1}
        writer.join(timeout=10)


def test_reading_says_how_much_was_read_as_stored(tmp_path: Path) -> None:
    """So that progress is right for packed files too."""
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(gzip.compress(os.urandom(1_000_000)))
    with open_source(path) as source:
        source.file.read(500_000)
        assert 0.4 < source.read_bytes / source.total_bytes < 0.6
        source.file.read()
        assert source.read_bytes == source.total_bytes


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"ARROW1\x00\x00", "an Arrow file"),
        (b"\x28\xb5\x2f\xfd....", "compressed with zstd.*zstd -d"),
        (b"BZh91AY&SY", "compressed with bzip2.*bunzip2"),
        (b"\xfd7zXZ\x00\x00", "compressed with xz.*unxz"),
        (b"PK\x03\x04....", "a ZIP archive.*unzip"),
        (b"SQLite format 3\x00", "an SQLite database"),
        ('{"n": 1}\n'.encode("utf-16"), "text in UTF-16.*iconv"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n", "git lfs pull"),
        (b"\n<!DOCTYPE html>\n<html>", "a page of HTML"),
        (tar_of(LINES), "a tar archive.*tar xf"),
        (b'[{"n": 1}, {"n": 2}]\n', "one JSON array.*jq -c '.\\[\\]'"),
        (b'[{"n": 1}, {"n": 2}]', "one JSON array.*jq -c '.\\[\\]'"),
        (b'\xef\xbb\xbf\n  [\n  {"n": 1},\n  {"n": 2}\n]\n', "one JSON array"),
        (b'[{"n": 1},\n{"n": 2}]\n', "one JSON array"),
        (b'{\n  "n": 1\n}\n', "one JSON object.*jq -c '.'"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_other_formats_are_refused_by_name_with_what_to_do(
    tmp_path: Path, data: bytes, message: str, *, packed: bool
) -> None:
    """Before anything is written, instead of a bad line for each of their lines."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(DatasetError, match=f"in.jsonl: is .*{message}"):
        list(read_records(path))
    with pytest.raises(DatasetError, match=message):
        Lookup(path)


@pytest.mark.parametrize("first", [b"[1, 2]", b'[{"n": 1}]', b'{"n": ', b"{}", b"BZ", b"x" * 200])
def test_odd_first_line_among_others_is_only_a_bad_line(tmp_path: Path, first: bytes) -> None:
    """A file of records is not refused for it."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(first + b'\n{"n": 1}\n')
    found = list(read_records(path))
    assert len(found) == 2
    assert isinstance(found[0], Record if first == b"{}" else BadLine)
    assert isinstance(found[1], Record)


@pytest.mark.parametrize("cut", [12, -9, -1])
def test_gzip_that_is_cut_off_is_no_end_of_the_file(tmp_path: Path, cut: int) -> None:
    """A download that broke off is an error, whatever of it can be read."""
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(gzip.compress(LINES * 1000)[:cut])
    with pytest.raises(DatasetError, match="damaged or cut off"):
        list(read_records(path))


def test_written_lines_are_lines_for_every_reader() -> None:
    """``str.splitlines`` also ends lines at U+0085, U+2028 and U+2029, which JSON may escape."""
    text = "a\x85b\u2028c\u2029d\x0b\x0c\x1c\x1d\x1ee \U0001f600 \u00e9"
    line = encode_line({text: [text]})
    assert json.loads(line) == {text: [text]}
    assert len(line.decode().splitlines()) == 1
    assert "\U0001f600 \u00e9".encode() in line


def test_command_says_that_an_input_is_empty(tmp_path: Path) -> None:
    """No error, for nothing may be left to do; but a download that failed looks like this."""
    (tmp_path / "empty.jsonl").touch()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "execbox", "prompts", tmp_path / "empty.jsonl"),
            *("-o", tmp_path / "out.jsonl"),
        ],
        check=False,
        cwd=_REPOSITORY,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert b"empty.jsonl: holds no records: it is empty" in done.stderr


def test_command_refuses_an_array_before_it_writes_anything(tmp_path: Path) -> None:
    """The exit code is that of the caller's mistake."""
    source = tmp_path / "functions.json"
    source.write_text(json.dumps([{"refcode": "x"}], indent=1))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "execbox", "prompts", source),
            *("-o", tmp_path / "out.jsonl"),
        ],
        check=False,
        cwd=_REPOSITORY,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert b"is one JSON array, and JSONL is needed" in done.stderr
