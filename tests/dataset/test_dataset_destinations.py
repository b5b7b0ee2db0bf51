"""Where results go: through links, into gzip, pipes, devices and standard output."""

from __future__ import annotations

import gzip
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from execbox.dataset.files.append_log import new_beside
from execbox.dataset.files.json_lines import BadRecord, DatasetError, Value
from execbox.dataset.files.records import Record
from execbox.dataset.files.resume import errors_path, run_path
from execbox.dataset.steps.file_run import run_step
from execbox.dataset.steps.progress import Summary
from execbox.dataset.steps.step import Step, per_record
from tests.dataset.files import function, read_lines, write_lines

_REPOSITORY = Path(__file__).parents[2]
EXPECTED = [{"id": str(n), "n": 2 * n} for n in range(40) if n != 7]


async def _double(record: Record) -> Value:
    n = record.value["n"]
    assert isinstance(n, int)
    if n == 7:
        raise BadRecord("seven", reason="seven")
    return {"n": 2 * n}


DOUBLE = Step(
    name="double",
    settings={},
    work=per_record(_double),
    reason_of=lambda _: "done",
    concurrency=4,
    chunk_count=3,
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "in.jsonl", [{"n": n} for n in range(40)])


def unpacked(path: Path) -> list[object]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def run(source: Path, output: Path, *, restart: bool = False) -> Summary:
    return run_step(DOUBLE, source=source, output=output, restart=restart)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("there", [False, True])
def test_link_as_output_leads_to_the_file_and_stays_a_link(
    source: Path, *, restart: bool, there: bool
) -> None:
    """Also one that dangles, and one of several hops; what belongs to a run is beside the file."""
    folder = source.with_name("data")
    folder.mkdir()
    target, link = folder / "run.jsonl", source.with_name("latest.jsonl")
    (folder / "hop.jsonl").symlink_to("run.jsonl")
    link.symlink_to(folder / "hop.jsonl")
    if there:
        target.touch(mode=0o640)
    run(source, link, restart=restart)
    assert link.is_symlink()
    assert (folder / "hop.jsonl").is_symlink()
    assert read_lines(target) == EXPECTED
    assert errors_path(link) == folder / "run.jsonl.errors.jsonl"
    assert [entry["reason"] for entry in read_lines(errors_path(link))] == ["seven"]
    assert run(source, link).resumed_count == 40
    if there:
        assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_run_through_a_link_is_the_run_of_the_file(source: Path) -> None:
    """Two names of one file are one run, so its lock and settings are the same."""
    link, target = source.with_name("link.jsonl"), source.with_name("target.jsonl")
    link.symlink_to(target)
    run(source, target)
    assert run(source, link).resumed_count == 40
    assert run_path(link) == run_path(target)


def test_links_that_lead_to_each_other_are_refused(source: Path) -> None:
    """As the file system does, and by name."""
    one, two = source.with_name("one"), source.with_name("two")
    one.symlink_to(two)
    two.symlink_to(one)
    with pytest.raises(DatasetError, match="one"):
        run(source, one)


def test_link_beside_the_output_is_not_written_through(source: Path) -> None:
    """A name that is guessed and made a link beforehand does not lose what it leads to."""
    precious = source.with_name("precious")
    precious.write_text("precious")
    output = source.with_name("out.jsonl")
    new_beside(output).symlink_to(precious)
    run(source, output)
    assert precious.read_text() == "precious"
    assert read_lines(output) == EXPECTED


def test_file_of_the_users_beside_the_output_stays(source: Path) -> None:
    """Whatever a user calls a file beside it: until it is whole, the output has a name of ours."""
    output = source.with_name("out.jsonl")
    mine = [output.with_name(f"out.jsonl.{suffix}") for suffix in ("new", "tmp", "part", "bak")]
    for path in mine:
        path.write_text("mine")
    run(source, output)
    assert [path.read_text() for path in mine] == ["mine"] * 4
    assert read_lines(output) == EXPECTED


def test_directory_as_output_is_refused_without_leaving_anything(source: Path) -> None:
    """What is wrong is said, and no lock lies about."""
    before = sorted(source.parent.iterdir())
    with pytest.raises(DatasetError, match="is a directory; name a file in it"):
        run(source, source.parent)
    assert sorted(source.parent.iterdir()) == before


@pytest.mark.parametrize("suffix", [".errors.jsonl", ".run.json"])
def test_pipe_in_the_place_of_a_file_beside_the_output_is_refused(
    source: Path, suffix: str
) -> None:
    """It would be replaced, or waited for without end."""
    os.mkfifo(source.with_name("out.jsonl" + suffix))
    with pytest.raises(DatasetError, match="is no regular file"):
        run(source, source.with_name("out.jsonl"))


def test_named_pipe_as_output_is_written_to_and_stays_a_pipe(source: Path) -> None:
    """In the order of the input; failures, which have no file there, are told."""
    pipe = source.with_name("pipe.jsonl")
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    failures: list[Value] = []
    summary = run_step(DOUBLE, source=source, output=pipe, on_failure=failures.append)
    reader.join(timeout=10)
    assert [json.loads(line) for line in received[0].splitlines()] == EXPECTED
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert [failure["reason"] for failure in failures] == ["seven"]
    assert summary.result_count == 39
    assert sorted(path.name for path in source.parent.iterdir()) == ["in.jsonl", "pipe.jsonl"]


