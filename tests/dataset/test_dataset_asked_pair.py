"""Which pair an answer is about, also in a functions file that certifying took pairs out of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from execbox.dataset.files.json_lines import BadRecord
from execbox.dataset.files.resume import errors_path
from execbox.dataset.steps.asked_pair import AskedPair, FunctionsFile, asked_pair
from execbox.dataset.steps.certified_record import CheckedPair, certified_record
from execbox.dataset.steps.file_run import run_step
from execbox.dataset.steps.prompts import PromptOptions, prompts_step
from execbox.dataset.steps.sorting import Sorted
from execbox.dataset.steps.verify import open_verify_step
from tests.dataset.files import function, read_lines, write_lines
from tests.dataset.verifying import Doubling

NAN = float("nan")


def certified(itemid: int, groups: str, **fields: object) -> dict[str, Any] | None:
    """What certifying leaves of function 100 * itemid, with a pair kept, corrected or dropped for
    each letter; None where nothing is left."""
    value: dict[str, Any] = dict(function(100 * itemid, pairs=len(groups)))
    checked = []
    for pair, letter in zip(value["ios"], groups, strict=True):
        if letter == "c":
            published = pair | {"output": -1}
            true = Sorted(group="corrected", reason="not_reproduced", output=pair["output"])
            checked.append(CheckedPair(published, true))
        elif letter == "k":
            same = Sorted(group="kept", reason="same", output=pair["output"])
            checked.append(CheckedPair(pair, same))
        else:
            checked.append(CheckedPair(pair, Sorted(group="dropped", reason="timeout")))
    try:
        return certified_record(value, checked, itemid=itemid) | fields
    except BadRecord:
        return None


GROUPS = ["kdk", "ddd", "dck"]
"""Three functions of a file; the second is gone after certifying."""


@pytest.fixture
def functions(tmp_path: Path) -> Path:
    found = [certified(itemid, groups) for itemid, groups in enumerate(GROUPS)]
    lines = [line | {"id": str(n)} for n, line in enumerate(found) if line is not None]
    return write_lines(tmp_path / "certified.jsonl", lines)


def answer(itemid: int, ioid: int, kind: str = "o", **fields: object) -> dict[str, object]:
    return {"itemid": itemid, "ioid": ioid, "io_pred": kind, "output": "{}"} | fields


def asked(functions: Path, value: Mapping[str, object]) -> AskedPair:
    with FunctionsFile(functions) as opened:
        return asked_pair(dict(value), opened)


@pytest.mark.parametrize(
    ("itemid", "ioid", "kind", "pair"),
    [
        (0, 0, "o", {"input": {"n": 0}, "output": 0}),
        (0, 2, "o", {"input": {"n": 2}, "output": 4}),
        (2, 1, "o", {"input": {"n": 201}, "output": 402}),
        (2, 2, "i", {"input": {"n": 202}, "output": 404}),
        # What was asked for an input is what was published, though it is not true.
        (2, 1, "i", {"input": {"n": 201}, "output": -1}),
    ],
)
def test_answer_to_the_file_before_certifying_is_checked_against_its_own_pair(
    functions: Path, itemid: int, ioid: int, kind: str, pair: dict[str, object]
) -> None:
    """Lines and places moved; ``itemid`` and ``was`` say where from."""
    assert asked(functions, answer(itemid, ioid, kind)).pair == pair


@pytest.mark.parametrize(
    ("itemid", "ioid", "reason", "message"),
    [
        (0, 1, "dropped_pair", r"certifying dropped \(timeout\)"),
        (1, 0, "unknown_function", "no pair of that function was left"),
        (2, 3, "unknown_pair", "its function lacks"),
        (9, 0, "unknown_function", "no pair of that function was left"),
    ],
)
def test_answer_about_what_is_not_there_is_refused(
    functions: Path, itemid: int, ioid: int, reason: str, message: str
) -> None:
    """Instead of being checked against whatever stands in its place."""
    with pytest.raises(BadRecord, match=message) as caught:
        asked(functions, answer(itemid, ioid))
    assert caught.value.reason == reason


def test_answer_to_questions_made_of_the_certified_file_is_found_by_place(
    tmp_path: Path, functions: Path
) -> None:
    """The question shows which pair it is about: in ours, and as CodeI/O's script writes it."""
    prompts = tmp_path / "prompts.jsonl"
    run_step(prompts_step(PromptOptions()), source=functions, output=prompts)
    for line in read_lines(prompts):
        bare = {name: line[name] for name in ("itemid", "ioid", "io_pred")}
        assert asked(functions, bare | {"messages": line["messages"]}).pair == line["io"]
        problem = read_lines(functions)[line["itemid"]]["problem_description"]
        half = line["io"]["input" if line["io_pred"] == "o" else "output"]
        text = f"{problem}\n\nGiven the following:\n\n{half}"
        theirs = bare | {"messages": [{"role": "user", "content": text}]}
        assert asked(functions, theirs).pair == line["io"]


