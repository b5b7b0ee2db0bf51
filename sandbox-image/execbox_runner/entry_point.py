"""What is called: an entry point's name to the function, class or method that the sources define.

The rule is here and nowhere else; `execbox certify` has it applied by its name, in the sandbox. It
runs after the sources did, so user code runs in it and may have replaced what names reach.
"""

from __future__ import annotations

import functools
import types
from builtins import (
    BaseException,
    Exception,
    TypeError,
    callable,
    classmethod,
    enumerate,
    getattr,
    hasattr,
    isinstance,
    issubclass,
    len,
    list,
    object,
    staticmethod,
    str,
    super,
    type,
)
from typing import Any

from . import failure_report

_NAMED_MAX = 5
_MISSING = object()
_FUNCTIONS = (types.FunctionType, type(functools.lru_cache(len)))
_OF_CLASSES = (staticmethod, classmethod)
_METHODS = (classmethod, functools.partialmethod, functools.singledispatchmethod)
"""Of these, what a class body binds cannot be called itself."""
# The slots themselves, because a metaclass may hide them behind its own.
_bases_of: Any = type.__dict__["__mro__"].__get__
_names_of: Any = type.__dict__["__dict__"].__get__
_traceback_of: Any = BaseException.__dict__["__traceback__"].__get__


class NoEntryPoint(Exception):
    """The sources have nothing that can be called by the name; the text says what they have."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        """The exception that Python would raise."""


def resolve(namespace: dict[str, Any], name: str) -> Any:
    """What to call for ``name``, which may have dots, in the namespace of sources that have run.

    A method is called on an instance that is made here, without arguments. A class stands for its
    one public method, unless calling it is what makes a value: one with a ``__new__`` of its own,
    as lists and named tuples have, or without public methods. Raises ``NoEntryPoint``, and
    whatever a constructor of the user's raises.
    """
    path, *rest = str.split(name, ".")
    found = namespace.get(path, _MISSING)
    if found is _MISSING:
        raise NoEntryPoint("NameError", _missing(name, _offered(namespace)))
    for count, part in enumerate(rest, start=1):
        owner = found
        if count == len(rest) and _is_class(owner):
            found = _member(owner, part, path=path)
        else:
            found = getattr(owner, part, _MISSING)
        if found is _MISSING:
            offered = _dotted(path, owner) if _is_class(owner) else []
            raise NoEntryPoint("AttributeError", _missing(name, offered))
        path = f"{path}.{part}"
    if _is_class(found) and not _gives_values(found):
        found = _only_method(found, path=name)
    if not callable(found):
        raise NoEntryPoint("TypeError", f"the entry point {name} is not callable")
    return found


def _is_class(value: Any) -> bool:
    # The real type, because an instance may say that its class is any.
    return issubclass(type(value), type)


def _gives_values(cls: Any) -> bool:
    """Whether calling the class can give anything but a plain instance, which is no JSON."""
    return cls.__new__ is not object.__new__ or type(cls).__call__ is not type.__call__


def _member(cls: Any, part: str, *, path: str) -> Any:
    """An attribute of the class that ``path`` names: its own where that is enough, else bound."""
    bound = _MISSING
    for base in _bases_of(cls):
        bound = _names_of(base).get(part, _MISSING)
        if bound is not _MISSING:
            break
    needs_instance = hasattr(type(bound), "__get__") and not isinstance(bound, _OF_CLASSES)
    if bound is not _MISSING and not needs_instance:
        return getattr(cls, part)
    try:
        return getattr(_instance(cls, part, path=path), part, _MISSING)
    except NoEntryPoint:
        if bound is _MISSING:
            return _MISSING
        raise


def _instance(cls: Any, part: str, *, path: str) -> Any:
    try:
        return cls()
    except TypeError as error:
        # Raised by the call itself, not in the constructor: it takes arguments, or is abstract.
        if _traceback_of(error).tb_next is not None:
            raise
        raise NoEntryPoint(
            "TypeError",
            f"the entry point {path}.{part} is a method, and no instance of {path} can be made "
            f"without arguments ({failure_report.message_of(error)}); give the call as an "
            f"expression instead, such as {path}(1).{part}(2)",
        ) from None


def _only_method(cls: Any, *, path: str) -> Any:
    methods = _public_methods(cls)
    if not methods:
        return cls
    if len(methods) > 1:
        raise NoEntryPoint(
            "TypeError",
            f"the entry point {path} is a class with {len(methods)} public methods; name the one "
            f"to call: {_listed([f'{path}.{method}' for method in methods])}",
        )
    return _member(cls, methods[0], path=path)


def _public_methods(cls: Any) -> list[str]:
    """Of the class itself or, where it has none, of the nearest base that has any; in order."""
    for base in _bases_of(cls)[:-1]:
        members = list(_names_of(base).items())
        names = [name for name, bound in members if _is_public(name, bound)]
        if names:
            return names
    return []


def _is_public(name: Any, bound: Any) -> bool:
    if type(name) is not str or (str.startswith(name, "_") and name != "__call__"):
        return False
    is_method = callable(bound) and hasattr(type(bound), "__get__") and not _is_class(bound)
    return is_method or isinstance(bound, _METHODS)


def _offered(namespace: dict[str, Any]) -> list[str]:
    """Functions that the sources define, and the public methods of their classes."""
    functions, methods = [], []
    ours = namespace.get("__name__")
    for key, value in list(namespace.items()):
        if type(key) is not str:
            continue
        if type(value) in _FUNCTIONS and value.__module__ == ours:
            functions.append(key)
        elif _is_class(value) and _names_of(value).get("__module__") == ours:
            methods += _dotted(key, value)
    return functions + methods


def _dotted(path: str, cls: Any) -> list[str]:
    return [f"{path}.{method}" for method in _public_methods(cls)]


def _missing(name: str, offered: list[str]) -> str:
    says = f"the source defines no {name}, which is the entry point"
    if not offered:
        return says
    return f"{says}; it defines {_listed(offered)}: name one of them as entry_point"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return str.join(", ", names[:_NAMED_MAX]) + more
