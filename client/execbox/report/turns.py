"""Revision rounds as the paper's figure 7 has them: what became right, turn by turn.

Which verdict a turn got is read in ``answers``; pictures of it are in ``charts``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Turn", "TurnCounts"]

_TURNS_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """All questions after one turn; the five counts add up to ``question_count``.

    Of turn 1, ``becomes_right_count`` and ``becomes_wrong_count`` are 0, and ``stays_`` says how
    the first answers are. An answer that is right stays right where it is not asked for again.
    """

    number: int
    stays_right_count: int
    becomes_right_count: int
    becomes_wrong_count: int
    stays_wrong_count: int
    not_answered_count: int
    """Wrong before, and not answered again."""

    @property
    def right_count(self) -> int:
        """Questions whose newest answer is right."""
        return self.stays_right_count + self.becomes_right_count

    @property
    def question_count(self) -> int:
        """All questions, those whose answer was right before included."""
        wrong = self.becomes_wrong_count + self.stays_wrong_count + self.not_answered_count
        return self.right_count + wrong


class TurnCounts:
    """Answers by turn, and whether each was right, and the one before it."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[int, bool | None, bool]] = Counter()

    def add(self, rights: Sequence[bool]) -> None:
        """One newest answer: of each of its question's turns, oldest first, whether it is right."""
        before = rights[-2] if len(rights) > 1 else None
        # More turns than anybody takes are a file that is not what it seems.
        self._counts[min(len(rights), _TURNS_MAX), before, rights[-1]] += 1

    def add_all_of(self, rights: Sequence[bool]) -> None:
        """One question, with all its turns."""
        for count in range(1, len(rights) + 1):
            self.add(rights[:count])

    @property
    def has_first(self) -> bool:
        """Whether first answers are among them, which shares are shares of."""
        return any(number == 1 for number, _, _ in self._counts)

    def turns(self) -> list[Turn]:
        """Every turn from the first. Empty where first answers are missing, or are fewer than
        answers of later turns say: the files then are not of whole runs."""
        if not self.has_first:
            return []
        right, wrong = self._count(1, before=None, now=True), self._count(1, before=None, now=False)
        turns = [_turn(1, stays_right_count=right, stays_wrong_count=wrong)]
        for number in range(2, max(number for number, _, _ in self._counts) + 1):
            turn = _turn(
                number,
                stays_right_count=right - self._count(number, before=True, now=False),
                becomes_right_count=self._count(number, before=False, now=True),
                becomes_wrong_count=self._count(number, before=True, now=False),
                stays_wrong_count=self._count(number, before=False, now=False),
                wrong_before_count=wrong,
            )
            if turn.not_answered_count < 0 or turn.stays_right_count < 0:
                return []
            right, wrong = turn.right_count, turn.question_count - turn.right_count
            turns.append(turn)
        return turns

    def _count(self, number: int, *, before: bool | None, now: bool) -> int:
        return self._counts[number, before, now]


def _turn(
    number: int,
    *,
    stays_right_count: int,
    stays_wrong_count: int,
    becomes_right_count: int = 0,
    becomes_wrong_count: int = 0,
    wrong_before_count: int | None = None,
) -> Turn:
    answered_count = becomes_right_count + stays_wrong_count
    return Turn(
        number=number,
        stays_right_count=stays_right_count,
        becomes_right_count=becomes_right_count,
        becomes_wrong_count=becomes_wrong_count,
        stays_wrong_count=stays_wrong_count,
        not_answered_count=0 if wrong_before_count is None else wrong_before_count - answered_count,
    )