def test_device_as_output_is_written_to_and_stays_a_device(source: Path) -> None:
    """Here a terminal; /dev/null and /dev/full are no different."""
    master, slave = os.openpty()
    device = Path(os.ttyname(slave))
    received = bytearray()

    def read() -> None:
        while received.count(b"\n") < len(EXPECTED):
            received.extend(os.read(master, 4096))

    reader = threading.Thread(target=read)
    reader.start()
    run(source, device)
    reader.join(timeout=10)
    assert [json.loads(line) for line in received.splitlines()] == EXPECTED
    assert stat.S_ISCHR(device.stat().st_mode)
    os.close(master)
    os.close(slave)


def test_full_device_as_output_is_an_error_that_names_it(source: Path) -> None:
    """What could not be written is not called done."""
    with pytest.raises(DatasetError, match="/dev/full: No space left"):
        run(source, Path("/dev/full"))


def test_packed_output_is_continued_and_ends_with_the_same_bytes(source: Path) -> None:
    """Half a run, killed, then the whole: as one undisturbed; and again, where nothing is new."""
    undisturbed, output = source.with_name("a.jsonl.gz"), source.with_name("b.jsonl.gz")
    run(source, undisturbed)
    assert unpacked(undisturbed) == EXPECTED
    whole = source.read_bytes()
    source.write_bytes(b"".join(whole.splitlines(keepends=True)[:13]))
    run(source, output)
    source.write_bytes(whole)
    summary = run(source, output)
    assert (summary.resumed_count, summary.result_count) == (13, 39)
    assert output.read_bytes() == undisturbed.read_bytes()
    assert run(source, output).resumed_count == 40
    assert output.read_bytes() == undisturbed.read_bytes()
    assert not list(source.parent.glob("*.partial*"))
    assert run(source, output, restart=True).resumed_count == 0
    assert output.read_bytes() == undisturbed.read_bytes()


def test_packed_output_of_a_run_that_ended_early_goes_on_where_it_was(source: Path) -> None:
    """What was done is beside the output until all of it is there."""
    output = source.with_name("out.jsonl.gz")

    async def dying(record: Record) -> Value:
        if record.value["n"] == 20:
            raise RuntimeError("the end")
        return await _double(record)

    step = Step(name="double", settings={}, work=per_record(dying), reason_of=lambda _: "done")
    with pytest.raises(RuntimeError, match="the end"):
        run_step(step, source=source, output=output)
    assert not output.exists()
    assert run(source, output).resumed_count > 10
    assert unpacked(output) == EXPECTED


def test_packed_output_of_somebody_else_is_not_replaced(source: Path) -> None:
    """As with any output that this command has not written."""
    output = source.with_name("out.jsonl.gz")
    output.write_bytes(gzip.compress(b'{"id": "a"}\n'))
    with pytest.raises(DatasetError, match="was not written by this command"):
        run(source, output)
    assert gzip.decompress(output.read_bytes()) == b'{"id": "a"}\n'


def command(
    *arguments: object, stdin: bytes = b"", stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "execbox", *map(str, arguments)],
        check=False,
        cwd=_REPOSITORY,
        input=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=60,
    )


def test_steps_are_piped_into_each_other(tmp_path: Path) -> None:
    """``-`` is standard input and output, and what is said of a run does not come between."""
    functions = b"".join(json.dumps(function(n)).encode() + b"\n" for n in range(3))
    asked = command("prompts", "-", "-o", "-", "--kinds", "output", stdin=functions + b"{bad\n")
    assert asked.returncode == 1
    questions = [json.loads(line) for line in asked.stdout.splitlines()]
    assert [line["id"] for line in questions] == [
        "0.0.o",
        "0.1.o",
        "1.0.o",
        "1.1.o",
        "2.0.o",
        "2.1.o",
    ]
    failures = [line for line in asked.stderr.splitlines() if line.startswith(b"{")]
    assert [json.loads(line)["line"] for line in failures] == [4]
    assert b"standard input:4: not " in failures[0]
    assert b"6 results in standard output" in asked.stderr
    answered = command(
        *("infer", "-", "-o", "/dev/stdout", "--model-callable", "tests.dataset.files:no_answer"),
        stdin=asked.stdout,
    )
    assert answered.returncode == 0, answered.stderr
    assert [json.loads(line)["id"] for line in answered.stdout.splitlines()] == [
        line["id"] for line in questions
    ]


def test_standard_output_that_goes_to_a_file_is_only_written_to(tmp_path: Path) -> None:
    """``-o /dev/stdout > FILE``: the shell's file, and nothing beside it."""
    path = tmp_path / "out.jsonl"
    with path.open("wb") as file:
        done = command(
            *("prompts", "-", "-o", "/dev/stdout"),
            stdin=json.dumps(function()).encode(),
            stdout=file.fileno(),
        )
    assert done.returncode == 0, done.stderr
    assert len(read_lines(path)) == 4
    assert list(tmp_path.iterdir()) == [path]


def test_reader_that_goes_away_ends_the_command_as_a_broken_pipe(tmp_path: Path) -> None:
    """As with ``| head -1``: no traceback, and no error of a file."""
    source = write_lines(tmp_path / "in.jsonl", [function(n) for n in range(3000)])
    process = subprocess.Popen(
        [sys.executable, "-m", "execbox", "prompts", str(source), "-o", "-"],
        cwd=_REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == b""
    process.stderr.close()
