"""Options made from the fields of the API's models: type, range, default and help are theirs.

So a limit is typed out once, in ``wire.Limits``, and the command line cannot say anything else.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from execbox import wire
from execbox.cli.outcomes import CommandError

__all__ = [
    "LIMIT_NAMES",
    "add_limit_options",
    "add_number_option",
    "checked_limit",
    "given_limits",
    "limits_of",
]

_MIB, _KIB = 1024 * 1024, 1024
_OF_FIELD = object()

_LIMIT_FIELDS = wire.ProgramLimits.model_fields | wire.Limits.model_fields
LIMIT_NAMES = tuple(_LIMIT_FIELDS)
"""Every limit that some command has an option for."""


def add_number_option(
    group: argparse._ActionsContainer,
    model: type[BaseModel],
    name: str,
    *,
    default: object = None,
    shown_default: object = _OF_FIELD,
    text: str | None = None,
) -> None:
    """``--name-of-the-field N``; reading a value out of the field's range is a ``CommandError``.

    ``default`` is what is parsed where the option is left out, ``shown_default`` what the help
    says then holds (without it: the ``default``, or the field's), ``text`` replaces the field's
    description.
    """
    field = model.model_fields[name]
    if shown_default is _OF_FIELD:
        shown_default = field.default if default is None else default
    least, most = _range(field)
    shown = [_range_text(name, least, most)] if most is not None and most < 2**53 else []
    if shown_default is not None:
        shown.append(f"default {_quantity(name, shown_default)}")
    described = (text or field.description or "").rstrip(".")
    group.add_argument(
        f"--{name.replace('_', '-')}",
        type=_within_range(name, field),
        default=default,
        metavar="N",
        help=described + (f" ({'; '.join(shown)})" if shown else ""),
    )


def add_limit_options(
    parser: argparse.ArgumentParser,
    *,
    names: Sequence[str] = tuple(wire.Limits.model_fields),
    defaults: wire.Limits | None = None,
) -> None:
    """An option for each limit of these names, such as ``--cpu-time-s``; ``defaults`` are what
    the help shows, and ``limits_of`` is to be given them too."""
    group = parser.add_argument_group("limits of each execution")
    for name in names:
        shown = getattr(defaults or wire.Limits(), name)
        add_number_option(group, wire.Limits, name, shown_default=shown)


def checked_limit(name: str, value: object) -> float:
    """``value`` if the limit may have it; ValueError says what it must be."""
    least, most, whole = _bounds(_LIMIT_FIELDS[name])
    is_number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if is_number and least <= value <= (float("inf") if most is None else most):  # type: ignore[operator]
        return value  # type: ignore[return-value]
    raise ValueError(f"{_kind(whole=whole)} {_range_text(name, least, most)}")


def given_limits(args: argparse.Namespace) -> wire.Limits | None:
    """The limits that were given, without the others; None, the service's own, if none was."""
    given = _given(args)
    return wire.Limits.model_validate(given) if given else None


def limits_of(args: argparse.Namespace, *, defaults: wire.Limits | None = None) -> wire.Limits:
    """The limits that were given, and ``defaults`` for the others."""
    return (defaults or wire.Limits()).model_copy(update=_given(args))


def _given(args: argparse.Namespace) -> dict[str, Any]:
    found = {name: getattr(args, name, None) for name in wire.Limits.model_fields}
    return {name: value for name, value in found.items() if value is not None}


def _parts(field: FieldInfo) -> Iterator[tuple[Any, Sequence[Any]]]:
    """The types a field may have, each with its constraints."""
    yield field.annotation, field.metadata
    for option in get_args(field.annotation):
        if get_origin(option) is Annotated:
            type_, *metadata = get_args(option)
            yield type_, [each for info in metadata for each in getattr(info, "metadata", [info])]


def _range(field: FieldInfo) -> tuple[float, float | None]:
    bounds = {type(bound).__name__: bound for _, found in _parts(field) for bound in found}
    return bounds["Ge"].ge, bounds["Le"].le if "Le" in bounds else None


def _bounds(field: FieldInfo) -> tuple[float, float | None, bool]:
    """The least and the greatest that it may be, and whether only whole numbers."""
    return *_range(field), any(type_ is int for type_, _ in _parts(field))


def _kind(*, whole: bool) -> str:
    return "a whole number" if whole else "a number"


def _within_range(name: str, field: FieldInfo) -> Callable[[str], float]:
    least, most, whole = _bounds(field)

    def read(text: str) -> float:
        try:
            number = int(text) if whole else float(text)
        except ValueError:
            number = float("nan")
        # A comparison with what is no number is never true.
        if not least <= number <= (float("inf") if most is None else most):
            # Not one of argparse's own, which would bury it below every option there is.
            raise CommandError(
                f"--{name.replace('_', '-')} must be {_kind(whole=whole)} "
                f"{_range_text(name, least, most)}, not {text[:40]!r}"
            )
        return number

    return read


def _range_text(name: str, least: float, most: float | None) -> str:
    if most is None:
        return f"from {_quantity(name, least)}"
    return f"from {_quantity(name, least)} to {_quantity(name, most)}"


def _quantity(name: str, number: object) -> str:
    if not isinstance(number, int | float):
        return str(number)
    if name.endswith("_bytes") and number >= _KIB:
        unit, text = (_MIB, "MiB") if number % _MIB == 0 else (_KIB, "KiB")
        return f"{number / unit:g} {text}"
    return str(number) if isinstance(number, int) else f"{number:g}"
