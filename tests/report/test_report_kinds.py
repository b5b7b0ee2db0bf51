from __future__ import annotations

from typing import Any

import pytest

from execbox.report.kinds import Kind, kind_of

_TURN = {"response": "4", "verdict": "incorrect", "feedback": "no"}
_ON = {"isolation": "container", "engine": "docker", "image": "sha256:0", "queue_time_s": 0.0}
_LINES: list[tuple[dict[str, Any], Kind]] = [
    ({"refcode": "f", "ios": []}, Kind.PAIRS),
    ({"refcode": "f", "input_generator": "g"}, Kind.FUNCTION),
    ({"messages": [], "itemid": 0, "io": {}, "refcode": "f"}, Kind.QUESTION),
    ({"messages": [], "output": "4"}, Kind.ANSWER),
    ({"messages": [], "output": "4", "verdict": "correct"}, Kind.VERIFIED),
    ({"messages": [], "output": "4", "res": {"status": "failed"}}, Kind.VERIFIED),
    ({"messages": [], "output": "4", "turns": [_TURN], "verdict": "timeout"}, Kind.VERIFIED),
    ({"prompt": "?", "turn_1": "4", "outcome": "correct"}, Kind.TRAINING),
    ({"messages": [], "outcome": "wrong"}, Kind.TRAINING),
    ({"ended": "answered", "transcript": [], "verdict": "correct", "blocks": []}, Kind.INTERPRETED),
    ({"file": "a", "line": 1, "reason": "timeout", "message": "no"}, Kind.FAILURE),
    ({"step": "verify", "counts": {}, "failures": {}, "elapsed_s": 1.0}, Kind.SUMMARY),
    ({"output": "train.jsonl", "rounds": [], "stages": []}, Kind.CHAIN),
    ({"problem_count": 1, "passes": [], "outcomes": {}}, Kind.SCORE),
    ({"overall": {}, "groups": {}, "no_answer": 0.0, "score": {}}, Kind.LEETCODE_SCORE),
    ({"id": "0", "mode": "input", "outcomes": ["correct"]}, Kind.CRUXEVAL_VERDICTS),
    ({"id": "0", "question": "1", "sample": 1, "verdict": "correct"}, Kind.LEETCODE_VERDICTS),
    ({"executions": [], **_ON}, Kind.EXECUTE),
    ({"id": "1", "op": "generate", "pairs": [], "rejected": {}, **_ON}, Kind.GENERATE),
    ({"items": [], **_ON}, Kind.VERIFY),
    ({"runs": [], **_ON}, Kind.RUN),
    (
        {"line": 1, "status": "ok", "exit_code": 0, "usage": None, "verdict": "correct"},
        Kind.CASE,
    ),
    ({"cell": 1, "status": "ok", "session_lost": False, "usage": {}}, Kind.CELL),
    ({"id": "1", "op": "run", "error": {"code": "x", "message": "y"}}, Kind.NO_ANSWER),
    ({"code": "f", "input": "1", "output": "2"}, Kind.OTHER),
    ({}, Kind.OTHER),
]


@pytest.mark.parametrize(("line", "kind"), _LINES, ids=lambda given: str(given)[:60])
def test_kind_of_a_line_is_seen_by_what_it_holds(line: dict[str, Any], kind: Kind) -> None:
    """As each step, the service and ``--json`` write it."""
    assert kind_of(line) is kind


def test_kinds_are_all_told_apart_above() -> None:
    """A new kind gets a line here."""
    assert {kind for _, kind in _LINES} == set(Kind)
