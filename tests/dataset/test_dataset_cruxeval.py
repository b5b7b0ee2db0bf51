from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from execbox import AsyncClient, _operations, wire
from execbox.dataset.files.generations import read_generations
from execbox.dataset.files.json_lines import DatasetError
from execbox.dataset.files.resume import errors_path
from execbox.dataset.scoring.cruxeval import open_cruxeval_step, score_file
from execbox.dataset.scoring.cruxeval_answers import Mode
from execbox.dataset.scoring.cruxeval_judging import PREDICTION_CHARS_MAX
from execbox.dataset.scoring.score import Score
from execbox.dataset.steps.file_run import run_step
from execbox.errors import AuthenticationError, ExecboxError, ServiceUnavailable
from tests.dataset.fake_service import FakeService
from tests.dataset.files import read_lines, write_lines

SAMPLE = {"id": "sample_0", "code": "def f(x):\n    return x * 2", "input": "3", "output": "6"}
REMEMBERING = {
    "id": "sample_0",
    "code": "seen = []\ndef f(x):\n    seen.append(x)\n    return (x, len(seen), {1: x})",
    "input": "'a'",
    "output": "('a', 1, {1: 'a'})",
}

_NUMBER_TOO_LONG_TO_WRITE = (
    "vars(__import__('builtins')).update("
    "repr=lambda v: '{}' if v == {} else '(0x' + 'f' * 5000 + ',)')"
)

INPUT_PREDICTIONS = [
    ("f(3)", "correct"),
    (" f( x = 3 ) # so it is", "correct"),
    ("f(*[3])", "correct"),
    ("f(4)", "incorrect"),
    ("f(f(1))", "not_data"),
    ("g(3)", "disqualified"),
    ("f(3)[0]", "not_a_call"),
    ("6 if f(1) else 6", "not_a_call"),
    ("[globals().update(f=lambda *a: 6), f(1)][1]", "not_a_call"),
    ("f((globals().update(f=lambda *a: 6), 1)[1])", "incorrect"),
    ("f(type('X', (), {'__mul__': lambda s, o: 6})())", "not_data"),
    ("f(type('X', (), {'__mul__': lambda s, o: s, '__repr__': lambda s: '6'})())", "incorrect"),
    ("f(__import__('builtins').__dict__.update(repr=lambda v: '6') or 1)", "not_data"),
    ("f(1))or(f(1)", "invalid_code"),
    ("f(1) or f(3)", "incorrect"),
    ("f(1", "invalid_code"),
    ("f(1/0)", "exception"),
    ("f(__import__('os')._exit(0))", "no_result"),
    ("f(" + "[" * 100_000 + ")", "too_long"),
    ("f('\x00')", "invalid_code"),
    ("f('\ud800')", "invalid_code"),
    (f"f({_NUMBER_TOO_LONG_TO_WRITE})", "not_data"),
]

OUTPUT_PREDICTIONS = [
    ("6", "correct"),
    ("6.0", "correct"),
    ("3 + 3", "correct"),
    ("sum([1, 2, 3])", "correct"),
    ("7", "incorrect"),
    ("'6'", "incorrect"),
    ("[6]", "incorrect"),
    ("f(3)", "disqualified"),
    ("f(3) + 0", "disqualified"),
    ("f( 3)", "exception"),
    ("globals()['f'](3)", "exception"),
    ("type('E', (), {'__eq__': lambda *a: True})()", "not_data"),
    ("__import__('builtins').__dict__.update(repr=lambda v: '6')", "incorrect"),
    ("6), (6", "not_data"),
    ("", "exception"),
    ("the answer is 6", "invalid_code"),
    ("1e400", "incorrect"),
    ("9" * 5000, "invalid_code"),
    ("[" * 1000, "invalid_code"),
    ("x" * (PREDICTION_CHARS_MAX + 1), "too_long"),
    ("'\ud800'", "invalid_code"),
]


def scored(
    url: str,
    samples: Path,
    generations: dict[str, list[str]],
    *,
    mode: Mode,
    ks: tuple[int, ...] = (1,),
) -> Score:
    verdicts = samples.with_name(f"verdicts-{mode}.jsonl")
    run_step(
        open_cruxeval_step(AsyncClient(url), mode=mode, generations=generations),
        source=samples,
        output=verdicts,
        restart=True,
    )
    return score_file(verdicts, ks=ks)


def outcomes_of(url: str, tmp_path: Path, predictions: list[str], mode: Mode) -> list[str]:
    samples = write_lines(tmp_path / "samples.jsonl", [SAMPLE])
    scored(url, samples, {"sample_0": predictions}, mode=mode)
    (line,) = read_lines(tmp_path / f"verdicts-{mode}.jsonl")
    assert line["published_holds"] is True
    found: list[str] = line["outcomes"]
    return found


