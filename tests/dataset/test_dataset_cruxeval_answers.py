"""CRUXEval's questions, and predictions taken out of what chat models write."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from execbox.cli import main
from execbox.client import AsyncClient
from execbox.dataset.files.generations import read_generations
from execbox.dataset.files.json_lines import DatasetError
from execbox.dataset.scoring.cruxeval import open_cruxeval_step
from execbox.dataset.scoring.cruxeval_answers import Mode, fits_other_mode, prediction_of
from execbox.dataset.steps.file_run import run_step
from tests.dataset.files import read_lines, write_lines

SAMPLES = [
    {"id": "sample_0", "code": "def f(x):\n    return x * 2", "input": "3", "output": "6"},
    {
        "id": "sample_7",
        "code": "def f(a, b):\n    return '$a'",
        "input": "1, b=2",
        "output": "'$a'",
    },
]
FENCE = "```"
SOURCE = f"{FENCE}python\ndef f(x):\n    return x\n{FENCE}"


@pytest.mark.parametrize(
    ("text", "prediction"),
    [
        # The benchmark's tags.
        ("[ANSWER] [1, 3] [/ANSWER]", "[1, 3]"),
        ("[THOUGHT]hm, 4[/THOUGHT]\n[ANSWER]\n[(4, 1)]\n[/ANSWER]", "[(4, 1)]"),
        ("[ANSWER]\nassert f(3) == 6\n[/ANSWER]", "6"),
        ("[ANSWER]assert f('a == b') == 'c == d'[/ANSWER]", "'c == d'"),
        ("[ANSWER]\nf(3) == 6\n[/ANSWER]", "6"),
        ("[ANSWER]\n6 == f(3)\n[/ANSWER]", "6"),
        ("[ANSWER]\nassert f(3) == [\n    1,\n    2,\n]\n[/ANSWER] done", "[\n    1,\n    2,\n]"),
        ("[ANSWER] 5 [/ANSWER] no: [ANSWER] 6 [/ANSWER]", "6"),
        ("[ANSWER] 6 [/ANSWER] [ANSWER][/ANSWER]", "6"),
        ("I think [ANSWER] 6", "6"),
        ("assert f(3) == 6\n[/ANSWER]\n\n[PYTHON]\ndef f(y): ...", "6"),
        (f"[ANSWER]\n{FENCE}python\n6\n{FENCE}\n[/ANSWER]", "6"),
        ("[ANSWER] `6` [/ANSWER]", "6"),
        ("[ANSWER] Output: 6 [/ANSWER]", "6"),
        ("[ANSWER]\nassert f(3) == <Set {1}>\n[/ANSWER]", "<Set {1}>"),
        ("<think>[ANSWER] 5 [/ANSWER]</think>[ANSWER] 6 [/ANSWER]", "6"),
        # Fences.
        (f"So:\n{FENCE}python\nassert f(3) == 6\n{FENCE}", "6"),
        (f"So:\n{FENCE}\n[(4, 1), (2, 3)]\n{FENCE}\nas said.", "[(4, 1), (2, 3)]"),
        (f"{FENCE}py\n5\n{FENCE}\nno, as x doubles:\n~~~\n6\n~~~", "6"),
        (f"{FENCE}python\ndef f(x):\n    return x * 2\nassert f(3) == 6\n{FENCE}", "6"),
        # Assertions and code among words.
        ("assert f(3) == 6", "6"),
        ("The doubled number is\nassert f(3) == 6\nand that is it.", "6"),
        (">>> assert f(3) == 6", "6"),
        ("assert f(3) == 5\nNo:\nassert f(3) == 6  # twice", "6"),
        ("The function returns `6`.", "6"),
        ("It is `x * 2`, so the result is ``[6]``.", "[6]"),
        ("<think>x is 3</think>\n6", "6"),
        # Predictions already, whatever is in them.
        ("6", "6"),
        (" 6\n", " 6\n"),
        ("'[ANSWER] 5 [/ANSWER]'", "'[ANSWER] 5 [/ANSWER]'"),
        ("'assert f(3) == 5'", "'assert f(3) == 5'"),
        ("f(3) == 6", "f(3) == 6"),
        ("'`5`'", "'`5`'"),
        # A fence that shows the source, and one that is explained.
        (f"{SOURCE}\nSo:\n\nassert f(1) == 2", "2"),
        (f"{SOURCE}\nSo it is `2`, as `x` is 1.", "2"),
        (f"{FENCE}\n6\n{FENCE}\nThe code:\n{SOURCE}", "6"),
        (f"{FENCE}\nf(3)\n{FENCE}\ngives `6`.", "6"),
        (f"{FENCE}\n[6]\n{FENCE}\nbecause `x` is `3`.", "[6]"),
        (f"{FENCE}\n<Set {{1}}>\n{FENCE}\nbecause of `x`.", "<Set {1}>"),
        # Forms of assertions.
        ("So:\nassert f(1) == 2, 'sum'", "2"),
        ("So:\nassert f(1) is None", "None"),
        # Thoughts.
        ("<reasoning>\nassert f(3) == 5\n</reasoning>\n[ANSWER] 6 [/ANSWER]", "6"),
        ("<Thought>`5`</Thought> It is `6`.", "6"),
        ("[ANSWER] 6 [/ANSWER]\n<reflection>\n[ANSWER] 5 [/ANSWER]</reflection>", "6"),
        ("[ANSWER] 6 [/ANSWER]\n<scratchpad>\nor [ANSWER] 5 [/ANSWER]", "6"),
        ("assert f('<think>') == 6", "6"),
        # Nothing that could be told to be the answer.
        ("It is six.", "It is six."),
        ("", ""),
        ("[1, 2", "[1, 2"),
    ],
)
def test_output_prediction_is_taken_out_of_a_chat_models_answer(text: str, prediction: str) -> None:
    """By tags, blocks and assertions, the last of them; a bare prediction stays as it is."""
    assert prediction_of(text, mode="output") == prediction


@pytest.mark.parametrize(
    ("text", "prediction"),
    [
        ("[ANSWER]\nassert f(3) == 6\n[/ANSWER]", "f(3)"),
        ("[ANSWER] f('a == b') [/ANSWER]", "f('a == b')"),
        ("[ANSWER] f(x='a == b') == 'c == d' [/ANSWER]", "f(x='a == b')"),
        ("[ANSWER]assert 6 == f(3)[/ANSWER]", "f(3)"),
        (f"{FENCE}python\nf([1], b={{}})\n{FENCE}", "f([1], b={})"),
        ("Take `f(3)`, as 6 is `3 * 2`: so `f(3)`", "f(3)"),
        ("assert f(lambda x: x == 1) == 2", "f(lambda x: x == 1)"),
        ("f(3)", "f(3)"),
        ("f('[ANSWER] f(4) [/ANSWER]')", "f('[ANSWER] f(4) [/ANSWER]')"),
        ("[ANSWER] 3 [/ANSWER]", "3"),
        (f"{SOURCE}\nSo `f(3)` gives `3`.", "f(3)"),
        ("So:\nassert f(3) is None, 'nothing'", "f(3)"),
    ],
)
def test_input_prediction_is_the_call_of_a_chat_models_answer(text: str, prediction: str) -> None:
    """The side of the assertion that calls f."""
    assert prediction_of(text, mode="input") == prediction


@pytest.mark.parametrize(
    "piece",
    [
        "[ANSWER]",
        "```x\n",
        "`",
        "`` ` ",
        "assert f(\n",
        "(",
        "-",
        "1+",
        "</think>",
        "<think>\n",
        "\n",
        "~~~\n",
        "~~~\n1 1\n~~~\n",
    ],
)
def test_hostile_text_is_read_to_its_end(piece: str) -> None:
    """Nothing in it makes the reader slow or deep: a hundred thousand pieces, at once."""
    text = piece * (300_000 // len(piece))
    assert isinstance(prediction_of(text, mode="output"), str)
    assert isinstance(prediction_of("assert f(3) == " + text, mode="input"), str)


@pytest.mark.parametrize(
    ("texts", "mode", "other"),
    [
        (["f(1)", "f(2)", "[ANSWER] f(3) == 4 [/ANSWER]"], "output", "input"),
        (["f(1)", "f(2)", "3"], "input", None),
        (["1", "[ANSWER] 2 [/ANSWER]", "f(3)"], "input", "output"),
        (["1", "2", "f(3)"], "output", None),
        (["f(1)", "2"], "output", None),
        ([], "output", None),
    ],
)
def test_generations_of_the_other_mode_are_recognized_by_their_form(
    texts: list[str], mode: Mode, other: Mode | None
) -> None:
    """Most of them decide: some of every model's are wrong."""
    assert fits_other_mode({"sample_0": texts}, mode=mode) == other


