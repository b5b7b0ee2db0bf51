from __future__ import annotations

import asyncio
import json
from pathlib import Path
from shutil import copy

import pytest

from execbox.dataset.files.json_lines import BadRecord, DatasetError, Value
from execbox.dataset.files.records import Record
from execbox.dataset.files.resume import errors_path
from execbox.dataset.steps.file_run import run_step
from execbox.dataset.steps.prompts import (
    PromptOptions,
    Templates,
    prompts_step,
    templates_from_file,
)
from execbox.dataset.steps.step import Step, per_record
from tests.dataset.files import DOUBLE, function, read_lines, write_lines


def made(tmp_path: Path, *functions: object, **options: object) -> list[dict[str, object]]:
    source = write_lines(tmp_path / "functions.jsonl", functions)
    step = prompts_step(PromptOptions(**options))  # type: ignore[arg-type]
    output = tmp_path / "prompts.jsonl"
    run_step(step, source=source, output=output, restart=True)
    return read_lines(output)


def text_of(prompt: dict[str, object]) -> str:
    messages = prompt["messages"]
    assert isinstance(messages, list)
    return str(messages[-1]["content"])


def test_questions_have_the_shape_of_codeio_and_what_is_needed_to_check(tmp_path: Path) -> None:
    """itemid is the function's line, ioid its pair; the answer can be checked from the record."""
    prompts = made(tmp_path, function(0), function(10, meta={"a": 1}, prelude="codeio"))
    assert [(p["id"], p["itemid"], p["ioid"], p["io_pred"]) for p in prompts] == [
        ("0.0.i", 0, 0, "i"),
        ("0.0.o", 0, 0, "o"),
        ("0.1.i", 0, 1, "i"),
        ("0.1.o", 0, 1, "o"),
        ("1.0.i", 1, 0, "i"),
        ("1.0.o", 1, 0, "o"),
        ("1.1.i", 1, 1, "i"),
        ("1.1.o", 1, 1, "o"),
    ]
    last = prompts[-1]
    assert last["io"] == {"input": {"n": 11}, "output": 22}
    assert (last["refcode"], last["funcname"]) == (DOUBLE, "main_solution")
    assert (last["prelude"], last["meta"]) == ("codeio", {"a": 1})


@pytest.mark.parametrize("kind", ["input", "output"])
def test_question_shows_one_half_of_the_pair_only(tmp_path: Path, kind: str) -> None:
    """What is asked for is not given away."""
    pair = {"input": {"n": 111222}, "output": "333444"}
    (prompt,) = made(tmp_path, function(ios=[pair]), kinds=[kind])
    shown, asked = ("333444", "111222") if kind == "input" else ("111222", "333444")
    assert shown in text_of(prompt)
    assert asked not in text_of(prompt)
    assert f'{{"{kind}":' in text_of(prompt)


def test_code_is_shown_unless_it_is_not_wanted(tmp_path: Path) -> None:
    """CodeI/O shows it; without it the question is about the problem."""
    with_code, without = made(tmp_path, function()), made(tmp_path, function(), show_code=False)
    assert "return n * 2" in text_of(with_code[0])
    assert "return n * 2" not in text_of(without[0])
    assert "python" not in text_of(without[0])


def test_dollars_in_the_data_are_data(tmp_path: Path) -> None:
    """A problem about money does not fill in templates."""
    pair = {"input": {"n": "$output"}, "output": "$5"}
    record = function(problem_description="What does $input cost in $?", ios=[pair])
    (prompt,) = made(tmp_path, record, kinds=["output"])
    assert "What does $input cost in $?" in text_of(prompt)
    assert '{"n": "$output"}' in text_of(prompt)


def test_seed_draws_the_same_pairs_again_and_others_for_other_functions(tmp_path: Path) -> None:
    """The draw depends on seed and function, not on order or chance."""

    def drawn(seed: int, *functions: dict[str, object]) -> dict[str, list[int]]:
        chosen: dict[str, list[int]] = {}
        for prompt in made(tmp_path, *functions, seed=seed, kinds=["output"], pairs_count=3):
            chosen.setdefault(str(prompt["id"]).split(".")[0], []).append(int(str(prompt["ioid"])))
        return chosen

    a, b = function(0, pairs=20, id="a"), function(50, pairs=20, id="b")
    first = drawn(1, a, b)
    assert drawn(1, b, a) == first
    assert drawn(2, a, b) != first
    assert all(ioids == sorted(ioids) and len(ioids) == 3 for ioids in first.values())


def test_functions_that_give_no_question_are_listed_with_the_reason(tmp_path: Path) -> None:
    """Nothing is left out silently."""
    good = function()
    bad = [
        function(ios=[]),
        {k: v for k, v in good.items() if k != "ios"},
        function(ios=[{"input": 1}]),
        {k: v for k, v in good.items() if k != "refcode"},
        function(problem_description=5),
        b"{",
    ]
    prompts = made(tmp_path, *bad, good)
    assert {prompt["itemid"] for prompt in prompts} == {6}
    listed = read_lines(errors_path(tmp_path / "prompts.jsonl"))
    assert [entry["reason"] for entry in listed] == [
        "no_pairs",
        "missing_field",
        "invalid_pair",
        "missing_field",
        "invalid_field",
        "not_json",
    ]


