from __future__ import annotations

import io
import json
import os
import threading
from pathlib import Path

import pytest

from execbox.cli import main
from execbox.cli.outcomes import ExitCode
from execbox.report.page import MARK
from tests.dataset.files import answered, write_lines


def test_report_command_writes_one_page_and_says_what_it_read(
    tmp_path: Path, run_files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """31 records of five files: nothing else is left in the folder."""
    page = tmp_path / "made" / "report.html"
    assert main(["report", *map(str, run_files), "-o", str(page)]) == ExitCode.OK
    assert page.read_text("utf-8").startswith(MARK)
    assert capsys.readouterr().out == f"report: 31 records in {page}\n"
    assert [path.name for path in page.parent.iterdir()] == ["report.html"]


def test_report_command_as_json_prints_the_numbers(
    tmp_path: Path, run_files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, beside the page."""
    page = tmp_path / "report.html"
    assert main(["report", *map(str, run_files), "-o", str(page), "--json"]) == ExitCode.OK
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["pairs"]["draw_count"] == 58
    assert page.exists()


def test_report_command_replaces_a_page_of_its_own(tmp_path: Path, run_files: list[Path]) -> None:
    """Made anew while a run goes on; its permissions stay."""
    page = tmp_path / "report.html"
    assert main(["report", str(run_files[0]), "-o", str(page)]) == ExitCode.OK
    page.chmod(0o600)
    before = page.read_bytes()
    assert main(["report", *map(str, run_files), "-o", str(page)]) == ExitCode.OK
    assert page.read_bytes() != before
    assert page.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"<!doctype html><p>mine", b"x", b"{}\n", MARK.encode()[:-1]])
def test_report_command_leaves_a_file_that_is_no_page_of_its_own(
    tmp_path: Path, run_files: list[Path], content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said with the name, and the file is as it was."""
    page = tmp_path / "report.html"
    page.write_bytes(content)
    assert main(["report", *map(str, run_files), "-o", str(page)]) == ExitCode.MISTAKE
    assert f"{page}: exists and was not written by this command" in capsys.readouterr().err
    assert page.read_bytes() == content


def test_report_command_leaves_its_input_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also through a link."""
    source = write_lines(tmp_path / "v.jsonl", [answered(0, "4", verdict="correct")])
    link = tmp_path / "report.html"
    link.symlink_to(source)
    before = source.read_bytes()
    assert main(["report", str(source), "-o", str(link)]) == ExitCode.MISTAKE
    assert source.read_bytes() == before
    assert link.is_symlink()


def test_report_command_writes_through_a_link_and_to_an_empty_file(
    tmp_path: Path, run_files: list[Path]
) -> None:
    """As results are: the link stays one."""
    target = tmp_path / "target.html"
    target.touch()
    link = tmp_path / "report.html"
    link.symlink_to(target)
    assert main(["report", str(run_files[0]), "-o", str(link)]) == ExitCode.OK
    assert link.is_symlink()
    assert target.read_text("utf-8").startswith(MARK)


@pytest.mark.parametrize(
    ("name", "said"), [("folder", "is a directory"), ("report.html.gz", "browsers open no .gz")]
)
def test_report_command_refuses_an_output_that_is_no_page(
    tmp_path: Path, run_files: list[Path], name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is read."""
    (tmp_path / "folder").mkdir()
    arguments = ["report", *map(str, run_files), "-o", str(tmp_path / name)]
    assert main(arguments) == ExitCode.MISTAKE
    assert said in capsys.readouterr().err


def test_report_command_names_lines_that_it_cannot_use_and_writes_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first ten, then how many more; the exit code says that some were not used."""
    lines: list[object] = [b"nothing"] * 12
    source = write_lines(tmp_path / "v.jsonl", [*lines, answered(0, "4", verdict="correct")])
    page = tmp_path / "report.html"
    assert main(["report", str(source), "-o", str(page)]) == ExitCode.NOT_OK
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 11
    assert said[0].startswith(f"execbox: not used: {source}:1: ")
    assert said[-1] == "execbox: and 2 more that could not be used"
    assert "verified answers" in page.read_text("utf-8")


def test_report_command_of_a_file_that_is_not_there_says_so_and_writes_nothing(
    tmp_path: Path, run_files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The caller's mistake, whatever else was given."""
    page = tmp_path / "report.html"
    arguments = ["report", str(run_files[0]), str(tmp_path / "gone.jsonl"), "-o", str(page)]
    assert main(arguments) == ExitCode.MISTAKE
    assert "gone.jsonl: cannot be read" in capsys.readouterr().err
    assert not page.exists()


def test_report_command_writes_to_standard_output(
    run_files: list[Path], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The page alone; what is said about it is on standard error."""
    assert main(["report", str(run_files[0]), "-o", "-"]) == ExitCode.OK
    out, err = capfdbinary.readouterr()
    assert out.startswith(MARK.encode())
    assert out.endswith(b"</html>\n")
    assert err == b"report: 2 records in standard output\n"


def test_report_command_writes_to_a_pipe(tmp_path: Path, run_files: list[Path]) -> None:
    """A named one, which is not replaced."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found = io.BytesIO()
    reader = threading.Thread(target=lambda: found.write(pipe.read_bytes()))
    reader.start()
    assert main(["report", str(run_files[0]), "-o", str(pipe)]) == ExitCode.OK
    reader.join(timeout=10)
    assert found.getvalue().startswith(MARK.encode())
    assert pipe.is_fifo()


def test_report_command_quiet_prints_nothing_where_all_is_used(
    tmp_path: Path, run_files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The page is the answer."""
    page = tmp_path / "report.html"
    assert main(["report", *map(str, run_files), "-o", str(page), "--quiet"]) == ExitCode.OK
    assert capsys.readouterr() == ("", "")
    assert page.exists()