SHOWN_BY_LINE = "Each of the 10 digits.\n\nGiven the following output:\n\n{}\n\nWhat was n?"
SHOWN_AMONG_WORDS = "Each of the 10 digits. For which n is {} what comes out?"


@pytest.mark.parametrize(
    ("outputs", "ioid", "shown", "text", "found"),
    [
        # Asked about the pair that was dropped, which nothing here may take the place of.
        ([9, 1, 7], 0, 9, SHOWN_BY_LINE, "dropped_pair"),
        ([9, "", 7], 0, 9, SHOWN_BY_LINE, "dropped_pair"),
        ([9, 1, 7], 0, 9, SHOWN_AMONG_WORDS, "dropped_pair"),
        # Asked about what is there now.
        ([7, 1, 9], 1, 9, SHOWN_BY_LINE, 9),
        ([7, 1, 0], 1, 0, SHOWN_BY_LINE, 0),
        ([7, 1, [9, 8]], 1, [9, 8], SHOWN_AMONG_WORDS, [9, 8]),
        # And about what was there.
        ([7, 1, 9], 1, 1, SHOWN_BY_LINE, 1),
        ([7, 8, 8], 1, 8, SHOWN_BY_LINE, 8),
        # It may be either.
        ([7, 1, 9], 1, 9, SHOWN_AMONG_WORDS, "ambiguous_pair"),
        ([7, 1, 9], 1, 9, SHOWN_BY_LINE + "\n\n1", "ambiguous_pair"),
    ],
)
def test_short_value_elsewhere_in_a_question_does_not_say_which_pair_it_is_about(
    tmp_path: Path, outputs: list[object], ioid: int, shown: object, text: str, found: object
) -> None:
    """The first pair is dropped; a digit in a word, or in a longer number, shows nothing."""
    ios = [{"input": {"n": n}, "output": output} for n, output in enumerate(outputs)]
    value: dict[str, Any] = dict(function(ios=ios)) | {"problem_description": "Each of"}
    checked = [
        CheckedPair(pair, Sorted(group="kept", reason="same", output=pair["output"]))
        for pair in ios
    ]
    checked[0] = CheckedPair(ios[0], Sorted(group="dropped", reason="timeout"))
    path = write_lines(tmp_path / "f.jsonl", [certified_record(value, checked, itemid=0)])
    question = {"role": "user", "content": text.format(shown)}
    problem = answer(0, ioid, "i", messages=[question])
    if isinstance(found, str):
        with pytest.raises(BadRecord) as caught:
            asked(path, problem)
        assert caught.value.reason == found
    else:
        assert asked(path, problem).pair["output"] == found


