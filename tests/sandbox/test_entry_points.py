"""What an entry point's name stands for: the rule as tables, on sources of our own, run here."""

from __future__ import annotations

from typing import Any

import pytest

from execbox_runner import entry_point

METHODS = "Solution.first, Solution.fixed, Solution.owned, Solution.cached, Solution.part"
SOLUTION = """
class Solution:
    def twoSum(self, a, b): return [self.__class__.__name__, a, b]
"""
SEVERAL = """
import collections, functools
from abc import ABC, abstractmethod
from typing import NamedTuple

def plain(a, b): return a + b
@functools.lru_cache
def kept(a, b): return a - b
product = functools.partial(max, 0)

class Solution:
    MODULO = 10
    _made = 0
    def __init__(self): Solution._made += 1; self.late = lambda a, b: ["late", a, b]
    def first(self, a, b): return ["first", a, b, self.late is not None]
    def _private(self, a, b): return ["private", a, b]
    @staticmethod
    def fixed(a, b): return ["fixed", a, b]
    @classmethod
    def owned(cls, a, b): return [cls.__name__, a, b]
    @functools.lru_cache
    def cached(self, a, b): return ["cached", a, b]
    part = functools.partialmethod(first, 7)
    @property
    def made(self): return lambda a, b: ["made", a, b]
    class Inner:
        def only(self, a, b): return ["inner", a, b]

class Base:
    def inherited(self, a, b): return ["inherited", type(self).__name__, a, b]
class Derived(Base): pass
class Overriding(Base):
    def own(self, a, b): return ["own", a, b]
class Called:
    def __call__(self, a, b): return ["called", a, b]
class Static:
    @staticmethod
    def only(a, b): return ["static", a, b]
class Described:
    size = 3
    @property
    def shown(self): return 1
    class Node: pass
    def __init__(self): self.n = 1
    def only(self, a, b): return ["described", a, b]
class Pair(NamedTuple):
    a: int
    b: int
    def total(self): return self.a + self.b
class Named(dict):
    def __init__(self, a, b): super().__init__(a=a, b=b)
    def total(self): return 0
class Made:
    def __new__(cls, a, b): return a * b
    def method(self): return 0
class Meta(type):
    def __call__(cls, a, b): return a // b
class Metered(metaclass=Meta):
    def method(self): return 0
class Bare:
    def __init__(self, a, b): self.a, self.b = a, b
class Needing:
    def __init__(self, n): self.n = n
    def method(self, a, b): return 0
    @staticmethod
    def apart(a, b): return ["apart", a, b]
class Abstract(ABC):
    @abstractmethod
    def method(self, a, b): ...
class Raising:
    def __init__(self): raise TypeError("mine")
    def method(self, a, b): return 0
solver = Needing(3)
number = 3
"""


def resolved(source: str, name: str) -> Any:
    namespace: dict[str, Any] = {"__name__": "solution"}
    exec(source, namespace)
    return entry_point.resolve(namespace, name)


def refusal(source: str, name: str) -> entry_point.NoEntryPoint:
    with pytest.raises(entry_point.NoEntryPoint) as caught:
        resolved(source, name)
    return caught.value


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("plain", 10),
        ("kept", 4),
        ("product", 7),
        ("Solution.first", ["first", 7, 3, True]),
        ("Solution._private", ["private", 7, 3]),
        ("Solution.fixed", ["fixed", 7, 3]),
        ("Solution.owned", ["Solution", 7, 3]),
        ("Solution.cached", ["cached", 7, 3]),
        ("Solution.late", ["late", 7, 3]),
        ("Solution.made", ["made", 7, 3]),
        ("Solution.Inner.only", ["inner", 7, 3]),
        ("Solution.Inner", ["inner", 7, 3]),
        ("Derived.inherited", ["inherited", "Derived", 7, 3]),
        ("Derived", ["inherited", "Derived", 7, 3]),
        ("Overriding", ["own", 7, 3]),
        ("Overriding.inherited", ["inherited", "Overriding", 7, 3]),
        ("Called", ["called", 7, 3]),
        ("Static", ["static", 7, 3]),
        ("Described", ["described", 7, 3]),
        ("Needing.apart", ["apart", 7, 3]),
        ("solver.method", 0),
        ("solver.apart", ["apart", 7, 3]),
    ],
)
def test_entry_point_is_called_as_its_name_says(name: str, result: object) -> None:
    """Functions, methods of every kind on an instance where they need one, and nested names."""
    assert resolved(SEVERAL, name)(7, 3) == result


