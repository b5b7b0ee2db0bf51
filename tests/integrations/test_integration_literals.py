"""Values as text: what is a literal, what is equal, and what stays where it is put."""

from __future__ import annotations

import pytest

from execbox.integrations._literals import NoLiteral, literal, same_value, stays_within_brackets


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1", "1.0", True),
        ("{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}", True),
        ("{1, 2}", " {2, 1}\n", True),
        ("(1, 2)", "[1, 2]", False),
        ("Counter({'a': 1})", "Counter({'a': 1})", True),
        ("Counter({'a': 1})", "Counter({'a': 2})", False),
        ("nan", "nan", True),
        ("'a'", "a", False),
        ("", "", True),
        ("[" * 300, "[" * 300, True),
    ],
)
def test_texts_are_the_same_value(one: str, other: str, same: bool) -> None:
    """As literals where both are, else as texts."""
    assert same_value(one, other) is same


@pytest.mark.parametrize(
    "text",
    ["x", "f(1)", "1 +", "", "[" * 300 + "]" * 300, "-" * 9000 + "1", "{[]: 1}", "1" * 30_000],
)
def test_text_that_is_no_literal_is_said_to_be_none(text: str) -> None:
    """Whatever Python makes of it."""
    with pytest.raises(NoLiteral):
        literal(text)


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("1, b=[2, (3,)]", True),
        ("", True),
        ("'not ) a bracket'", True),
        ("1  # nor ) this", True),
        ("{'a': 'it''s'},\n2", True),
        ("1) or (True", False),
        ("1)", False),
        ("(1", False),
        ("1]", False),
        ("'unended", False),
        ('"""', False),
        ("\ud800", False),
        ("1)\nimport os\n(2", False),
    ],
)
def test_text_stays_within_the_brackets_of_a_call(text: str, stays: bool) -> None:
    """What closes them would make something else of the call, such as always true."""
    assert stays_within_brackets(text) is stays
