"""Regular expressions that Python reads alike in every version that is promised.

Of ``(?:…)*+``, Python before 3.11.5 keeps what the last, failing repetition took, where that ended
within a repeat, a lookahead or a choice (https://github.com/python/cpython/issues/106052). Debian
12's is one of those (3.11.2-6+deb12u8) until it has its security updates (deb12u9).
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import execbox
import execbox_service

_PARSER: Any = importlib.import_module("re._parser")
_ONE_CHARACTER = {"LITERAL", "NOT_LITERAL", "ANY", "IN"}
_REPEATS = {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if found.name.endswith("__main__"):
            continue
        try:
            yield importlib.import_module(found.name)
        except ImportError:
            # Of an extra that is not installed here.
            continue


def _patterns() -> dict[str, re.Pattern[Any]]:
    return {
        f"{module.__name__}.{name}": value
        for package in (execbox, execbox_service)
        for module in _modules(package)
        for name, value in vars(module).items()
        if isinstance(value, re.Pattern)
    }


def _risky(tree: Any) -> bool:
    """Whether a possessive group is within, of which an old Python may keep a part."""
    for operation, value in tree:
        if str(operation) == "POSSESSIVE_REPEAT" and not _fails_at_its_beginning(value[2]):
            return True
        if any(_risky(part) for part in _parts(value)):
            return True
    return False


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, _PARSER.SubPattern):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _parts(each)


def _fails_at_its_beginning(body: Any) -> bool:
    if len(body) == 1 and str(body[0][0]) == "BRANCH":
        return all(_takes_it_whole(each) for each in body[0][1][1])
    return _takes_it_whole(body)


def _takes_it_whole(sequence: Any) -> bool:
    """Single characters; a repeat of one alone, or at the end, where it cannot fail."""
    for place, (operation, value) in enumerate(sequence):
        if str(operation) in _ONE_CHARACTER:
            continue
        if str(operation) not in _REPEATS or str(value[2][0][0]) not in _ONE_CHARACTER:
            return False
        last = place == len(sequence) - 1
        if len(value[2]) != 1 or not last or (value[0] > 0 and place > 0):
            return False
    return True


@pytest.mark.parametrize(
    ("pattern", "risky"),
    [
        (r"\s*+a", False),
        (r'"(?:[^"\\]++|\\.)*+"', False),
        (r"(?:[eE][-+]|[\w.])*+", False),
        (r"(?:a|\#[^\n]*+)++", False),
        (r"(?>(?:ab?c)*)", False),
        (r"(?:ab?c)?+", True),
        (r"/\*(?:[^*]++|\*(?!/))*+\*/", True),
        (r"(?:\.\d++)?+", True),
        (r"((?:x(?:ab|cd))*+)", True),
        (r"(?:\\u[0-9]{4})++", True),
    ],
)
def test_risk_of_a_pattern_is_seen(pattern: str, risky: bool) -> None:
    """The one of the issue is, and so is each kind that was in use."""
    assert _risky(_PARSER.parse(pattern)) is risky


def test_no_pattern_is_read_otherwise_by_an_old_python() -> None:
    """Every one that a module of ours has as a name."""
    patterns = _patterns()
    assert len(patterns) > 50
    found = [
        name for name, each in patterns.items() if _risky(_PARSER.parse(each.pattern, each.flags))
    ]
    assert found == []
