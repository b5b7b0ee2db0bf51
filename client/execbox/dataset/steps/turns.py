"""The turns of a verified record: what was answered, its verdict, and what was said of it.

Two shapes are read. Ours keeps earlier turns in ``turns``; CodeI/O's scripts keep them in
``messages``, with ``history_errors`` and ``retry_count`` beside. Making a next turn is ``revise``.
"""

from __future__ import annotations

from collections.abc import Sequence

from execbox.dataset.files.json_lines import BadRecord, Value, list_field, text_field

__all__ = ["STATUS_OF_VERDICT", "is_correct", "question_of", "turn_of", "turns_of"]

STATUS_OF_VERDICT = {"correct": "success", "incorrect": "failed", "no_answer": "no answer"}
"""``res.status`` in CodeI/O's words; every other verdict is its own status."""

_VERDICT_OF_STATUS = {status: verdict for verdict, status in STATUS_OF_VERDICT.items()}


def is_correct(value: Value) -> bool:
    """Whether a verified record's answer was right; reads CodeI/O's own files too.

    Raises ``BadRecord`` where the record has no verdict.
    """
    return _verdict(value) == "correct"


def turn_of(value: Value) -> Value:
    """The newest turn of a verified record: its response, verdict and feedback."""
    verdict, res = _verdict(value), _res(value)
    message = res.get("message")
    feedback = message if isinstance(message, str) else value.get("feedback")
    return {
        "response": text_field(value, "output"),
        "verdict": verdict,
        "feedback": feedback if isinstance(feedback, str) else "",
    }


def turns_of(value: Value) -> list[Value]:
    """The turns before the newest, oldest first.

    Those that CodeI/O's revision script made have as feedback the message that the model was
    sent, as its assembling script takes it. Raises ``BadRecord`` where the conversation is
    shorter than it should be, or is not what ``turns`` says.
    """
    turns = value.get("turns", [])
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise BadRecord('"turns" must be an array of objects', reason="invalid_field")
    statuses = _history(value)
    if not statuses and not turns:
        return []
    messages = _messages(value)
    if not statuses:
        return turns
    # Of the turns noted in the history, those before a revision of ours are in ``turns`` too.
    for count in range(len(statuses), -1, -1):
        begin = len(messages) - 2 * (len(turns) + count)
        if begin >= 1 and _stands_at(turns, messages, begin):
            later = messages[begin + 2 * len(turns) :]
            return [*turns, *_turns_in(later, statuses[len(statuses) - count :])]
        if not turns:
            break
    raise BadRecord(
        f'"messages" is too short for, or not the conversation of, the {len(turns)} turns in '
        f'"turns" and {len(statuses)} in "history_errors"',
        reason="invalid_field",
    )


def question_of(value: Value, *, earlier_count: int) -> list[Value]:
    """The messages of round 1: each revision has put two behind them.

    Raises ``BadRecord`` where there are fewer than that.
    """
    messages = _messages(value)
    count = len(messages) - 2 * earlier_count
    if count < 1:
        raise BadRecord('"messages" is shorter than "turns" says', reason="invalid_field")
    return messages[:count]


def _verdict(value: Value) -> str:
    verdict, status = value.get("verdict"), _res(value).get("status")
    if isinstance(verdict, str) and (
        not isinstance(status, str) or STATUS_OF_VERDICT.get(verdict, verdict) == status
    ):
        return verdict
    # CodeI/O's checker writes the status alone: a verdict that differs is of a round before.
    if isinstance(status, str):
        return _VERDICT_OF_STATUS.get(status, status)
    raise BadRecord('has neither "verdict" nor "res.status": verify it first', reason="unverified")


def _res(value: Value) -> Value:
    res = value.get("res")
    return res if isinstance(res, dict) else {}


def _history(value: Value) -> list[str]:
    """What CodeI/O's scripts noted of each turn before the newest, oldest first."""
    errors = value.get("history_errors") or []
    count = value.get("retry_count")
    if not isinstance(errors, list):
        raise BadRecord('"history_errors" must be an array', reason="invalid_field")
    statuses = [str(error.get("status")) if isinstance(error, dict) else "" for error in errors]
    if isinstance(count, int) and not isinstance(count, bool):
        # Only what was not right is asked again, so a turn without a note was not.
        statuses = ["failed"] * (count - len(statuses)) + statuses
    return statuses


def _messages(value: Value) -> list[Value]:
    messages = [message for message in list_field(value, "messages") if isinstance(message, dict)]
    if len(messages) != len(list_field(value, "messages")):
        raise BadRecord('"messages" must be an array of objects', reason="invalid_field")
    return messages


def _stands_at(turns: Sequence[Value], messages: Sequence[Value], begin: int) -> bool:
    """Whether the conversation from there on begins with these turns."""
    said = [message.get("content") for message in messages[begin::2][: len(turns)]]
    return said == [turn.get("response") for turn in turns]


def _turns_in(messages: Sequence[Value], statuses: Sequence[str]) -> list[Value]:
    turns: list[Value] = []
    for answer, request, status in zip(messages[::2], messages[1::2], statuses, strict=True):
        if answer.get("role") != "assistant" or request.get("role") != "user":
            raise BadRecord(
                '"messages" must end with an answer and a request for each turn of '
                '"history_errors"',
                reason="invalid_field",
            )
        turns.append(
            {
                "response": text_field(answer, "content"),
                "verdict": _VERDICT_OF_STATUS.get(status, status),
                "feedback": text_field(request, "content"),
            }
        )
    return turns
