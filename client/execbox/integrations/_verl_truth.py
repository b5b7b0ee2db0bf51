"""verl's ``ground_truth``: which cases it holds, and the programs that they are cases of.

What is checked there but has no case here is refused: a key that is passed over makes right
responses wrong.
"""

from __future__ import annotations

import json
import keyword
from collections.abc import Mapping
from numbers import Number
from typing import Any, Final

from execbox import strict_json
from execbox.errors import InvalidRequest
from execbox.integrations._scores import listed

__all__ = ["OF_CODE", "arguments", "asserts", "has", "printed", "program_that_calls", "texts"]

OF_CODE: Final = frozenset({"tests", "assert_case", "fn_name", "inputs", "outputs"})
"""Keys that say what a response's code has to do; the others are of a prediction."""

_MODULES = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random"),
    *("statistics", "itertools", "functools", "operator", "io", "sys", "json"),
)
_NAMES_ONLY = ("builtins", "typing")
_NAMES = "".join(f"from {module} import *\n" for module in (*_MODULES, *_NAMES_ONLY))
# What it needs is bound before the response's code runs, which is not ``__main__``: what that
# prints in its own main block is not what the function gives.
_CALL = """
def execbox_call(
    code, name, *, names=globals(), modules=sys.modules, text=sys.stdin.read, loads=json.loads,
    dumps=json.dumps, run=exec, build=compile, show=print, member=getattr, is_a=isinstance,
    plain=(bool, dict, list, tuple, type(None)), said=str,
):
    arguments = [loads(line) for line in text().split("\\n") if line.strip()]
    names["__name__"] = "solution"
    modules["solution"] = modules["__main__"]
    imported = names.get(name)
    run(build(code, "<response>", "exec", dont_inherit=True), names)
    called = names.get(name)
    if called is imported:
        called = member(names["Solution"](), name)
    given = called(*arguments)
    show(dumps(given) if is_a(given, plain) else said(given))
"""


def texts(values: object, *, name: str) -> list[str]:
    """Stdins or stdouts. A number is its text; what has several texts is refused."""
    found = listed(values, name=name)
    for index, value in enumerate(found):
        if not isinstance(value, str | Number):
            raise InvalidRequest(
                f"ground_truth: {name}[{index}] is {str(value)[:80]!r}; give the text itself"
            )
    return [str(value) for value in found]


def asserts(truth: Mapping[str, Any]) -> list[str]:
    """Those of ``assert_case``; empty where it gives none. With an input or an output besides,
    which verl would check as well, it is refused."""
    given = [text for text in _listed_in(truth, "assert_case") if text]
    if not given:
        return []
    beside = [*_listed_in(truth, "inputs"), *_listed_in(truth, "outputs")]
    if truth.get("fn_name") or any(value not in (None, "") for value in beside):
        raise InvalidRequest(
            "ground_truth has assert_case beside inputs, outputs or fn_name; give only one kind"
        )
    return [str(text) for text in given]


def has(truth: Mapping[str, Any], *names: str) -> bool:
    """Whether it gives all of these. A row of a table has the keys of all rows, so null is none."""
    return all(truth.get(name) is not None for name in names)


def _listed_in(truth: Mapping[str, Any], name: str) -> list[Any]:
    return list(listed(truth[name], name=name)) if has(truth, name) else []


def arguments(values: object) -> list[str]:
    """The inputs of calls: each has an argument in JSON on every line."""
    found = [printed(value) for value in listed(values, name="inputs")]
    for index, text in enumerate(found):
        for line in filter(str.strip, text.split("\n")):
            try:
                strict_json.decode(line)
            except ValueError as error:
                raise InvalidRequest(
                    f"ground_truth: inputs[{index}] has a line that is not JSON, which with "
                    f"fn_name is one of its arguments: {error}"
                ) from error
    return found


def printed(value: object) -> str:
    """What verl prints of what a function gives, so also what a right one has to give."""
    if value is None or isinstance(value, bool | Mapping | list | tuple):
        return json.dumps(value)
    return str(value)


def program_that_calls(name: object, code: str) -> str:
    """A program that calls the function, or method of ``Solution``, of this name with the
    arguments that it reads, and prints what that gives, as verl's does. The code has the names
    that it has there."""
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise InvalidRequest(f"ground_truth: fn_name is {str(name)[:80]!r}, which is no name")
    return f"{_NAMES}import {', '.join(_MODULES)}\n{_CALL}\nexecbox_call({code!r}, {name!r})\n"
