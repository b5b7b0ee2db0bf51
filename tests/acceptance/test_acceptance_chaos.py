"""The run of chaos: what it compares and tells. CI makes a short run of it (`.ci/run`)."""

from __future__ import annotations

import fcntl
import os
import random
import sys
import time
from pathlib import Path

import pytest
from acceptance.chaos.answers import counting, predicted
from acceptance.chaos.clients import Clients, Disk, WorkFailed
from acceptance.chaos.driving import Recovery
from acceptance.chaos.kinds import KINDS
from acceptance.chaos.left import left_in_files
from acceptance.chaos.told import in_page, recovery_table
from acceptance.chaos.work import Command, differences, write_inputs


def test_inputs_depend_on_the_seed_only(tmp_path: Path) -> None:
    """Both runs, and a run next year, do the same work."""
    folders = [tmp_path / name for name in ("one", "two", "other")]
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        folder.mkdir()
        write_inputs(folder, execution_count=2000, seed=seed)
    texts = [[path.read_bytes() for path in sorted(folder.iterdir())] for folder in folders]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_models_answer_from_what_they_are_asked_alone() -> None:
    """The last number printed is the answer, so a wrong one is seen in the file."""
    asked = {"role": "user", "content": "What is 12 times 3? (session)"}
    block = {"role": "assistant", "content": counting([asked])}
    printed = {"role": "user", "content": "Status: ok\nOutput:\n13"}
    assert "x = 12" in block["content"]
    second = counting([asked, block, printed])
    assert "print(x * 3)" in second
    assert "x = 12" not in second
    wrong = {"role": "user", "content": "Status: ok\nOutput:\n37"}
    said = counting([asked, block, printed, {"role": "assistant", "content": second}, wrong])
    assert said == "<<<37>>>"
    code = "return {'n': n, 'value': n * 5 + 2}"
    question = {"role": "user", "content": f'{code}\nNow take this input:\n{{"n": 10}}'}
    assert predicted([question, {}]) in {
        'Step by step.\n{"output": {"n": 10, "value": 52}}',
        'Step by step.\n{"output": {"n": 10, "value": 53}}',
    }


def test_differences_name_the_file_and_the_line(tmp_path: Path) -> None:
    """Of results and of what was refused; a file that neither has is no difference."""
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, lines in ((one, "a\nb\nc\n"), (other, "a\nx\nc\n")):
        folder.mkdir()
        (folder / "out.jsonl").write_text(lines)
    (other / "out.jsonl.errors.jsonl").write_text("{}\n")
    assert differences(one, other, outputs=["out.jsonl", "none.jsonl"]) == [
        "out.jsonl differs from line 2 on (3 lines and 3 lines)",
        "out.jsonl.errors.jsonl differs from line 1 on (0 lines and 1 lines)",
    ]


def test_what_is_left_of_files_is_half_files_and_held_locks(tmp_path: Path) -> None:
    """A lock file itself stays, as it says what the run was."""
    (tmp_path / ".out.jsonl.execbox-new").touch()
    lock = tmp_path / "out.jsonl.run.json"
    lock.touch()
    assert left_in_files(tmp_path) == [f".out.jsonl.execbox-new in {tmp_path.name}"]
    fd = os.open(lock, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    assert left_in_files(tmp_path)[1:] == ["the lock of out.jsonl.run.json"]
    os.close(fd)


def test_client_that_ends_as_no_fault_may_end_it_ends_the_run(tmp_path: Path) -> None:
    """A mistake of the caller's, of which there is none, or a bug."""
    words = ("/bin/sh", "-c", "echo a mistake >&2; exit 2")
    clients = Clients([Command("broken", words, ("out.jsonl",))], tmp_path)
    with clients.at_work(), pytest.raises(WorkFailed, match="broken ended with 2: a mistake"):
        clients.wait(within_s=20)


def test_client_that_is_left_with_something_to_do_is_begun_again(tmp_path: Path) -> None:
    """As long as its exit code says so."""
    words = ("/bin/sh", "-c", f"echo >> {tmp_path}/begun; [ $(wc -l < {tmp_path}/begun) = 3 ]")
    clients = Clients([Command("again", words, ("out.jsonl",))], tmp_path)
    with clients.at_work():
        clients.wait(within_s=20)
    assert clients.begun_count == 3


def test_client_whose_disk_was_full_is_begun_again(tmp_path: Path) -> None:
    """It ends as with a mistake, and says of what; the same command goes on when there is room."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system takes root")
    disk = Disk(tmp_path / "disk", room_mb=8)
    try:
        code = "import time\nwhile True:\n    time.sleep(0.01)\n    print('x' * 9999, flush=True)"
        output = disk.folder / "out.jsonl"
        words = ("/bin/sh", "-c", f'{sys.executable} -c "{code}" >> {output} || exit 2')
        clients = Clients([Command("writes", words, ("out.jsonl",))], disk.folder, disk=disk)
        with clients.at_work():
            time.sleep(1)
            clients.fill_disk(random.Random(1))
            assert clients.begun_count == 2
            assert not clients.are_done
    finally:
        disk.remove()
    assert not disk.folder.exists()


def test_table_has_a_row_for_each_kind_that_was_done() -> None:
    """With the median and the most."""
    kind = KINDS[0].name
    times_s = (0.5, 0.25, 9.0)
    made = recovery_table([Recovery(kind, 1.0, each, 0) for each in times_s])
    assert f"| {kind} | {KINDS[0].text} | 3 | 1.00 | 0.50 | 9.00 |" in made
    assert len(made.splitlines()) == 3
    page = "a\n<!-- python -m acceptance.chaos --page -->\nold\n<!-- until here -->\n"
    assert made in in_page(page, made)
    with pytest.raises(ValueError, match="no place for a table"):
        in_page("a\n", made)
