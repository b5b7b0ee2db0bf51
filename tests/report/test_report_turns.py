from __future__ import annotations

from execbox.report.turns import Turn, TurnCounts


def _counted(*answers: list[bool]) -> list[Turn]:
    counts = TurnCounts()
    for rights in answers:
        counts.add(rights)
    return counts.turns()


def _numbers(turn: Turn) -> tuple[int, ...]:
    return (
        turn.stays_right_count,
        turn.becomes_right_count,
        turn.becomes_wrong_count,
        turn.stays_wrong_count,
        turn.not_answered_count,
    )


def test_turns_of_first_answers_only_are_one_turn() -> None:
    """Three right, one wrong."""
    (turn,) = _counted([True], [True], [True], [False])
    assert (turn.number, _numbers(turn)) == (1, (3, 0, 0, 1, 0))


def test_turns_after_a_revision_say_what_became_right() -> None:
    """Of three wrong ones one became right, one stayed wrong, one was not answered again."""
    turns = _counted([True], [False], [False], [False], [False, True], [False, False])
    assert [_numbers(turn) for turn in turns] == [(1, 0, 0, 3, 0), (1, 1, 0, 1, 1)]
    assert [turn.right_count for turn in turns] == [1, 2]
    assert [turn.question_count for turn in turns] == [4, 4]


def test_turns_of_right_answers_asked_again_can_become_wrong() -> None:
    """Other people's revisions ask everything again."""
    turns = _counted([True], [True], [False], [True, False], [True, True], [False, True])
    assert [_numbers(turn) for turn in turns] == [(2, 0, 0, 1, 0), (1, 1, 1, 0, 0)]


def test_turns_go_on_from_the_turn_before() -> None:
    """Three rounds; the order of the files does not matter."""
    turns = _counted([False, False, True], [False], [False], [True], [False, False], [False, True])
    assert [turn.right_count for turn in turns] == [1, 2, 3]
    assert {turn.question_count for turn in turns} == {3}


def test_turns_without_first_answers_are_none() -> None:
    """A share needs what it is a share of."""
    assert _counted([False, True]) == []


def test_turns_of_more_revisions_than_wrong_answers_are_none() -> None:
    """These are no files of one run, or one of them is there twice."""
    assert _counted([True], [False, True]) == []


def test_turns_of_a_whole_question_count_each_of_them() -> None:
    """As a training record holds it."""
    counts = TurnCounts()
    counts.add_all_of([False, True])
    counts.add_all_of([True])
    assert [_numbers(turn) for turn in counts.turns()] == [(1, 0, 0, 1, 0), (1, 1, 0, 0, 0)]
