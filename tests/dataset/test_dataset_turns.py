"""Turns and training records of files that CodeI/O's scripts made, and of both shapes mixed.

The scripts' rules are written down here anew: what each adds to a record, takes away and passes
on, and in which order it writes.
"""

from __future__ import annotations

import copy
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from execbox.dataset.files.json_lines import BadRecord
from execbox.dataset.files.resume import errors_path
from execbox.dataset.steps.assemble import AssembleOptions, open_assemble_step
from execbox.dataset.steps.file_run import run_step
from execbox.dataset.steps.revise import revise_step, round_counts
from execbox.dataset.steps.turns import is_correct, question_of, turn_of, turns_of
from tests.dataset.files import read_lines, write_lines

AGAIN = "\n\nPlease redo it, and your prediction should no longer be any of the wrong ones."
MESSAGES = {
    "success": "Correct output!",
    "failed": "[Mismatch] Your output is not correct!",
    "no answer": "Fail to extract a complete and valid json from the output!",
    "AssertionError": "Your input is not feasible!",
    "timeout": "Code execution time exceeded the limit of 5 seconds",
}
Lines = list[dict[str, Any]]


def asked(functions_count: int, *, samples: int = 1) -> Lines:
    """As the question script writes them: no id, both directions of the first three pairs."""
    return [
        {
            "messages": [{"role": "user", "content": f"question {itemid}.{ioid}.{kind}"}],
            "itemid": itemid,
            "ioid": ioid,
            "io_pred": kind,
        }
        for itemid, ioid, kind in itertools.product(range(functions_count), range(3), "io")
        for _ in range(samples)
    ]


def answered(lines: Lines, round_number: int) -> Lines:
    """As the inference script does: ``index`` is the line asked, results come in any order."""
    return [
        line
        | {
            "index": index,
            "output": f"answer {index} of round {round_number}",
            "model": "m",
            "reasoning": None,
        }
        for index, line in enumerate(lines)
    ]


def checked(lines: Lines, statuses: list[str]) -> Lines:
    """As the checking script does: ``res``, input predictions first, then output predictions."""
    found = [
        line | {"res": {"status": status, "message": f"{MESSAGES[status]} ({number})"}}
        for number, (line, status) in enumerate(zip(lines, itertools.cycle(statuses), strict=False))
    ]
    return sorted(found, key=lambda line: str(line["io_pred"]))


def revised(lines: Lines) -> Lines:
    """As the revision script does, for what was not right."""
    made = []
    for number, original in enumerate(lines):
        if original["res"]["status"] == "success":
            continue
        line = copy.deepcopy(original)
        line["messages"] += [
            {"role": "assistant", "content": line.pop("output")},
            {"role": "user", "content": line["res"]["message"] + AGAIN},
        ]
        line["retry_count"] = line.get("retry_count", 0) + 1
        line["history_errors"] = [*line.get("history_errors", []), line.pop("res")]
        line["original_id"] = line.get("original_id", number)
        made.append(line)
    return made


def as_their_script_assembles(line: dict[str, Any]) -> dict[str, Any]:
    """A training record of one line of the first or second round's checked file."""
    messages = line["messages"]
    if len(messages) == 1:
        said = [line["output"], line["res"]["message"], None, None]
    else:
        said = [
            messages[1]["content"],
            messages[2]["content"],
            line["output"],
            line["res"]["message"],
        ]
    names = ("turn_1", "feedback_1", "turn_2", "feedback_2")
    return {"prompt": messages[0]["content"], **dict(zip(names, said, strict=True))}


def assembled(tmp_path: Path, rounds: list[Lines], **options: object) -> Lines:
    paths = [
        write_lines(tmp_path / f"round-{number}.jsonl", lines)
        for number, lines in enumerate(rounds)
    ]
    step = open_assemble_step(paths, AssembleOptions(**options))  # type: ignore[arg-type]
    output = tmp_path / "train.jsonl"
    run_step(step, source=paths[0], output=output, restart=True)
    assert not errors_path(output).exists()
    return read_lines(output)


def two_rounds(*, samples: int = 1) -> tuple[Lines, Lines]:
    first = checked(
        answered(asked(20, samples=samples), 1),
        ["success", "failed", "no answer", "timeout", "success"],
    )
    second = checked(answered(revised(first), 2), ["failed", "success", "AssertionError"])
    return first, second


@pytest.mark.parametrize("samples", [1, 3])
def test_files_of_codeios_scripts_are_assembled_as_their_own_script_does(
    tmp_path: Path, samples: int
) -> None:
    """Question, both answers and both feedbacks; several answers to a question stay apart."""
    first, second = two_rounds(samples=samples)
    expected = [as_their_script_assembles(line) for line in first if is_correct(line)]
    expected += [as_their_script_assembles(line) for line in second]
    names = list(expected[0])
    found = assembled(tmp_path, [first, second])
    assert len(found) == len(first) == 120 * samples
    assert sorted(json.dumps({name: line[name] for name in names}) for line in found) == sorted(
        map(json.dumps, expected)
    )
    right_at_once, put_right = sum(map(is_correct, first)), sum(map(is_correct, second))
    outcomes = [line["outcome"] for line in found]
    assert outcomes.count("correct") == right_at_once
    assert outcomes.count("corrected") == put_right
    assert outcomes.count("wrong") == len(second) - put_right


