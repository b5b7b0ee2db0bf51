"""Storage that stands still in the middle of a run, as a network file system does whose server is
away: the run waits, and what it writes is what an undisturbed one writes.

It is a real file system that is frozen and thawed. Only processes of their own write to it, since
whoever writes to it meanwhile cannot even be killed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from execbox.dataset.steps.file_run import run_step
from tests.api.harness import wait_until
from tests.dataset.files import write_lines
from tests.dataset.padding import padded

_REPOSITORY = Path(__file__).parents[2]
_DISK_BYTES = 96 * 2**20
_STILL_S = 2.0
_COUNT = 2000
_PADDED = """
import sys
from pathlib import Path
from execbox.dataset.steps.file_run import run_step
from tests.dataset.padding import padded
run_step(padded(3000), source=Path(sys.argv[1]), output=Path(sys.argv[2]))
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system in a file."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system takes root")
    image, folder = tmp_path / "image", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(_DISK_BYTES)
    folder.mkdir()
    made = ("mkfs.ext4", "-q", str(image))
    for command in (made, ("mount", "-o", "loop", str(image), str(folder))):
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no file system can be made in a file here: {error}")
    yield folder
    subprocess.run(["fsfreeze", "--unfreeze", folder], check=False, capture_output=True)
    subprocess.run(["umount", "--lazy", folder], check=True)


def begun(program: str, *arguments: object) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(words, cwd=_REPOSITORY)


def line_count(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.read_bytes().count(b"\n")
    return 0


def stand_still(disk: Path, output: Path, process: subprocess.Popen[bytes]) -> None:
    """Freeze it in the middle of the run, for a while in which nothing is written."""
    wait_until(lambda: line_count(output) > 10, timeout_s=20)
    subprocess.run(["fsfreeze", "--freeze", disk], check=True)
    before_count = line_count(output)
    time.sleep(_STILL_S)
    assert process.poll() is None, "it was over before its storage stood still"
    assert line_count(output) == before_count


def go_on(disk: Path) -> None:
    subprocess.run(["fsfreeze", "--unfreeze", disk], check=True)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "in.jsonl", [{"n": n} for n in range(_COUNT)])


def test_storage_that_stands_still_is_waited_for(disk: Path, tmp_path: Path, source: Path) -> None:
    """No result is lost, none stands twice."""
    output, undisturbed = disk / "out.jsonl", tmp_path / "undisturbed.jsonl"
    process = begun(_PADDED, source, output)
    stand_still(disk, output, process)
    go_on(disk)
    assert process.wait(60) == 0
    run_step(padded(3000), source=source, output=undisturbed)
    assert output.read_bytes() == undisturbed.read_bytes()


def test_run_killed_while_its_storage_stands_still_goes_on_with_the_same_command(
    disk: Path, tmp_path: Path, source: Path
) -> None:
    """Its lock is gone as soon as it can end."""
    output, undisturbed = disk / "out.jsonl", tmp_path / "undisturbed.jsonl"
    process = begun(_PADDED, source, output)
    stand_still(disk, output, process)
    process.kill()
    go_on(disk)
    process.wait(20)
    kept_count = line_count(output)
    assert 10 < kept_count < _COUNT
    assert begun(_PADDED, source, output).wait(60) == 0
    run_step(padded(3000), source=source, output=undisturbed)
    assert output.read_bytes() == undisturbed.read_bytes()
