"""Words of a source that call for more runs: read from the source as it is, not as it is sent."""

from __future__ import annotations

import pytest

from execbox_service.operations.source_words import names_entropy, names_order

ORDER = [
    ("return list(set(names))", True),
    ("def f():\n\tset(names)", True),
    ("if x:\n\treturn hash(x)", True),
    ("\nset(x)", True),
    ("x = 'é'\tset", True),
    ("\fset(x)", True),
    ("return {'a', 'b'}", True),
    ("return {\n\t'a',\n\t'b'}", True),
    ("return {n for n in names}", True),
    ("return {n\n\tfor n in names}", True),
    ("\tid(x)", True),
    ("frozenset", True),
    ("return {'a': 1, 'b': 2}", False),
    ("return {}", False),
    ("settings = offset(2)", False),
    ("valid(x)", False),
    ("", False),
]
ENTROPY = [
    ("import random", True),
    ("def f():\n\trandom.random()", True),
    ("\n\n\tshuffle(x)", True),
    ("import uuid\nuuid.uuid4()", True),
    ("from numpy.random import rand", True),
    ("import threading", True),
    ("with ThreadPoolExecutor() as p: pass  # concurrent.futures", True),
    ("randomly = 1", False),
    ("multiple_choices = 2", False),
    ("", False),
]


@pytest.mark.parametrize(("source", "expected"), ORDER)
def test_names_order_finds_words_behind_any_white_space(source: str, expected: bool) -> None:
    """In JSON text a tab before a word is a letter before it, and hides it."""
    assert names_order([source]) is expected


@pytest.mark.parametrize(("source", "expected"), ENTROPY)
def test_names_entropy_finds_words_behind_any_white_space(source: str, expected: bool) -> None:
    """The same, of words for randomness and threads."""
    assert names_entropy([source]) is expected


def test_names_order_looks_at_every_text() -> None:
    """An expression that is evaluated may name what the source does not."""
    assert names_order(["def f(x): return x", "f(list({'a', 'b'}))"])
    assert not names_order(["def f(x): return x", "f(1)"])


def test_names_order_of_a_large_text_looks_at_its_beginning() -> None:
    """The event loop waits for it, so what is looked at is bounded."""
    assert not names_order(["x" * 100_000 + "\nset(x)"])
    assert not names_order(["x" * 100_000, "set(x)"])
    assert names_order(["x = 1\n" * 16_000 + "\nset(x)"])
