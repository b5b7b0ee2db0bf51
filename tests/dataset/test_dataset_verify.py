from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from execbox import wire
from execbox.dataset.files.json_lines import DatasetError
from execbox.dataset.files.resume import errors_path
from execbox.dataset.steps.file_run import run_step
from execbox.dataset.steps.patience import FAILURES_IN_A_ROW_MAX
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


def test_record_that_could_not_be_written_again_is_not_checked(tmp_path: Path) -> None:
    """Every run would ask for a verdict that it cannot keep."""
    service = Doubling()
    lines: list[object] = [answered(1, "{}", weight=float("nan")), answered(2, "{}")]
    results, (problem,) = verified(tmp_path, lines, service)
    assert (len(results), problem["reason"]) == (1, "non_finite")
    assert service.requests == [["2.0.o"]]


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


def test_item_whose_refusal_lasts_is_not_asked_again(tmp_path: Path) -> None:
    """The same two outputs would take as long to compare in every run."""
    error = wire.ErrorBody(code="comparison_too_long", message="too long", retryable=False)

    def fault(item: wire.VerifyItem) -> wire.VerifiedItem:
        return wire.VerifiedItem(id=item.id, verdict=None, error=error)

    verifier = Doubling(fault=fault)
    results, (entry,) = verified(tmp_path, [answered(1, "{}")], verifier)
    assert (results, entry["reason"], entry["retry"]) == ([], "comparison_too_long", False)
    verified(tmp_path, [answered(1, "{}")], verifier)
    assert len(verifier.requests) == 1


@dataclass
class Cramped(Doubling):
    """Has no room in an answer for items after the second, and never for ``large``."""

    large: str = ""

    async def verify(self, items: Sequence[wire.VerifyItem], **options: Any) -> wire.VerifyResponse:
        answer = await super().verify(items, **options)
        error = wire.ErrorBody(code="answer_too_large", message="no room", retryable=False)
        found = [
            wire.VerifiedItem(id=item.id, verdict=None, error=error)
            if place > 1 or item.id == self.large
            else item
            for place, item in enumerate(answer.items)
        ]
        return answer.model_copy(update={"items": found})


def test_item_without_room_in_the_answer_is_asked_about_by_itself(tmp_path: Path) -> None:
    """Alone it may fit; one that does not never will, and is not asked again."""
    lines: list[object] = [answered(n, f'{{"output": {2 * n}}}') for n in range(4)]
    verifier = Cramped(large="3.0.o")
    results, (entry,) = verified(tmp_path, lines, verifier)
    assert [line["id"] for line in results] == ["0.0.o", "1.0.o", "2.0.o"]
    assert (entry["id"], entry["reason"], entry["retry"]) == ("3.0.o", "answer_too_large", False)
    assert [len(ids) for ids in verifier.requests] == [4, 1, 1]


def test_wrong_key_ends_the_run_at_the_first_refusal(tmp_path: Path) -> None:
    """It is no fault of any record."""
    refused = AuthenticationError("no", http_status=401)
    verifier = Doubling(fault=lambda _: refused)
    with pytest.raises(AuthenticationError):
        verified(tmp_path, [answered(1, "{}"), answered(2, "{}")], verifier)
    assert read_lines(errors_path(tmp_path / "verified.jsonl")) == []
    assert len(verifier.requests) == 1


def test_request_that_failed_is_its_records_failure_and_the_next_run_asks_again(
    tmp_path: Path,
) -> None:
    """One of many ends no run: its whole chunk has no verdict, the other records have theirs."""
    lost = {"4.0.o"}

    def fault(item: wire.VerifyItem) -> Exception | None:
        return ServiceUnavailable("gone", code="sandbox_lost") if item.id in lost else None

    lines: list[object] = [answered(n, f'{{"output": {2 * n}}}') for n in range(12)]
    verifier = Doubling(fault=fault)
    results, errors = verified(tmp_path, lines, verifier, chunk_count=3, concurrency=1)
    assert (len(results), len(verifier.requests)) == (9, 4)
    assert [(entry["id"], entry["reason"], entry["retry"]) for entry in errors] == [
        (f"{n}.0.o", "sandbox_lost", True) for n in (3, 4, 5)
    ]
    lost.clear()
    results, errors = verified(tmp_path, lines, verifier, chunk_count=3, concurrency=1)
    assert (len(results), errors) == (12, [])


def test_service_that_fails_for_all_ends_the_run_after_five_requests(tmp_path: Path) -> None:
    """Counted by requests and not by records; what failed before is asked again."""
    lines: list[object] = [answered(n, f'{{"output": {2 * n}}}') for n in range(20)]
    down = ServiceUnavailable("down", code="engine_unavailable")
    failing = Doubling(fault=lambda _: down)
    with pytest.raises(ServiceUnavailable):
        verified(tmp_path, lines, failing, chunk_count=2, concurrency=1)
    assert len(failing.requests) == FAILURES_IN_A_ROW_MAX
    results, errors = verified(tmp_path, lines, Doubling(), chunk_count=2, concurrency=1)
    assert (len(results), errors) == (20, [])


def test_refused_items_are_no_failure_of_the_service(tmp_path: Path) -> None:
    """However many they are: who refuses has answered."""
    odd = InvalidRequest("too odd", code="odd", http_status=422)
    fault = lambda item: odd if item.id < "9" else None  # noqa: E731 - one line
    lines: list[object] = [answered(n, f'{{"output": {2 * n}}}') for n in range(10)]
    results, errors = verified(tmp_path, lines, Doubling(fault=fault), concurrency=1)
    assert (len(results), len(errors)) == (1, 9)


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