def test_questions_are_the_benchmarks_assertions_to_complete(tmp_path: Path) -> None:
    """The code as it is, the half that is known, and not the half that is asked for."""
    source, output = write_lines(tmp_path / "c.jsonl", SAMPLES), tmp_path / "p.jsonl"
    assert main(["prompts", str(source), "--task", "cruxeval", "-o", str(output)]) == 0
    lines = read_lines(output)
    assert [(line["id"], line["sample_id"], line["io_pred"]) for line in lines] == [
        ("sample_0.i", "sample_0", "i"),
        ("sample_0.o", "sample_0", "o"),
        ("sample_7.i", "sample_7", "i"),
        ("sample_7.o", "sample_7", "o"),
    ]
    texts = [line["messages"][0]["content"] for line in lines]
    assert "def f(x):\n    return x * 2\nassert f(??) == 6\n[/PYTHON]" in texts[0]
    assert "def f(x):\n    return x * 2\nassert f(3) == ??\n[/PYTHON]" in texts[1]
    assert "return '$a'\nassert f(??) == '$a'" in texts[2]
    assert "return '$a'\nassert f(1, b=2) == ??" in texts[3]


@pytest.mark.parametrize("flag", [["--pairs", "2"], ["--seed", "1"], ["--no-code"]])
def test_options_about_pairs_are_refused_for_the_benchmark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: list[str]
) -> None:
    """Instead of being passed over."""
    source = write_lines(tmp_path / "c.jsonl", SAMPLES)
    argv = ["prompts", str(source), "--task", "cruxeval", "-o", str(tmp_path / "p.jsonl"), *flag]
    assert main(argv) == 2
    assert "means nothing with --task cruxeval" in capsys.readouterr().err


