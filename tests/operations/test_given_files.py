"""Whether the files that a program's cases are given fit into a sandbox of this service."""

from __future__ import annotations

import time
from typing import Any

import pytest

from execbox.wire import RunRequest
from execbox_service.failures import CallerMistake
from execbox_service.operations.policy import permitted_cases
from execbox_service.settings import load_settings

SMALL = load_settings({"tmp_inode_count": "64", "tmp_mb": "1"})
PAGE = 4096
MIB = 1024 * 1024


def permitted(own: dict[str, Any], *of_cases: dict[str, Any], code: str = "") -> RunRequest:
    """The request with a program of such files, and a case for each of ``of_cases``."""
    program = {"code": code, "files": own}
    cases = [{"files": files} for files in of_cases] or [{}]
    request = RunRequest.model_validate({"program": program, "cases": cases})
    return permitted_cases(request, SMALL)


def empty(*names: object) -> dict[str, str]:
    return {str(name): "" for name in names}


@pytest.mark.parametrize(
    ("own", "of_case", "refused"),
    [
        (empty(*range(62)), {}, None),
        (empty(*range(63)), {}, r"program\.files: .* 63 files and folders, .* room for 62"),
        (empty("/".join("a" * 62)), {}, None),
        (empty("/".join("a" * 63)), {}, r"program\.files: .* 63 files and folders"),
        (empty(*range(60)), empty("a", "b", 1), None),
        (empty(*range(60)), empty("a", "b/c"), r"cases\[0\]\.files: .* 63 files and folders"),
        (empty("a/b/1", *range(59)), empty("a/b/1"), None),
        (empty("a/b/1", *range(58)), empty("a/b/2"), None),
        (empty("a/b/1", *range(58)), empty("a/c/2"), r"cases\[0\]\.files: .* 63 files"),
        ({"a": "x" * MIB}, {}, None),
        ({"a": "x" * (MIB + 1)}, {}, rf"take {MIB + PAGE} bytes"),
        ({"a": "x" * MIB}, {"a": ""}, None),
        ({"a": "x" * MIB}, {"b": "x"}, rf"cases\[0\]\.files: .* take {MIB + PAGE} bytes"),
    ],
)
def test_files_that_have_no_room_are_the_callers_mistake(
    own: dict[str, str], of_case: dict[str, str], refused: str | None
) -> None:
    """Told before anything runs; folders count, and each file has pages of its own."""
    if refused is None:
        permitted(own, of_case)
    else:
        with pytest.raises(CallerMistake, match=refused):
            permitted(own, of_case)


def test_program_itself_takes_of_the_room_for_files() -> None:
    """It lies in the same file system."""
    permitted({"a": "x" * (MIB - PAGE)}, code="x")
    with pytest.raises(CallerMistake, match="beside the program"):
        permitted({"a": "x" * MIB}, code="x")


def test_path_that_is_longer_than_permitted_in_bytes_is_refused() -> None:
    """Linux counts bytes: a longer one could not be written."""
    permitted(empty("/".join(["ä" * 100] * 5)))
    with pytest.raises(ValueError, match="is 1205 bytes long; 1024 is the most"):
        permitted(empty("/".join(["ä" * 100] * 6)))


def test_case_is_checked_beside_the_programs_files_in_time_of_its_own() -> None:
    """The program's are not looked at once more for each of a thousand cases (which took half a
    minute), and a conflict with them is found all the same."""
    deep = empty(*(f"{number}/{'a/' * 200}b" for number in range(500)))
    cases = [{"files": {"c": ""}} for _ in range(1000)]
    began_s = time.process_time()
    RunRequest.model_validate({"program": {"code": "", "files": deep}, "cases": cases})
    assert time.process_time() - began_s < 10
    for path in ("3/a", "3/a/a", f"3/{'a/' * 200}b/c"):
        cases[-1] = {"files": {path: ""}}
        with pytest.raises(ValueError, match="is a file, and a folder"):
            RunRequest.model_validate({"program": {"code": "", "files": deep}, "cases": cases})