def test_template_file_replaces_the_wording(tmp_path: Path) -> None:
    """Only what it names; the rest stays ours."""
    path = tmp_path / "templates.json"
    path.write_text(json.dumps({"output": "$problem / $input $$1", "system": "Be brief."}))
    templates = templates_from_file(path)
    assert templates.input == Templates().input
    (prompt,) = made(tmp_path, function(), templates=templates, kinds=["output"], pairs_count=1)
    assert prompt["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": 'What is twice the number `n`? (case 0) / {"n": 0} $1'},
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"output": "$problem"}', r"must show \$input"),
        ('{"input": "$output $answer"}', r"\$answer is not known"),
        ('{"output": "$input costs $"}', r"a \$ is left over"),
        ('{"question": "$input"}', "any of code, input, output, system"),
        ('{"output": 5}', "must be text"),
        ("{", "not strict JSON"),
        (None, "cannot be read"),
    ],
)
def test_template_that_cannot_work_is_refused_with_what_is_wrong(
    tmp_path: Path, content: str | None, problem: str
) -> None:
    """Found before the first prompt is made."""
    path = tmp_path / "templates.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DatasetError, match=problem):
        templates_from_file(path)


@pytest.mark.parametrize("options", [{"pairs_count": 0}, {"kinds": []}, {"kinds": ["both"]}])
def test_options_out_of_range_are_refused(options: dict[str, object]) -> None:
    """The value and what it may be."""
    with pytest.raises(DatasetError):
        PromptOptions(**options)  # type: ignore[arg-type]


def paired(source: Path, *, lacking: str = "", fails_at: str = "") -> Path:
    """The functions with their pairs, as a step writes them; of one a failure of the service kept
    them, or at one the whole run ended."""

    async def work(record: Record) -> Value:
        if record.id == fails_at:
            await asyncio.sleep(0.05)
            raise DatasetError("ended here")
        if record.id == lacking:
            raise BadRecord("the service was away", reason="engine_unavailable", retry=True)
        return record.value

    step = Step(name="pairs", settings={}, work=per_record(work), reason_of=lambda _: "done")
    output = source.with_name("pairs.jsonl")
    run_step(step, source=source, output=output)
    return output


def asked(pairs: Path) -> list[str]:
    """Which function each question is about by its number, and which by its code."""
    output = pairs.with_name("prompts.jsonl")
    run_step(
        prompts_step(PromptOptions(pairs_count=1, kinds=["output"])), source=pairs, output=output
    )
    return [f"{each['itemid']} {each['meta']['number']}" for each in read_lines(output)]


def test_pairs_that_lack_functions_are_refused_until_they_are_there(tmp_path: Path) -> None:
    """Questions asked before would have numbers that belong to different functions later."""
    functions = [function(n, meta={"number": n}) for n in range(3)]
    source = write_lines(tmp_path / "functions.jsonl", functions)
    pairs = paired(source, lacking="1")
    with pytest.raises(
        DatasetError, match=r"1 record has no result yet.*run the command"
    ) as refused:
        asked(pairs)
    assert str(errors_path(pairs)) in str(refused.value)
    assert not (tmp_path / "prompts.jsonl").exists()
    paired(source)
    assert asked(pairs) == ["0 0", "1 1", "2 2"]


def test_pairs_of_a_run_that_was_ended_are_refused_until_it_is_over(tmp_path: Path) -> None:
    """It lists nothing as missing, because it did not come to that."""
    functions = [function(n, meta={"number": n}) for n in range(3)]
    source = write_lines(tmp_path / "functions.jsonl", functions)
    with pytest.raises(DatasetError, match="ended here"):
        paired(source, fails_at="1")
    pairs = tmp_path / "pairs.jsonl"
    assert not errors_path(pairs).exists()
    with pytest.raises(DatasetError, match="has not come to its end"):
        asked(pairs)
    paired(source)
    assert asked(pairs) == ["0 0", "1 1", "2 2"]


def test_copy_of_pairs_that_lack_functions_is_numbered_as_it_is(tmp_path: Path) -> None:
    """What the message says to do without the others."""
    functions = [function(n, meta={"number": n}) for n in range(3)]
    pairs = paired(write_lines(tmp_path / "functions.jsonl", functions), lacking="1")
    copied = tmp_path / "those.jsonl"
    copy(pairs, copied)
    assert asked(copied) == ["0 0", "1 2"]


def test_functions_that_can_have_no_pairs_keep_nobody_waiting(tmp_path: Path) -> None:
    """Only what is tried again comes in between."""
    lines = [function(0, meta={"number": 0}), b"{", function(2, meta={"number": 2})]
    pairs = paired(write_lines(tmp_path / "functions.jsonl", lines))
    assert errors_path(pairs).exists()
    assert asked(pairs) == ["0 0", "1 2"]
