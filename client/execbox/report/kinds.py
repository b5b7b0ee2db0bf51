"""What a line of a run's files is, seen by what it holds; what it counts for is in ``reading``."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from execbox.dataset.files.json_lines import Value

__all__ = ["Kind", "kind_of"]


class Kind(StrEnum):
    """What one line is. The value is how people call several of them."""

    FAILURE = "records without a result"
    """Of ``OUTPUT.errors.jsonl``."""
    TRAINING = "training records"
    INTERPRETED = "conversations"
    """Of ``interpret``."""
    SUMMARY = "summaries of runs"
    """What a step prints with ``--json``."""
    CHAIN = "summaries of pipelines"
    SCORE = "scores"
    """What ``score`` prints with ``--json``."""
    LEETCODE_SCORE = "LeetCode-O scores"
    CRUXEVAL_VERDICTS = "CRUXEval verdicts"
    LEETCODE_VERDICTS = "LeetCode-O verdicts"
    EXECUTE = "answers of execute"
    """An answer of ``/v1/execute``, a line of ``/v1/batch`` or of ``execbox run --json``."""
    GENERATE = "answers of generate"
    VERIFY = "answers of verify"
    RUN = "answers of run"
    CASE = "cases of a program"
    """A line of ``execbox exec --cases --json``."""
    CELL = "cells of a session"
    """A line of ``execbox repl --json``."""
    NO_ANSWER = "requests without an answer"
    """A line of ``/v1/batch`` with an error."""
    VERIFIED = "verified answers"
    ANSWER = "answers that are not verified"
    PAIRS = "functions with pairs"
    QUESTION = "questions"
    FUNCTION = "functions without pairs"
    OTHER = "other objects"


def kind_of(value: Value) -> Kind:
    """The first kind that fits. What is in the members is looked at where it is counted."""
    return next((kind for kind, fits in _KINDS if fits(value)), Kind.OTHER)


def _has(*names: str) -> Callable[[Value], bool]:
    wanted = frozenset(names)
    return lambda value: wanted <= value.keys()


def _is_training(value: Value) -> bool:
    return "turn_1" in value or isinstance(value.get("outcome"), str)


def _is_failure(value: Value) -> bool:
    return isinstance(value.get("reason"), str) and isinstance(value.get("message"), str)


def _is_verified(value: Value) -> bool:
    res = value.get("res")
    status = res.get("status") if isinstance(res, dict) else None
    return isinstance(value.get("verdict"), str) or isinstance(status, str)


def _is_pairs(value: Value) -> bool:
    return isinstance(value.get("ios"), list)


# The more telling first: a training record has messages too, and a verified answer its pair.
_KINDS: tuple[tuple[Kind, Callable[[Value], bool]], ...] = (
    (Kind.SUMMARY, _has("step", "counts", "failures", "elapsed_s")),
    (Kind.CHAIN, _has("stages", "rounds")),
    (Kind.SCORE, _has("problem_count", "passes", "outcomes")),
    (Kind.LEETCODE_SCORE, _has("overall", "groups", "score")),
    (Kind.CRUXEVAL_VERDICTS, _has("mode", "outcomes")),
    (Kind.LEETCODE_VERDICTS, _has("question", "sample", "verdict")),
    (Kind.EXECUTE, _has("executions", "engine")),
    (Kind.GENERATE, _has("pairs", "rejected", "engine")),
    (Kind.VERIFY, _has("items", "engine")),
    (Kind.RUN, _has("runs", "engine")),
    (Kind.CASE, _has("line", "status", "exit_code", "usage")),
    (Kind.CELL, _has("cell", "status", "session_lost")),
    (Kind.INTERPRETED, _has("ended", "transcript")),
    (Kind.FAILURE, _is_failure),
    (Kind.TRAINING, _is_training),
    (Kind.VERIFIED, _is_verified),
    (Kind.NO_ANSWER, lambda value: isinstance(value.get("error"), dict)),
    (Kind.ANSWER, lambda value: isinstance(value.get("output"), str) and "messages" in value),
    (Kind.PAIRS, _is_pairs),
    (Kind.QUESTION, _has("messages")),
    (Kind.FUNCTION, _has("refcode")),
)