@pytest.mark.docker
@pytest.mark.parametrize(
    ("mode", "predictions"), [("input", INPUT_PREDICTIONS), ("output", OUTPUT_PREDICTIONS)]
)
def test_predictions_that_cheat_are_not_correct_and_those_that_are_right_are(
    service_url: str, tmp_path: Path, mode: Mode, predictions: list[tuple[str, str]]
) -> None:
    """Rebinding f, side effects, forged equality, broken and endless expressions."""
    found = outcomes_of(service_url, tmp_path, [text for text, _ in predictions], mode)
    assert dict(zip([text[:80] for text, _ in predictions], found, strict=True)) == {
        text[:80]: outcome for text, outcome in predictions
    }


@pytest.mark.docker
def test_values_that_json_would_change_are_compared_as_python(
    service_url: str, tmp_path: Path
) -> None:
    """Tuples are no lists, integer keys no strings, and no call sees what another left behind."""
    samples = write_lines(tmp_path / "samples.jsonl", [REMEMBERING])
    predictions = ["('a', 1, {1: 'a'})", "['a', 1, {1: 'a'}]", "('a', 1, {'1': 'a'})"]
    scored(service_url, samples, {"sample_0": predictions}, mode="output")
    assert read_lines(tmp_path / "verdicts-output.jsonl")[0]["outcomes"] == [
        "correct",
        "incorrect",
        "incorrect",
    ]
    scored(service_url, samples, {"sample_0": ["f('a')", "f('a' * 1)", "f('b')"]}, mode="input")
    assert read_lines(tmp_path / "verdicts-input.jsonl")[0]["outcomes"] == [
        "correct",
        "correct",
        "incorrect",
    ]


@pytest.mark.docker
@pytest.mark.corpus
@pytest.mark.parametrize("mode", ["input", "output"])
def test_gold_answers_score_100_and_corrupted_ones_exactly_what_was_corrupted(
    service_url: str, tmp_path: Path, corpus: Path, mode: Mode
) -> None:
    """All 400 public samples; two generations each, the second of every fourth is corrupted."""
    lines = read_lines(corpus / "cruxeval.jsonl")
    samples = write_lines(tmp_path / "samples.jsonl", lines)
    generations: dict[str, list[str]] = {}
    for place, line in enumerate(lines):
        gold = line["output"] if mode == "output" else f"f({line['input']})"
        corrupted = f"[{gold}]" if mode == "output" else gold.replace("f(", "h(", 1)
        generations[line["id"]] = [gold, corrupted if place % 4 == 0 else gold]
    score = scored(service_url, samples, generations, mode=mode, ks=(1, 2))
    assert score.problem_count == 400
    assert score.passes[0].value == pytest.approx(1 - 100 * 0.5 / 400)
    assert score.passes[1].value == 1.0
    wrong = "incorrect" if mode == "output" else "disqualified"
    assert score.outcomes == {mode: {"correct": 700, wrong: 100}}
    assert not errors_path(tmp_path / f"verdicts-{mode}.jsonl").exists()


@pytest.mark.docker
def test_sample_without_generations_is_listed_and_not_scored_as_wrong(
    service_url: str, tmp_path: Path
) -> None:
    """A hole in the file is told, in neither number."""
    samples = write_lines(tmp_path / "samples.jsonl", [SAMPLE, SAMPLE | {"id": "sample_1"}])
    score = scored(service_url, samples, {"sample_1": ["6"]}, mode="output")
    assert (score.problem_count, score.passes[0].value) == (1, 1.0)
    (entry,) = read_lines(errors_path(tmp_path / "verdicts-output.jsonl"))
    assert (entry["id"], entry["reason"]) == ("sample_0", "no_generations")


@pytest.mark.docker
def test_odd_samples_are_listed_and_cost_the_others_nothing(
    service_url: str, tmp_path: Path
) -> None:
    """NUL and lone surrogates, more in a row than a failing service is forgiven."""
    odd = [
        {"code": "def f(x):\n    return '\x00'"},
        {"input": "'\x00'"},
        *[{"code": "def f(x):\n    return '\ud800'"}] * 6,
        {},
    ]
    lines = [SAMPLE | changes | {"id": f"sample_{n}"} for n, changes in enumerate(odd)]
    samples = write_lines(tmp_path / "samples.jsonl", lines)
    generations = {f"sample_{n}": ["6"] for n in range(len(odd))}
    score = scored(service_url, samples, generations, mode="output")
    assert (score.problem_count, score.passes[0].value) == (1, 1.0)
    errors = read_lines(errors_path(tmp_path / "verdicts-output.jsonl"))
    assert [entry["reason"] for entry in errors] == ["invalid_field"] * 2 + ["unsendable_value"] * 6
    assert '"code": must not contain NUL' in errors[0]["message"]
    assert '"input": must not contain NUL' in errors[1]["message"]
    assert not any(entry["retry"] for entry in errors)


