"""Which generators are called with a random generator: the rule as a table, on sources of ours."""

from __future__ import annotations

import random
from typing import Any

import pytest

from execbox_runner import seeded_argument

SOURCE = """
import functools

def none(): return []
def one(rng): return [rng]
def one_with_default(rng=None): return [rng]
def one_and_default(rng, n=3): return [rng]
def by_name(*, rng, n=3): return [rng]
def any_number(*args, **kwargs): return [*args, *kwargs.values()]
def annotated(rng: Random) -> dict: return [rng]

class Maker:
    def bound(self, rng): return [rng]
    def unbound(): return []
    def __call__(self, rng): return [rng]

bound = Maker().bound
called = Maker()
part = functools.partial(lambda n, rng: [rng], 1)
wrapped = functools.lru_cache(one)
defaults = functools.partial(one, None)
"""


@pytest.mark.parametrize(
    ("name", "is_given"),
    [
        ("none", False),
        ("one", True),
        ("one_with_default", False),
        ("one_and_default", True),
        ("by_name", True),
        ("any_number", False),
        ("annotated", True),
        ("bound", True),
        ("called", True),
        ("part", True),
        ("wrapped", True),
        ("defaults", False),
    ],
)
def test_generator_with_one_required_parameter_is_given_a_random(name: str, is_given: bool) -> None:
    """A fresh one each time, and only then; Random is bound where the source says it."""
    namespace: dict[str, Any] = {}
    seeded_argument.bind_name(namespace, SOURCE)
    exec(SOURCE, namespace)
    target = seeded_argument.given(namespace[name])
    values = [*target(), *target()]
    given = [value for value in values if type(value) is random.Random]
    assert len({id(value) for value in given}) == (2 if is_given else 0)


def test_generator_with_two_required_parameters_fails_as_it_did() -> None:
    """Nothing is guessed; the message is Python's."""

    def two(rng: object, count: object) -> None:
        return None

    with pytest.raises(TypeError, match="missing 2 required positional arguments"):
        seeded_argument.given(two)()


def test_name_of_the_source_is_left_alone() -> None:
    """A function's own Random stays what it is, and a source that says nothing of it gets none."""
    namespace: dict[str, Any] = {"Random": 1}
    seeded_argument.bind_name(namespace, "Random")
    assert namespace == {"Random": 1}
    empty: dict[str, Any] = {}
    seeded_argument.bind_name(empty, "def input_generator(): return {}")
    assert empty == {}
