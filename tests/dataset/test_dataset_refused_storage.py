"""Storage that is full, read-only or without locks: said clearly, and the same command goes on.

The file systems are real ones, small and in memory, which takes root to mount.
"""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from execbox.dataset.files.json_lines import DatasetError
from execbox.dataset.files.resume import errors_path, run_path
from execbox.dataset.steps.file_run import run_step
from execbox.dataset.steps.step import Step
from tests.dataset.files import function, read_lines, write_lines
from tests.dataset.padding import padded

_REPOSITORY = Path(__file__).parents[2]
_SMALL, _ENOUGH = "size=256k", "size=8m"
_COUNT = 300


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system takes root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", _SMALL, "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "in.jsonl", [{"n": n} for n in range(_COUNT)])


def undisturbed(step: Step, source: Path) -> bytes:
    output = source.with_name("undisturbed.jsonl")
    run_step(step, source=source, output=output)
    return output.read_bytes()


def test_disk_that_becomes_full_leaves_complete_lines_and_the_same_run_goes_on(
    disk: Path, source: Path
) -> None:
    """Whatever of a line did not fit is not in the file; nothing is lost or done twice."""
    step, output = padded(2000), disk / "out.jsonl"
    with pytest.raises(DatasetError, match=r"out\.jsonl: No space left on device: make room"):
        run_step(step, source=source, output=output)
    kept = output.read_bytes()
    assert kept.endswith(b"}\n")
    assert 0 < kept.count(b"\n") < _COUNT
    remount(disk, _ENOUGH)
    summary = run_step(step, source=source, output=output)
    assert summary.resumed_count == kept.count(b"\n")
    assert output.read_bytes() == undisturbed(step, source)


def test_disk_too_full_for_putting_results_into_order_keeps_them_and_nothing_else(
    disk: Path, source: Path
) -> None:
    """The second copy that is begun is removed: it would hold the room that is missing."""
    step, output = padded(550), disk / "out.jsonl"
    with pytest.raises(DatasetError, match="takes as much again"):
        run_step(step, source=source, output=output)
    assert len(read_lines(output)) == _COUNT
    assert sorted(disk.iterdir()) == [output, run_path(output)]
    remount(disk, _ENOUGH)
    assert run_step(step, source=source, output=output).resumed_count == _COUNT
    assert output.read_bytes() == undisturbed(step, source)


def test_disk_too_full_to_pack_results_keeps_them_beside_the_output(
    disk: Path, source: Path
) -> None:
    """And the packed output is whole or not there."""
    step, output = padded(550), disk / "out.jsonl.gz"
    with pytest.raises(DatasetError, match="No space left on device"):
        run_step(step, source=source, output=output)
    assert not output.exists()
    remount(disk, _ENOUGH)
    assert run_step(step, source=source, output=output).resumed_count == _COUNT
    packed = source.with_name("undisturbed.jsonl.gz")
    run_step(step, source=source, output=packed)
    assert output.read_bytes() == packed.read_bytes()


def test_storage_that_becomes_read_only_is_said_and_the_same_run_goes_on(
    disk: Path, source: Path
) -> None:
    """As file systems are remounted by the kernel after an error below them."""
    step, output = padded(10), disk / "out.jsonl"
    head = write_lines(source.with_name("head.jsonl"), [{"n": n} for n in range(10)])
    run_step(step, source=head, output=output)
    before = output.read_bytes()
    remount(disk, "ro")
    with pytest.raises(DatasetError, match="Read-only file system: give a different --output"):
        run_step(step, source=source, output=output)
    assert output.read_bytes() == before
    remount(disk, "rw")
    assert run_step(step, source=source, output=output).resumed_count == 10
    assert output.read_bytes() == undisturbed(step, source)


def test_command_on_a_full_disk_says_so_in_one_line_and_goes_on_later(
    disk: Path, tmp_path: Path
) -> None:
    """No traceback, and the exit code of something that the caller can put right."""
    functions = write_lines(tmp_path / "functions.jsonl", [function(n) for n in range(400)])
    command = [sys.executable, "-m", "execbox", "prompts", str(functions), "-o"]

    def run(output: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, str(output)],
            cwd=_REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    full = run(disk / "out.jsonl")
    assert full.returncode == 2
    assert "No space left on device: make room there" in full.stderr
    assert "Traceback" not in full.stderr
    remount(disk, _ENOUGH)
    assert run(disk / "out.jsonl").returncode == 0
    assert run(tmp_path / "whole.jsonl").returncode == 0
    assert (disk / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


_HOLDS = """
import sys, time
from pathlib import Path
from execbox.dataset.files.resume import RunFiles
def ignored(value): pass
with RunFiles(Path(sys.argv[1]), step="padded", settings={}, restart=False,
              on_result=ignored, on_failure=ignored):
    print("holding", flush=True)
    sys.stdin.read()
"""


def test_second_process_on_one_output_is_refused_until_the_first_is_killed(source: Path) -> None:
    """The lock is the kernel's: nothing of it outlives a killed run."""
    step, output = padded(10), source.with_name("out.jsonl")
    first = subprocess.Popen(
        [sys.executable, "-c", _HOLDS, str(output)],
        cwd=_REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"holding\n"
        with pytest.raises(DatasetError, match="another run is writing this output"):
            run_step(step, source=source, output=output)
        first.kill()
    assert run_step(step, source=source, output=output).result_count == _COUNT
    assert not errors_path(output).exists()


def test_file_system_without_locks_is_not_taken_for_a_second_run(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lustre without its mount option says ENOSYS; nobody here can be waited for."""

    def flock(*_ignored: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(DatasetError, match=r"locks no files \(Function not implemented\)"):
        run_step(padded(10), source=source, output=source.with_name("out.jsonl"))