def test_older_certified_files_are_read_by_the_id_of_their_records(tmp_path: Path) -> None:
    """Their accounts do not say the line; where the id does not either, the file is refused."""
    lines = [certified(itemid, groups) for itemid, groups in enumerate(GROUPS)]
    kept = [(n, line) for n, line in enumerate(lines) if line is not None]
    for _, line in kept:
        del line["meta"]["execbox"]["itemid"]
    by_line = write_lines(tmp_path / "a.jsonl", [line | {"id": str(n)} for n, line in kept])
    assert asked(by_line, answer(2, 2)).pair == {"input": {"n": 202}, "output": 404}
    named = write_lines(tmp_path / "b.jsonl", [line | {"id": f"f{n}"} for n, line in kept])
    with pytest.raises(BadRecord, match="check it against the file that the questions"):
        asked(named, answer(2, 2))


def test_pair_that_is_not_finite_makes_no_other_unusable(tmp_path: Path) -> None:
    """Neither in the functions file nor in an answer's own pair, and the message is true."""
    ios = [{"input": {"n": 1}, "output": NAN}, {"input": {"n": 2}, "output": 4}]
    path = write_lines(tmp_path / "f.jsonl", [function(ios=ios)])
    assert asked(path, answer(0, 1)).pair["output"] == 4
    with pytest.raises(BadRecord, match="holds NaN or an infinity") as caught:
        asked(path, answer(0, 0))
    assert caught.value.reason == "non_finite"


def test_line_that_is_no_record_is_said_to_be_one_with_its_reason(tmp_path: Path) -> None:
    """Instead of how many lines there are."""
    path = write_lines(tmp_path / "f.jsonl", [function(), b"{broken"])
    with pytest.raises(BadRecord, match=r"no record on line 2 \(.*f.jsonl:2: not"):
        asked(path, answer(1, 0))


def test_settings_of_the_functions_file_hold_for_its_answers(
    tmp_path: Path, functions: Path
) -> None:
    """What a function was certified with is what its answers are checked with."""
    path = write_lines(
        tmp_path / "f.jsonl", [line | {"convert": "codeio"} for line in read_lines(functions)]
    )
    source = write_lines(tmp_path / "a.jsonl", [answer(0, 0)])
    service = Doubling()
    run_step(open_verify_step(service, functions=path), source=source, output=tmp_path / "v.jsonl")
    assert service.converts == ["codeio"]


def test_prompts_ask_about_every_finite_pair_and_list_the_others(tmp_path: Path) -> None:
    """One NaN costs its own pair, and not the record; later pairs take its place."""
    ios = [
        {"input": {"n": 0}, "output": 0},
        {"input": {"n": 1}, "output": NAN},
        {"input": {"n": float("inf")}, "output": 4},
        {"input": {"n": 3}, "output": 6},
        {"input": {"n": 4}, "output": 8},
    ]
    source, output = tmp_path / "f.jsonl", tmp_path / "p.jsonl"
    write_lines(source, [function(ios=ios), function(ios=ios[1:2])])
    for _ in range(2):
        summary = run_step(
            prompts_step(PromptOptions(kinds=("output",))), source=source, output=output
        )
        assert [line["id"] for line in read_lines(output)] == ["0.0.o", "0.3.o", "0.4.o"]
        assert summary.failures == {"non_finite": 3}
    assert [(entry["id"], entry["reason"]) for entry in read_lines(errors_path(output))] == [
        ("0.1", "non_finite"),
        ("0.2", "non_finite"),
        ("1.0", "non_finite"),
    ]
    assert "ios[1] holds NaN" in read_lines(errors_path(output))[0]["message"]


def test_record_that_cannot_be_written_again_says_what_of_it(tmp_path: Path) -> None:
    """The path of the value, instead of the name of an error in a library."""
    source = write_lines(tmp_path / "f.jsonl", [function(meta={"score": [1, NAN]})])
    output = tmp_path / "p.jsonl"
    run_step(prompts_step(PromptOptions()), source=source, output=output)
    (message,) = {entry["message"] for entry in read_lines(errors_path(output))}
    assert "meta.score[1]" in message
