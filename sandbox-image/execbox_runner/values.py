"""Live Python objects to strict JSON text, inside the job. Knows nothing of limits but a size.

User code has run before this does and may have replaced anything reachable by name, so every
builtin and encoder used here was bound when the module was imported, in the zygote. Subclasses
of JSON types are written by what they hold, never through methods they override.
"""

from __future__ import annotations

import json.decoder
import json.encoder
import math
import sys
from builtins import (
    UnicodeEncodeError,
    bool,
    bytearray,
    bytes,
    dict,
    float,
    frozenset,
    id,
    int,
    issubclass,
    len,
    list,
    map,
    max,
    min,
    set,
    sorted,
    str,
    sum,
    tuple,
    type,
    zip,
)
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

DEPTH_MAX = 64
"""Same as the API's limit for a request, so that every output can be sent back as an input."""
INT_DIGITS_MAX = 4300
"""Python's own default for text conversion (sys.int_info.default_max_str_digits)."""
_TOO_DEEP = f"nested deeper than {DEPTH_MAX} levels"
_INT_BOUND = 10**INT_DIGITS_MAX
_INT_BITS_SAFE = 14_000  # fewer bits than this are always fewer digits than the bound
_CONVERTED = (set, frozenset, bytes, bytearray, Decimal)
_PLAIN_TYPES = frozenset({bool, int, float, str, type(None)})
_c_make_encoder: Any = json.encoder.__dict__["c_make_encoder"]
_encode_string: Any = json.encoder.encode_basestring
_isfinite, _copysign = math.isfinite, math.copysign
# The slot itself, because a metaclass may have a __name__ of its own.
_name_of: Any = type.__dict__["__name__"].__get__
_scan: Any = json.decoder.JSONDecoder().scan_once  # type: ignore[attr-defined]
_set_int_max_str_digits = sys.set_int_max_str_digits


class Unserializable(Exception):
    """The value has no strict JSON form; the text says which part and why."""


class TooLarge(Exception):
    """The JSON text would be longer than the limit; raised before it is built."""


@dataclass(frozen=True)
class Encoded:
    """The JSON text of a value, and whether it holds NaN or infinities."""

    text: bytes
    non_finite: bool


def _make_encoder(*, allow_nan: bool) -> Any:
    return _c_make_encoder(None, None, _encode_string, None, ":", ",", False, False, allow_nan)


_strict_encoder = _make_encoder(allow_nan=False)
_lenient_encoder = _make_encoder(allow_nan=True)


def encode(value: Any, *, limit_bytes: int, convert: str) -> Encoded:
    """Write a value as compact JSON in UTF-8.

    Raises Unserializable or TooLarge. The time it takes is bounded by ``limit_bytes``, also for
    objects whose text would be exponentially larger than they are.
    """
    _set_int_max_str_digits(INT_DIGITS_MAX)
    walk = _Walk(limit_bytes=limit_bytes, convert=convert)
    plain = walk.plain(value, 0)
    encoder = _lenient_encoder if walk.non_finite else _strict_encoder
    try:
        text: bytes = "".join(encoder(plain, 0)).encode()
    except UnicodeEncodeError:
        raise Unserializable("a string holds a lone surrogate, which UTF-8 cannot carry") from None
    if len(text) > limit_bytes:
        raise TooLarge(f"the output is {len(text)} bytes of JSON, the limit is {limit_bytes}")
    return Encoded(text, walk.non_finite)


def to_json(value: Any) -> bytes:
    """Write a value that is already made of exact JSON types, such as a report's header."""
    return "".join(_lenient_encoder(value, 0)).encode()


def from_json(data: bytes) -> Any:
    """Decode JSON text written by the service, whatever user code has done to the json module."""
    return _scan(data.decode(), 0)[0]