def test_messages_of_codeios_scripts_are_the_conversation_and_the_last_answer(
    tmp_path: Path,
) -> None:
    """What the model was asked and said, as it was."""
    first, second = two_rounds()
    found = assembled(tmp_path, [first, second], form="messages")
    expected = {
        line["messages"][0]["content"]: [
            *line["messages"],
            {"role": "assistant", "content": line["output"]},
        ]
        for line in [*first, *second]  # The second replaces the first.
    }
    assert {line["messages"][0]["content"]: line["messages"] for line in found} == expected


def test_three_rounds_of_codeios_scripts_keep_every_turn(tmp_path: Path) -> None:
    """history_errors has one entry a round, messages two."""
    first, second = two_rounds()
    third = checked(answered(revised(second), 3), ["success", "failed"])
    found = assembled(tmp_path, [first, second, third])
    by_prompt = {line["prompt"]: line for line in found}
    for line in third:
        record = by_prompt[line["messages"][0]["content"]]
        assert record["turn_2"] == line["messages"][3]["content"]
        assert record["feedback_2"] == line["messages"][4]["content"]
        assert (record["turn_3"], record["feedback_3"]) == (line["output"], line["res"]["message"])
        assert record["outcome"] == ("corrected" if is_correct(line) else "wrong")
    counts = round_counts([tmp_path / f"round-{number}.jsonl" for number in range(3)])
    assert [each.missing_count for each in counts] == [0, 0, 0]
    assert counts[2].corrected_count == sum(map(is_correct, third))


def test_first_answers_alone_are_judged_by_themselves(tmp_path: Path) -> None:
    """Also where the only file there is holds second answers."""
    _, second = two_rounds()
    found = assembled(tmp_path, [second], dataset="codeio", form="messages")
    assert {line["outcome"] for line in found} == {"wrong"}
    assert {len(line["messages"]) for line in found} == {2}


def ours(line: dict[str, Any], verdict: str, feedback: str) -> dict[str, Any]:
    """What our own verify writes, which has both vocabularies."""
    status = {"correct": "success", "incorrect": "failed"}.get(verdict, verdict)
    res = {"status": status, "message": feedback}
    return line | {"res": res, "verdict": verdict, "feedback": feedback, "extracted": 1}


def revised_by_us(tmp_path: Path, line: dict[str, Any]) -> dict[str, Any]:
    source, output = write_lines(tmp_path / "v.jsonl", [line]), tmp_path / "p.jsonl"
    run_step(revise_step(), source=source, output=output, restart=True)
    (found,) = read_lines(output)
    return found


@pytest.mark.parametrize("makers", list(itertools.product(("ours", "theirs"), repeat=3)))
def test_rounds_of_both_makers_mixed_lose_no_turn(tmp_path: Path, makers: tuple[str, ...]) -> None:
    """Whoever revised and checked a round; a verdict that the other left behind does not count."""
    line = asked(1)[1]
    for number, maker in enumerate(makers):
        line = line | {"output": f"answer {number}"}
        if maker == "ours":
            line = revised_by_us(tmp_path, ours(line, "incorrect", f"feedback {number}"))
        else:
            (checked_line,) = checked([line], ["failed"])
            (line,) = revised([checked_line])
    last = line | {"output": "answer 3", "res": {"status": "success", "message": "Correct!"}}
    turns = [*turns_of(last), turn_of(last)]
    assert [turn["response"] for turn in turns] == [f"answer {number}" for number in range(4)]
    assert [turn["verdict"] for turn in turns] == ["incorrect"] * 3 + ["correct"]
    for number, maker in enumerate(makers):
        feedback = str(turns[number]["feedback"])
        assert feedback.startswith(f"feedback {number}" if maker == "ours" else "[Mismatch]")
    (record,) = assembled(tmp_path, [[last]])
    assert (record["prompt"], record["outcome"]) == ("question 0.0.o", "corrected")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"history_errors": [{"status": "failed"}] * 2}, "too short for.* and 2 in"),
        ({"history_errors": "failed"}, "must be an array"),
        ({"turns": [{"response": "other"}], "history_errors": [{}]}, "not the conversation"),
        ({"messages": ["q", "a", "f"], "retry_count": 1}, "array of objects"),
        (
            {
                "messages": [{"role": "user", "content": "q"}] * 3,
                "history_errors": [{"status": "failed"}],
            },
            "an answer and a request",
        ),
    ],
)
def test_conversation_that_does_not_fit_its_history_is_a_bad_record(
    fields: dict[str, object], problem: str
) -> None:
    """It is listed, instead of a question that is lost."""
    line: dict[str, object] = {
        "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": "a"},
            {"role": "user", "content": "f"},
        ]
    }
    with pytest.raises(BadRecord, match=problem):
        turns_of(line | fields)


def test_conversation_shorter_than_its_turns_has_no_question() -> None:
    """Instead of the answer of a turn as the question."""
    messages = [{"role": role, "content": role} for role in ("user", "assistant", "user")]
    assert question_of({"messages": messages}, earlier_count=1) == messages[:1]
    with pytest.raises(BadRecord, match="shorter than"):
        question_of({"messages": messages}, earlier_count=2)


def test_retry_count_alone_says_how_many_turns_there_were() -> None:
    """Only what was not right is asked again."""
    _, second = two_rounds()
    line = {name: value for name, value in second[0].items() if name != "history_errors"}
    assert [turn["verdict"] for turn in turns_of(line)] == ["incorrect"]
