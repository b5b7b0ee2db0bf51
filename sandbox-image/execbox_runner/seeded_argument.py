"""The one argument that an input generator may ask for: a random generator of its draw. In a job.

reasoning_gym's generators are ``generate_inputs(rng)``, where ``rng`` is a ``random.Random``, and
their sources name ``Random`` without importing it.
"""

from __future__ import annotations

import random
import types
from collections.abc import Callable
from typing import Any

_Random = random.Random


def bind_name(namespace: dict[str, Any], source: str) -> None:
    """Let a generator's source say ``Random`` in an annotation."""
    if "Random" in source:
        namespace.setdefault("Random", _Random)


def given(target: Callable[..., Any]) -> Callable[[], Any]:
    """``target``, called with a ``random.Random`` if it requires exactly one argument.

    Each call gets one of its own, seeded from the entropy of the process, which in a draw is a
    function of seed and attempt.
    """
    name = _only_required(target)
    if name is None:
        return target

    def called() -> Any:
        if name:
            return target(**{name: _Random()})
        return target(_Random())

    return called


def _only_required(target: Any) -> str | None:
    """The name of a keyword-only argument, "" for a positional one; None unless it is the only
    one without a default."""
    if type(target) is types.FunctionType:
        code, bound = target.__code__, 0
    elif type(target) is types.MethodType and type(target.__func__) is types.FunctionType:
        target, bound = target.__func__, 1
        code = target.__code__
    else:
        return _only_required_of_any(target)
    positional = code.co_argcount - bound - len(target.__defaults__ or ())
    names = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    by_name = [name for name in names if name not in (target.__kwdefaults__ or {})]
    return _the_one(positional, by_name)


def _only_required_of_any(target: Any) -> str | None:
    # Imported here: it is large, and nearly all generators are plain functions.
    import inspect

    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return None
    required = [each for each in parameters if each.default is each.empty]
    by_name = [each.name for each in required if each.kind is each.KEYWORD_ONLY]
    positional = [each for each in required if each.kind <= each.POSITIONAL_OR_KEYWORD]
    return _the_one(len(positional), by_name)


def _the_one(positional_count: int, by_name: list[str]) -> str | None:
    if positional_count + len(by_name) != 1:
        return None
    return by_name[0] if by_name else ""