@dataclass
class Six(FakeService):
    """Answers every call with 6, after what a real client has against it; ``failures`` by code."""

    failures: dict[str, ExecboxError] = field(default_factory=dict)
    body_sizes: list[int] = field(default_factory=list)

    async def execute(
        self,
        function: wire.Function | str,
        calls: Sequence[wire.Call | Mapping[str, object]],
        *,
        limits: wire.Limits | None = None,
        isolation: wire.Isolation | None = None,
        **_: object,
    ) -> wire.ExecuteResponse:
        exchange = _operations.execute(function, calls, limits=limits, isolation=isolation)
        self.body_sizes.append(len(exchange.body or b""))
        assert isinstance(function, wire.Function)
        if function.code in self.failures:
            raise self.failures[function.code]
        return wire.ExecuteResponse(
            executions=[wire.Execution(status=wire.Status.OK, output="6") for _ in calls],
            isolation=isolation or "container",
            engine="fake",
            image="sha256:0",
            queue_time_s=0.0,
        )


def test_long_generations_are_sent_in_requests_that_are_taken(tmp_path: Path) -> None:
    """Together they are longer than a request may be."""
    samples = write_lines(tmp_path / "samples.jsonl", [SAMPLE])
    predictions = [f"{n} +" + " " * 99_000 + f"{6 - n}" for n in range(200)]
    service, output = Six(), tmp_path / "verdicts.jsonl"
    run_step(
        open_cruxeval_step(service, mode="output", generations={"sample_0": predictions}),
        source=samples,
        output=output,
    )
    assert sum(service.body_sizes) > wire.BODY_BYTES_MAX
    assert read_lines(output)[0]["outcomes"] == ["correct"] * 200


def test_sample_that_the_service_fails_at_is_tried_again(tmp_path: Path) -> None:
    """It ends no run, and is no verdict."""
    lines = [SAMPLE | {"id": f"sample_{n}"} for n in range(3)]
    lines[1]["code"] += "  # loses its sandbox"
    samples, output = write_lines(tmp_path / "samples.jsonl", lines), tmp_path / "verdicts.jsonl"
    generations = {f"sample_{n}": ["6"] for n in range(3)}
    lost = ServiceUnavailable("two sandboxes in a row were lost", code="sandbox_lost")
    for service, expected in ((Six({lines[1]["code"]: lost}), (2, 1)), (Six(), (3, 0))):
        summary = run_step(
            open_cruxeval_step(service, mode="output", generations=generations),
            source=samples,
            output=output,
        )
        assert (summary.result_count, summary.retryable_count) == expected


def test_refused_key_ends_the_scoring(tmp_path: Path) -> None:
    """Every sample would be refused."""
    samples = write_lines(tmp_path / "samples.jsonl", [SAMPLE])
    refused = AuthenticationError("no such key", code="unauthorized", http_status=401)
    with pytest.raises(AuthenticationError):
        run_step(
            open_cruxeval_step(
                Six({SAMPLE["code"]: refused}), mode="output", generations={"sample_0": ["6"]}
            ),
            source=samples,
            output=tmp_path / "verdicts.jsonl",
        )


@pytest.mark.parametrize(
    "lines",
    [
        [{"sample_0": ["1", "2"], "sample_1": ["3"]}],
        [{"id": "sample_0", "generations": ["1", "2"]}, {"id": "sample_1", "generations": ["3"]}],
        [
            {"id": "sample_0#1", "output": "1"},
            {"id": "sample_0#2", "output": "2"},
            {"id": "sample_1#1", "output": "3"},
        ],
        [
            {"id": "sample_0", "output": "1"},
            {"id": "sample_0", "output": "2"},
            {"id": "sample_1", "output": "3"},
        ],
    ],
)
def test_generations_are_read_in_every_form(tmp_path: Path, lines: list[object]) -> None:
    """The reference scorer's file, and what infer writes."""
    path = write_lines(tmp_path / "generations", lines)
    found = read_generations(path, asked_for="output")
    assert (found["sample_0"], found["sample_1"]) == (["1", "2"], ["3"])


def test_indented_generations_of_the_reference_are_read(tmp_path: Path) -> None:
    """One document over many lines."""
    path = tmp_path / "generations.json"
    path.write_text(json.dumps({"sample_0": ["1"]}, indent=4))
    assert read_generations(path, asked_for="output") == {"sample_0": ["1"]}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"sample_0": "1"}', "sample_0: must be an array of texts"),
        ('{"sample_0": [1]}', "sample_0: must be an array of texts"),
        ('{"id": "a", "output": 1}\n{"id": "b", "output": "2"}', '1: "output" must be text'),
        ('{"id": "a"}\n{"id": "b"}', '1: "output" is missing'),
        ("nonsense", "1: not valid JSON"),
    ],
)
def test_generations_that_are_none_are_refused_by_name(
    tmp_path: Path, content: str, problem: str
) -> None:
    """Before anything runs."""
    path = tmp_path / "generations"
    path.write_text(content)
    with pytest.raises(DatasetError, match=problem):
        read_generations(path, asked_for="output")
