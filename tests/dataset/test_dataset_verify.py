from __future__ import annotations

from pathlib import Path

import pytest

from execbox import wire
from execbox.dataset.files.json_lines import DatasetError
from execbox.dataset.files.resume import errors_path
from execbox.dataset.steps.file_run import run_step
from execbox.dataset.steps.verdicts import VerifyOptions
from execbox.dataset.steps.verify import open_verify_step
from execbox.errors import AuthenticationError, InvalidRequest, ServiceUnavailable
from tests.dataset.files import DOUBLE, answered, function, read_lines, write_lines
from tests.dataset.verifying import Doubling


def verified(
    tmp_path: Path, lines: list[object], verifier: Doubling, **options: object
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    source = write_lines(tmp_path / "answers.jsonl", lines)
    output = tmp_path / "verified.jsonl"
    step = open_verify_step(verifier, VerifyOptions(**options))  # type: ignore[arg-type]
    run_step(step, source=source, output=output)
    return read_lines(output), read_lines(errors_path(output))


def test_verdicts_feedback_and_codeios_own_words_are_added(tmp_path: Path) -> None:
    """Their scripts read res.status, ours the verdict; nothing is taken away."""
    lines: list[object] = [
        answered(3, '{"output": 6}'),
        answered(4, '{"output": 9}'),
        answered(5, "I do not know"),
        answered(6, '{"input": {"n": 6}}', kind="i"),
    ]
    results, errors = verified(tmp_path, lines, Doubling())
    assert [(line["verdict"], line["res"]) for line in results] == [
        ("correct", {"status": "success", "message": "Correct."}),
        ("incorrect", {"status": "failed", "message": "9 is wrong."}),
        ("no_answer", {"status": "no answer", "message": "No answer was found."}),
        ("correct", {"status": "success", "message": "Correct."}),
    ]
    assert results[1]["feedback"] == "9 is wrong."
    assert results[3]["extracted"] == {"n": 6}
    assert results[0]["messages"] == [{"role": "user", "content": "twice 3?"}]
    assert errors == []


def test_item_sends_the_response_the_known_pair_and_the_function(tmp_path: Path) -> None:
    """The service extracts, compares and runs; the client only says what."""
    sent: list[wire.VerifyItem] = []
    value = answered(3, "text", kind="i", funcname="f", prelude="none")
    verified(
        tmp_path,
        [value],
        Doubling(fault=sent.append),
        comparator="tolerance",
        tolerance=wire.Tolerance(rel=0.5),
        extraction="strict",
        limits=wire.Limits(memory_mb=64),
    )
    (item,) = sent
    assert item.function == wire.Function(code=DOUBLE, entry_point="f", prelude="none")
    assert (item.kind, item.response, item.input, item.output) == ("input", "text", {"n": 3}, 6)
    assert (item.comparator, item.extraction, item.limits.memory_mb) == ("tolerance", "strict", 64)


def test_records_of_codeios_scripts_are_looked_up_by_line(tmp_path: Path) -> None:
    """itemid and ioid mean what they mean there; unknown ones are listed."""
    functions = write_lines(tmp_path / "functions.jsonl", [function(0), function(10)])
    lines = [
        {"itemid": 1, "ioid": 1, "io_pred": "o", "output": '{"output": 22}'},
        {"itemid": 2, "ioid": 0, "io_pred": "o", "output": "{}"},
        {"itemid": 1, "ioid": 9, "io_pred": "o", "output": "{}"},
        {"itemid": "1", "ioid": 0, "io_pred": "o", "output": "{}"},
        {"itemid": 0, "ioid": 0, "io_pred": "x", "output": "{}"},
        {"itemid": 0, "ioid": 0, "io_pred": "o"},
    ]
    source, output = write_lines(tmp_path / "gens.jsonl", lines), tmp_path / "verified.jsonl"
    run_step(open_verify_step(Doubling(), functions=functions), source=source, output=output)
    assert [line["verdict"] for line in read_lines(output)] == ["correct"]
    assert [(entry["line"], entry["reason"]) for entry in read_lines(errors_path(output))] == [
        (2, "unknown_function"),
        (3, "unknown_pair"),
        (4, "invalid_field"),
        (5, "invalid_field"),
        (6, "missing_field"),
    ]


def test_record_without_function_says_how_to_give_one(tmp_path: Path) -> None:
    """The message is what to do."""
    bare = {"itemid": 1, "ioid": 1, "io_pred": "o", "output": "{}"}
    results, (problem,) = verified(tmp_path, [bare], Doubling())
    assert (results, problem["reason"]) == ([], "missing_function")
    assert "--functions" in str(problem["message"])


def test_one_unacceptable_item_costs_no_other_its_verdict(tmp_path: Path) -> None:
    """A refused request is sent again in halves, until the refused item is alone."""

    def fault(item: wire.VerifyItem) -> Exception | None:
        return InvalidRequest("too odd", code="odd") if item.id == "5.0.o" else None

    lines: list[object] = [answered(n, f'{{"output": {2 * n}}}') for n in range(16)]
    verifier = Doubling(fault=fault)
    results, errors = verified(tmp_path, lines, verifier, chunk_count=16)
    assert len(results) == 15
    assert [(entry["id"], entry["reason"], entry["retry"]) for entry in errors] == [
        ("5.0.o", "odd", False)
    ]
    assert len(verifier.requests) == 9


def test_item_the_service_could_not_check_is_tried_again_and_never_a_verdict(
    tmp_path: Path,
) -> None:
    """Our failure is in the error file; it reaches no feedback and no label."""
    failing = {"1.0.o", "2.0.o"}

    def fault(item: wire.VerifyItem) -> wire.VerifiedItem | None:
        if item.id not in failing:
            return None
        error = wire.ErrorBody(code="container_lost", message="gone", retryable=True)
        if item.id == "1.0.o":
            return wire.VerifiedItem(id=item.id, verdict=None, error=error)
        return wire.VerifiedItem(id=item.id, verdict=wire.Verdict.NOT_RUN)

    lines: list[object] = [answered(n, f'{{"output": {2 * n}}}') for n in range(4)]
    results, errors = verified(tmp_path, lines, Doubling(fault=fault))
    assert [line["id"] for line in results] == ["0.0.o", "3.0.o"]
    assert [(entry["reason"], entry["retry"]) for entry in errors] == [
        ("container_lost", True),
        ("not_run", True),
    ]
    failing.clear()
    results, errors = verified(tmp_path, lines, Doubling(fault=fault))
    assert [line["id"] for line in results] == [f"{n}.0.o" for n in range(4)]
    assert errors == []


@pytest.mark.parametrize(
    ("options", "says_expected"),
    [
        ({}, False),
        ({"reveal_expected": True}, None),
        ({"feedback_templates": wire.FeedbackTemplates(wrong_output="$expected!")}, True),
        ({"feedback_templates": wire.FeedbackTemplates(timeout="Slow.")}, False),
    ],
)
def test_feedback_on_a_wrong_output_keeps_the_right_one_to_itself_unless_asked(
    options: dict[str, object], says_expected: bool | None
) -> None:
    """A revision that could copy the answer teaches nothing."""
    wording = VerifyOptions(**options).wording  # type: ignore[arg-type]
    if says_expected is None:
        assert wording.wrong_output is None  # The service's own, which names both.
    else:
        assert wording.wrong_output is not None
        assert ("$expected" in wording.wrong_output) is says_expected
    given = options.get("feedback_templates")
    if isinstance(given, wire.FeedbackTemplates):
        assert wording.timeout == given.timeout


def test_verdicts_with_other_wording_are_not_continued(tmp_path: Path) -> None:
    """What is sent counts, not what was asked for: one file holds one kind of feedback."""
    verified(tmp_path, [answered(1, "{}")], Doubling())
    with pytest.raises(DatasetError, match="feedback_templates was"):
        verified(tmp_path, [answered(1, "{}")], Doubling(), reveal_expected=True)


@pytest.mark.parametrize(("asked", "sent"), [(None, "process"), ("container", "container")])
def test_isolation_is_the_fastest_permitted_unless_asked_for(
    tmp_path: Path, asked: wire.Isolation | None, sent: str
) -> None:
    """Bulk work does not wait for containers it has no need of."""
    verifier = Doubling()
    verified(tmp_path, [answered(1, "{}")], verifier, isolation=asked)
    assert verifier.isolations == [sent]


def test_records_are_checked_with_the_conversion_they_were_made_with(tmp_path: Path) -> None:
    """A pair made with convert: codeio compares as it was made; the order of lines stays."""
    lines: list[object] = [
        answered(n, f'{{"output": {2 * n}}}') | ({"convert": "codeio"} if n % 2 else {})
        for n in range(4)
    ]
    verifier = Doubling()
    results, _ = verified(tmp_path, lines, verifier)
    assert verifier.requests == [["0.0.o", "2.0.o"], ["1.0.o", "3.0.o"]]
    assert verifier.converts == ["none", "codeio"]
    assert [line["id"] for line in results] == [f"{n}.0.o" for n in range(4)]


@pytest.mark.parametrize(
    "error", [AuthenticationError("no", http_status=401), ServiceUnavailable("down")]
)
def test_service_that_fails_for_all_ends_the_run(tmp_path: Path, error: Exception) -> None:
    """A wrong key or a service that is down is no fault of any record."""
    lines: list[object] = [answered(1, "{}"), answered(2, "{}")]
    with pytest.raises(type(error)):
        verified(tmp_path, lines, Doubling(fault=lambda _: error))
    assert read_lines(errors_path(tmp_path / "verified.jsonl")) == []


@pytest.mark.parametrize(
    "options",
    [
        {"chunk_count": 0},
        {"concurrency": 0},
        {"comparator": "tolerance"},
        {"tolerance": wire.Tolerance()},
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, object]) -> None:
    """Before anything is sent."""
    with pytest.raises(DatasetError):
        VerifyOptions(**options)  # type: ignore[arg-type]