class _Walk:
    """Copies a value into exact JSON types, counting a lower bound of its text as it goes.

    What it has copied it does not copy again: an object that is in many places, or in itself, costs
    no more time than one that is in one.
    """

    def __init__(self, *, limit_bytes: int, convert: str) -> None:
        self.non_finite = False
        self._limit_bytes = limit_bytes
        self._bytes_left = limit_bytes
        self._convert = convert
        self._copied: dict[int, _Copy] = {}
        self._inside: set[int] = set()
        """The containers that it is in the middle of: one that comes again contains itself."""
        self._depth_reached = 0

    def plain(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            self._spend(len(value) + 2)
            return value
        if kind is int:
            self._spend(1)
            return _checked_int(value)
        if kind is float:
            self._spend(3)
            if not _isfinite(value):
                self.non_finite = True
            return value
        if value is None or kind is bool:
            self._spend(4)
            return value
        return self._container_or_other(value, depth)

    def _spend(self, count: int) -> None:
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise TooLarge(f"the output is more than {self._limit_bytes} bytes of JSON")

    def _container_or_other(self, value: Any, depth: int) -> Any:
        # By type(value), because an object can lie about its __class__.
        kind = type(value)
        if issubclass(kind, (dict, list, tuple)):
            return self._container(value, depth)
        # numpy.float64 is a float, IntEnum members are ints: what json.dumps does with them too.
        if issubclass(kind, str):
            return self.plain(str.__str__(value), depth)
        if issubclass(kind, int):
            return self.plain(int.__int__(value), depth)
        if issubclass(kind, float):
            return self.plain(float.__float__(value), depth)
        return self._converted(value, depth)

    def _container(self, value: Any, depth: int) -> Any:
        key = id(value)
        copied = self._copied.get(key)
        if copied is not None:
            if depth + copied.height > DEPTH_MAX:
                raise Unserializable(_TOO_DEEP)
            self._depth_reached = max(self._depth_reached, depth + copied.height)
            self._spend(copied.spent_bytes)
            return copied.plain
        if key in self._inside:
            raise Unserializable("it contains itself, and JSON text would have no end")
        if depth >= DEPTH_MAX:
            raise Unserializable(_TOO_DEEP)
        self._inside.add(key)
        left_bytes, reached = self._bytes_left, self._depth_reached
        self._depth_reached = depth + 1
        kind = type(value)
        if issubclass(kind, dict):
            plain: Any = self._object(value, depth)
        elif issubclass(kind, (set, frozenset)):
            plain = sorted(self._array(_members(value), depth), key=_lenient_text)
        else:
            plain = self._array(_members(value), depth)
        self._inside.discard(key)
        height = self._depth_reached - depth
        self._depth_reached = max(reached, self._depth_reached)
        self._copied[key] = _Copy(value, plain, height, left_bytes - self._bytes_left)
        return plain

    def _array(self, items: list[Any], depth: int) -> list[Any]:
        self._spend(2 + max(0, len(items) - 1))
        kinds = set(map(type, items))
        if kinds == {str}:
            self._spend(sum(map(len, items)) + 2 * len(items))
            return items
        if kinds == {float} and _all_finite(items):
            self._spend(3 * len(items))
            return items
        if kinds == {int} and min(items) > -_INT_BOUND and max(items) < _INT_BOUND:
            self._spend(len(items))
            return items
        return [self.plain(item, depth + 1) for item in items]

    def _object(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        self._spend(2 + max(0, dict.__len__(value) - 1))
        result: dict[str, Any] = {}
        for key, item in dict.items(value):
            name = _key_text(key)
            if name in result:
                raise Unserializable(f"two keys become the same JSON key {_shown(name)}")
            self._spend(len(name) + 3)
            result[name] = self.plain(item, depth + 1)
        return result

    def _converted(self, value: Any, depth: int) -> Any:
        kind, name = type(value), _type_name(value)
        numpy = sys.modules.get("numpy")
        of_numpy = numpy is not None and issubclass(kind, (numpy.generic, numpy.ndarray))
        if self._convert != "codeio":
            remedy = ""
            if of_numpy or issubclass(kind, _CONVERTED):
                remedy = '; return it as another type, or ask for convert: "codeio"'
            raise Unserializable(f"an object of type {name} has no JSON form{remedy}")
        if issubclass(kind, (set, frozenset)):
            return self._container(value, depth)
        if issubclass(kind, (bytes, bytearray)):
            return self.plain(bytes(value).decode("utf-8", "backslashreplace"), depth)
        if issubclass(kind, Decimal):
            if Decimal.is_snan(value):
                # It raises where it is made a float, as if the function had.
                raise Unserializable("a signaling NaN has no JSON form, nor a codeio conversion")
            return self.plain(Decimal.__float__(value), depth)
        if of_numpy:
            python_value = value.tolist()
            if type(python_value) is not kind:
                return self.plain(python_value, depth)
        raise Unserializable(f"an object of type {name} has no JSON form, nor a codeio conversion")


class _Copy:
    """A container that has been copied; the original is kept, so that its id stays its own."""

    __slots__ = ("height", "original", "plain", "spent_bytes")

    def __init__(self, original: Any, plain: Any, height: int, spent_bytes: int) -> None:
        self.original = original
        self.plain = plain
        self.height = height
        self.spent_bytes = spent_bytes


def _members(value: Any) -> list[Any]:
    kind = type(value)
    if issubclass(kind, list):
        return list.copy(value)
    if issubclass(kind, tuple):
        return list(tuple.__iter__(value))
    return list(set.__iter__(value) if issubclass(kind, set) else frozenset.__iter__(value))


def _all_finite(items: list[float]) -> bool:
    """Whether no member is NaN or infinite: a sum shows it without a Python loop, unless it
    overflows, and then the slow path gives the right answer."""
    return _isfinite(sum(items))


def _checked_int(value: int) -> int:
    if int.bit_length(value) > _INT_BITS_SAFE and not -_INT_BOUND < value < _INT_BOUND:
        raise Unserializable(f"an integer has more than {INT_DIGITS_MAX} digits")
    return value


def _key_text(key: Any) -> str:
    """What json.dumps makes of a key: numbers, booleans and None become their JSON text."""
    kind = type(key)
    if issubclass(kind, str):
        return str.__str__(key)
    if key is None or key is True or key is False:
        return {None: "null", True: "true", False: "false"}[key]
    if issubclass(kind, int):
        return int.__repr__(_checked_int(int.__int__(key)))
    if issubclass(kind, float):
        return _lenient_text(float.__float__(key))
    raise Unserializable(f"a dict key of type {_type_name(key)} has no JSON form")


def _type_name(value: Any) -> str:
    kind = type(value)
    name: str = _name_of(kind)
    numpy = sys.modules.get("numpy")
    # numpy has a bool, an int64 and more whose bare names say the wrong thing.
    if numpy is not None and issubclass(kind, (numpy.generic, numpy.ndarray)):
        name = f"{name} (of numpy)"
    return name[:200]


def _shown(text: str) -> str:
    return str.__repr__(text[:60])


def _lenient_text(value: Any) -> str:
    return "".join(_lenient_encoder(value, 0))


def same_value(before: Any, after: Any) -> bool:
    """Whether an argument is still what it was, types included. No method of ``after`` is called.

    ``before`` is a fresh decoding of the argument's JSON text, so it bounds the work.
    """
    pending = [(before, after)]
    while pending:
        old, new = pending.pop()
        kind = type(old)
        if type(new) is not kind:
            return False
        if kind in _PLAIN_TYPES:
            if kind is float and old != old and new != new:
                continue  # One NaN is as good as the other, though they are never equal.
            if old != new or (kind is float and _copysign(1.0, old) != _copysign(1.0, new)):
                return False
        elif len(old) != len(new):
            return False
        elif kind is dict:
            for (old_key, old_item), (new_key, new_item) in zip(
                old.items(), new.items(), strict=True
            ):
                if type(new_key) is not str or old_key != new_key:
                    return False
                pending.append((old_item, new_item))
        else:
            pending.extend(zip(old, new, strict=True))
    return True
