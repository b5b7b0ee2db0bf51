"""``verify`` run again with a functions file that was missing, has grown, or is another one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from execbox.dataset.files.json_lines import DatasetError
from execbox.dataset.files.resume import errors_path, run_path
from execbox.dataset.steps.file_run import run_step
from execbox.dataset.steps.progress import Summary
from execbox.dataset.steps.verify import open_verify_step
from tests.dataset.files import function, read_lines, write_lines
from tests.dataset.verifying import Doubling


def answer(itemid: int, ioid: int = 0) -> dict[str, object]:
    return {"itemid": itemid, "ioid": ioid, "io_pred": "o", "output": '{"output": 2}'}


def verified(
    folder: Path, functions: Sequence[object] | None, *, restart: bool = False
) -> tuple[Summary, Doubling]:
    """Three answers, checked with a file of these functions, or with none."""
    source = write_lines(folder / "gens.jsonl", [answer(0), answer(1), answer(0, 2)])
    given = None if functions is None else write_lines(folder / "functions.jsonl", functions)
    service = Doubling()
    step = open_verify_step(service, functions=given)
    summary = run_step(step, source=source, output=folder / "verified.jsonl", restart=restart)
    return summary, service


def as_released(folder: Path) -> None:
    """Make the files of a run those of execbox 0.2, which tried none of these again and did not
    note what results are made of."""
    errors = errors_path(folder / "verified.jsonl")
    write_lines(errors, [entry | {"retry": False} for entry in read_lines(errors)])
    note = run_path(folder / "verified.jsonl")
    members = json.loads(note.read_text())
    members.pop("made_of", None)
    note.write_text(json.dumps(members, indent=2, sort_keys=True) + "\n")


@pytest.mark.parametrize("is_released", [False, True])
def test_functions_file_given_after_all_is_used(tmp_path: Path, is_released: bool) -> None:
    """What the message asks for helps, whichever version wrote it."""
    summary, _ = verified(tmp_path, None)
    assert (summary.failures, summary.retryable_count) == ({"missing_function": 3}, 3)
    if is_released:
        as_released(tmp_path)
    summary, _ = verified(tmp_path, [function(1, pairs=3), function(2)])
    assert (summary.counts, summary.failures) == ({"correct": 1, "incorrect": 2}, {})


@pytest.mark.parametrize("is_released", [False, True])
def test_functions_file_that_has_grown_is_gone_on_with(tmp_path: Path, is_released: bool) -> None:
    """By a function, and by a pair of the first: verdicts stay, what was missing gets one."""
    summary, _ = verified(tmp_path, [function(1, pairs=2)])
    assert summary.failures == {"unknown_function": 1, "unknown_pair": 1}
    assert summary.retryable_count == 2
    if is_released:
        as_released(tmp_path)
    summary, service = verified(tmp_path, [function(1, pairs=3), function(2)])
    assert (summary.result_count, summary.resumed_count, summary.failures) == (3, 1, {})
    assert [len(request) for request in service.requests] == [2]


def test_verdicts_made_with_another_functions_file_are_refused(tmp_path: Path) -> None:
    """A place names another pair there; so is the file after a run without any."""
    verified(tmp_path, [function(1, pairs=3), function(2)])
    before = (tmp_path / "verified.jsonl").read_bytes()
    verified(tmp_path, None)
    for other in ([function(5, pairs=3)], [function(1) | {"refcode": "def main_solution(n): 1"}]):
        with pytest.raises(DatasetError, match=r"a different file of functions.*--restart"):
            verified(tmp_path, other)
    assert (tmp_path / "verified.jsonl").read_bytes() == before
    summary, _ = verified(tmp_path, [function(5, pairs=3)], restart=True)
    assert (summary.resumed_count, summary.failures) == (0, {"unknown_function": 1})
    verified(tmp_path, [function(5, pairs=3), function(6)])


def certified(
    itemid: int, *, dropped: Sequence[int] = (), corrected: bool = False
) -> dict[str, object]:
    """What ``certify`` leaves of a function of three pairs that is on this line, from 0."""
    value: dict[str, Any] = dict(function(itemid + 1, pairs=3))
    ios = [pair for was, pair in enumerate(value["ios"]) if was not in dropped]
    account: dict[str, Any] = {"itemid": itemid, "pairs": 3, "corrected": []}
    account |= {"dropped": [{"was": was, "reason": "timeout"} for was in dropped]}
    ios[0] = ios[0] | {"output": -1} if corrected else ios[0]
    return value | {"id": str(itemid), "ios": ios, "meta": {"execbox": account}}


def test_certified_file_that_its_retry_has_completed_is_gone_on_with(tmp_path: Path) -> None:
    """The function that was missing comes before the one that was first; the first two runs, over
    what is there while certifying is still going on, have it in yet another order."""
    for functions in ([certified(2), certified(1)], [certified(1), certified(2)]):
        summary, _ = verified(tmp_path, functions)
        assert summary.failures == {"unknown_function": 2}
        assert (summary.result_count, summary.retryable_count) == (1, 2)
    summary, service = verified(tmp_path, [certified(0), certified(1), certified(2)])
    assert (summary.result_count, summary.resumed_count, summary.failures) == (3, 1, {})
    assert [len(request) for request in service.requests] == [2]


@pytest.mark.parametrize("first", [[0], [0, 1], [1]])
def test_functions_certified_anew_with_other_pairs_dropped_are_gone_on_with(
    tmp_path: Path, first: list[int]
) -> None:
    """Places are those of the file before, so verdicts there are of the same pairs."""
    verified(tmp_path, [certified(0, dropped=first), certified(1)])
    for dropped in ([], [0], [2], []):
        summary, _ = verified(tmp_path, [certified(0, dropped=dropped), certified(1)])
        assert summary.resumed_count
    assert summary.failures == {}


def test_another_certified_file_is_refused(tmp_path: Path) -> None:
    """Its function is another one, is not there, or has another truth in the same place."""
    verified(tmp_path, [certified(0), certified(1)])
    for other in (
        [certified(0) | {"refcode": "def main_solution(n): return 3 * n"}, certified(1)],
        [certified(1)],
        [certified(0, corrected=True), certified(1)],
    ):
        with pytest.raises(DatasetError, match=r"a different file of functions.*--restart"):
            verified(tmp_path, other)
    verified(tmp_path, [certified(0), certified(1)])


def test_functions_file_from_which_nothing_came_may_be_replaced(tmp_path: Path) -> None:
    """It was the wrong one, and there is no result to go with it."""
    summary, _ = verified(tmp_path, [{"refcode": "x", "ios": []}, {"ios": []}])
    assert summary.result_count == 0
    assert verified(tmp_path, [function(1, pairs=3), function(2)])[0].result_count == 3