def test_answers_to_both_questions_are_read_for_the_mode_asked_for(tmp_path: Path) -> None:
    """One file of infer's, scored twice; where it has none of a mode, the other is named."""
    lines = [
        {
            "id": f"sample_0.{kind}#{n}",
            "sample_id": "sample_0",
            "io_pred": kind,
            "output": f"{kind}{n}",
        }
        for kind in "io"
        for n in (1, 2)
    ]
    both = write_lines(tmp_path / "a.jsonl", lines)
    assert read_generations(both, asked_for="input") == {"sample_0": ["i1", "i2"]}
    assert read_generations(both, asked_for="output") == {"sample_0": ["o1", "o2"]}
    only = write_lines(tmp_path / "b.jsonl", lines[:2])
    with pytest.raises(DatasetError, match="score them with --mode input"):
        read_generations(only, asked_for="output")


def test_byte_order_mark_before_the_reference_scorers_file_is_passed_over(tmp_path: Path) -> None:
    """As it is before lines."""
    path = tmp_path / "g.json"
    path.write_bytes(b'\xef\xbb\xbf{"sample_0": ["1"]}')
    assert read_generations(path, asked_for="output") == {"sample_0": ["1"]}


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([{"id": "a~b"}, {"id": "a#b"}], {"a~b": ["0"], "a#b": ["1"]}),
        ([{"id": "a~b#1", "sample": 1}, {"id": "a~b#2", "sample": 2}], {"a~b": ["0", "1"]}),
        (
            [{"id": "a"}, {"id": "a"}, {"id": "a#1", "sample": 1}, {"id": "a#1", "sample": 1}],
            {"a": ["0", "1", "2", "3"]},
        ),
        # Whose number it is is not known: infer's, of samples, or that of the name itself.
        ([{"id": "a#1"}, {"id": "a#2"}], {"a": ["0", "1"], "a#1": ["0"], "a#2": ["1"]}),
        ([{"id": "a"}, {"id": "a#1"}], {"a": ["0"], "a#1": ["1"]}),
        ([{"id": "a#1#1", "sample": 1}, {"id": "a#1#2", "sample": 2}], {"a#1": ["0", "1"]}),
        (
            [{"id": "x", "sample_id": "a#1"}, {"id": "y", "sample_id": "a#2"}],
            {"a#1": ["0"], "a#2": ["1"]},
        ),
    ],
)
def test_ids_of_generations_lose_only_the_numbers_behind_them(
    tmp_path: Path, lines: list[dict[str, object]], found: dict[str, list[str]]
) -> None:
    """A sample's own name may hold the same signs."""
    numbered = [line | {"output": str(number)} for number, line in enumerate(lines)]
    path = write_lines(tmp_path / "g.jsonl", numbered)
    assert read_generations(path, asked_for="output") == found


def generations(corpus: Path, mode: Mode) -> Iterator[tuple[str, list[str], list[bool]]]:
    with gzip.open(corpus / f"cruxeval_codellama7b_{mode}.jsonl.gz", "rb") as file:
        for line in map(json.loads, file):
            yield line["id"], line["generations"], line["reference_verdicts"]


@pytest.mark.corpus
@pytest.mark.parametrize("mode", ["input", "output"])
def test_published_generations_are_predictions_as_they_are(corpus: Path, mode: Mode) -> None:
    """Nothing is taken out of what the reference scorer takes whole; so its verdicts stay ours."""
    found = [text for _, texts, _ in generations(corpus, mode) for text in texts]
    assert len(found) == 4000
    assert [text for text in found if prediction_of(text, mode=mode) != text] == []


@pytest.mark.docker
@pytest.mark.corpus
@pytest.mark.slow
@pytest.mark.parametrize("mode", ["input", "output"])
def test_published_generations_get_the_verdicts_of_the_reference_scorer(
    service_url: str, corpus: Path, tmp_path: Path, mode: Mode
) -> None:
    """Every one of the 4,000 shipped for each question, bare and as a chat model says them."""
    shipped = {name: (texts, verdicts) for name, texts, verdicts in generations(corpus, mode)}
    said = {
        name: [
            f"I see.\n[ANSWER]\n{text}\n[/ANSWER]" if n % 2 else text
            for n, text in enumerate(texts)
        ]
        for name, (texts, _) in shipped.items()
    }
    step = open_cruxeval_step(AsyncClient(service_url), mode=mode, generations=said)
    output = tmp_path / "verdicts.jsonl"
    run_step(step, source=corpus / "cruxeval.jsonl", output=output)
    lines = read_lines(output)
    assert len(lines) == len(shipped) == 400
    different = [
        (line["id"], text, outcome)
        for line in lines
        for text, verdict, outcome in zip(*shipped[line["id"]], line["outcomes"], strict=True)
        if (outcome == "correct") != verdict
    ]
    assert different == []
