"""Counting a model's answers: verified ones by verdict and turn, training records, conversations.

Reads what ``verify``, ``assemble`` and ``interpret`` write, and answers of ``/v1/verify``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from execbox import wire
from execbox.dataset.files.json_lines import BadRecord, Value, list_field, text_field
from execbox.dataset.steps.turns import is_correct, turn_of, turns_of
from execbox.report.counts import Spread, WordCounts
from execbox.report.turns import TurnCounts

__all__ = ["ConversationCounts", "TrainingCounts", "VerifiedCounts"]

_KINDS = {"i": "input", "o": "output"}
_TURNS_MAX = 100


def _asked_for(value: Value) -> str:
    """What was to be predicted, as scores call it."""
    return _KINDS.get(str(value.get("io_pred")), "other")


class VerifiedCounts:
    """Verified answers, of whichever turns."""

    def __init__(self) -> None:
        self.count = 0
        self.verdicts: defaultdict[str, WordCounts] = defaultdict(WordCounts)
        """By what was asked for: ``input``, ``output`` or ``other``."""
        self.turns = TurnCounts()
        self.models = WordCounts()
        self.answer_chars = Spread()

    def add(self, value: Value) -> bool | None:
        """One verified record; whether it is right if it is a first answer, else None.

        Raises ``BadRecord``, and counts nothing then.
        """
        turn = turn_of(value)
        rights = [*(_is_right(earlier) for earlier in turns_of(value)), is_correct(value)]
        self.count += 1
        self.verdicts[_asked_for(value)].add(str(turn["verdict"]))
        self.turns.add(rights)
        self.answer_chars.add(len(str(turn["response"])))
        if isinstance(value.get("model"), str):
            self.models.add(str(value["model"]))
        return rights[-1] if len(rights) == 1 else None

    def add_item(self, item: wire.VerifiedItem) -> None:
        """One item of an answer of ``/v1/verify`` that has a verdict."""
        if item.verdict is not None:
            self.count += 1
            self.verdicts["other"].add(item.verdict)


class TrainingCounts:
    """Training records by how they ended, and their turns where they are in fields."""

    def __init__(self) -> None:
        self.outcomes: defaultdict[str, WordCounts] = defaultdict(WordCounts)
        """By what was asked for: ``input``, ``output`` or ``other``."""
        self.turns = TurnCounts()
        self.record_chars = Spread()

    def add(self, value: Value) -> None:
        """One record, of either form. Raises ``BadRecord``, and counts nothing then."""
        outcome = text_field(value, "outcome")
        if "messages" in value:
            chars = sum(_content_chars(message) for message in list_field(value, "messages"))
        else:
            texts = [text for text in value.values() if isinstance(text, str)]
            chars = sum(map(len, texts))
            self.turns.add_all_of(_rights_of(value, outcome))
        self.record_chars.add(chars)
        self.outcomes[_asked_for(value)].add(outcome)


class ConversationCounts:
    """Conversations of ``interpret``: how they ended, and their blocks."""

    def __init__(self) -> None:
        self.ended = WordCounts()
        self.verdicts = WordCounts()
        self.blocks = WordCounts()
        """Blocks of code by status."""

    def add(self, value: Value) -> None:
        """One conversation. Raises ``BadRecord``, and counts nothing then."""
        ended = text_field(value, "ended")
        blocks = list_field(value, "blocks")
        for place, block in enumerate(blocks):
            if not isinstance(block, dict):
                raise BadRecord(f"blocks[{place}] must be an object", reason="invalid_field")
        self.ended.add(ended)
        if isinstance(value.get("verdict"), str):
            self.verdicts.add(str(value["verdict"]))
        for block in blocks:
            if isinstance(block, dict):
                self.blocks.add(str(block.get("status")))


def _is_right(turn: Value) -> bool:
    return turn.get("verdict") == wire.Verdict.CORRECT


def _rights_of(value: Value, outcome: str) -> Sequence[bool]:
    """Whether each turn of a record in fields is right: only what was wrong was asked again."""
    count = 0
    while count < _TURNS_MAX and isinstance(value.get(f"turn_{count + 1}"), str):
        count += 1
    if not count:
        raise BadRecord('"turn_1" must be text', reason="invalid_field")
    return [False] * (count - 1) + [outcome in ("correct", "corrected")]


def _content_chars(message: object) -> int:
    content = message.get("content") if isinstance(message, dict) else None
    return len(content) if isinstance(content, str) else 0
