"""The answers made in 22 styles: nothing that is meant is read as something else."""

from __future__ import annotations

import json

from acceptance.answer_styles import STYLES, answers, compared, table

from execbox_service.answers.extraction import extract


def test_answers_in_every_style_are_read_as_they_are_meant() -> None:
    """22 styles, 660 answers: a draft, a thought and a placeholder are never the answer."""
    outcomes = compared(list(answers(660)), {"now": extract})
    assert len(STYLES) == 22
    assert {style: outcome.right["now"] for style, outcome in outcomes.items()} == dict.fromkeys(
        STYLES, 30
    )


def test_answers_are_the_same_for_the_same_seed() -> None:
    """A figure can be made again."""
    assert list(answers(50, seed=1)) == list(answers(50, seed=1))
    assert list(answers(50, seed=1)) != list(answers(50, seed=2))


def test_table_of_two_extractors_counts_what_changed() -> None:
    """One that finds nothing differs from one that does in every answer."""
    made = list(answers(44))
    outcomes = compared(made, {"before": lambda *_, **__: None, "now": extract})
    shown = table(outcomes, ["before", "now"]).splitlines()
    assert shown[-1] == "| all | 44 | 0 | 0 | 44 | 0 | 44 |"
    assert len(shown) == 2 + len(STYLES) + 1
    assert json.dumps(shown)