@pytest.mark.parametrize(
    ("name", "result"),
    [("Pair", (7, 3)), ("Named", {"a": 7, "b": 3}), ("Made", 21), ("Metered", 2)],
)
def test_entry_point_that_makes_values_of_its_own_is_called_itself(
    name: str, result: object
) -> None:
    """What a class makes of its arguments can be an output, although it has a public method."""
    assert resolved(SEVERAL, name)(7, 3) == result


def test_entry_point_that_is_a_class_without_public_methods_is_called_itself() -> None:
    """As it always was; what it makes is for the encoder to refuse."""
    made = resolved(SEVERAL, "Bare")(7, 3)
    assert (type(made).__name__, made.a, made.b) == ("Bare", 7, 3)


def test_entry_point_makes_one_instance_however_often_it_is_called() -> None:
    """State that a generator keeps in its instance moves on with each draw."""
    namespace: dict[str, Any] = {"__name__": "solution"}
    exec(SEVERAL, namespace)
    target = entry_point.resolve(namespace, "Solution.first")
    assert [target(1, 2), target(3, 4)] == [["first", 1, 2, True], ["first", 3, 4, True]]
    assert namespace["Solution"]._made == 1


@pytest.mark.parametrize("name", ["Solution.fixed", "Solution.owned", "Solution.Inner.only"])
def test_entry_point_that_needs_no_instance_makes_none(name: str) -> None:
    """A constructor costs time and may raise: static and class methods do without."""
    namespace: dict[str, Any] = {"__name__": "solution"}
    exec(SEVERAL, namespace)
    entry_point.resolve(namespace, name)
    assert namespace["Solution"]._made == 0


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        (
            "Solution",
            "TypeError",
            f"is a class with 5 public methods; name the one to call: {METHODS}",
        ),
        (
            "Solution.First",
            "AttributeError",
            f"it defines {METHODS}: name one of them as entry_point",
        ),
        (
            "Solution.Outer.only",
            "AttributeError",
            f"it defines {METHODS}: name one of them as entry_point",
        ),
        (
            "plain.more",
            "AttributeError",
            "the source defines no plain.more, which is the entry point",
        ),
        ("Needing.nothing", "AttributeError", "it defines Needing.method, Needing.apart: name"),
        ("number", "TypeError", "the entry point number is not callable"),
        ("Solution.MODULO", "TypeError", "the entry point Solution.MODULO is not callable"),
        (
            "Needing.method",
            "TypeError",
            "no instance of Needing can be made without arguments (Needing.__init__() missing 1",
        ),
        ("Abstract", "TypeError", "no instance of Abstract can be made without arguments (Can't"),
        ("Pair.total", "TypeError", "an expression instead, such as Pair(1).total(2)"),
    ],
)
def test_entry_point_that_cannot_be_called_says_what_there_is(
    name: str, kind: str, says: str
) -> None:
    """The class, its methods and what to write instead are in the message."""
    refused = refusal(SEVERAL, name)
    assert refused.kind == kind
    assert says in str(refused)


@pytest.mark.parametrize(
    ("source", "offered"),
    [
        (SOLUTION, "Solution.twoSum"),
        ("import collections\nfrom collections import deque\n" + SOLUTION, "Solution.twoSum"),
        ("from textwrap import dedent\n" + SOLUTION, "Solution.twoSum"),
        ("def helper(n): return n\n" + SOLUTION, "helper, Solution.twoSum"),
        ("import functools\n@functools.cache\ndef kept(n): return n\n", "kept"),
        (
            "def a(): 0\ndef b(): 0\ndef c(): 0\ndef d(): 0\ndef e(): 0\ndef f(): 0\n",
            "e and 1 more",
        ),
        ("class Data:\n    n = 1\n", None),
        ("import math\n", None),
        ("del __name__\n", None),
    ],
)
def test_entry_point_that_is_missing_names_what_the_source_itself_defines(
    source: str, offered: str | None
) -> None:
    """Functions and methods of its own; nothing that it only imports."""
    says = "the source defines no main_solution, which is the entry point"
    if offered is not None:
        text = str(refusal(source, "main_solution"))
        assert text.startswith(f"{says}; it defines ")
        assert text.endswith(f"{offered}: name one of them as entry_point")
    else:
        assert str(refusal(source, "main_solution")) == says


def test_entry_point_whose_constructor_raises_is_the_users_exception() -> None:
    """Also a TypeError: it comes out of the constructor, and not of how that was called."""
    with pytest.raises(TypeError, match=r"^mine$"):
        resolved(SEVERAL, "Raising.method")
