"""`execbox.toml`: addresses, key files and limits for the command line. No key is ever in it.

Found in the working directory or one above it, or named with ``--config`` or ``EXECBOX_CONFIG``.
What an option or the environment says comes before it; that order is kept in ``execbox.config``.
"""

from __future__ import annotations

import argparse
import os
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from execbox.cli.command_parser import meant
from execbox.cli.outcomes import CommandError
from execbox.cli.wire_options import LIMIT_NAMES, checked_limit
from execbox.config import Fallback, MixedNodesRule, named_config_file

__all__ = ["FILE_NAME", "Settings", "add_config_option", "read_settings", "use_limits"]

FILE_NAME = "execbox.toml"

_FILE_BYTES_MAX = 1024 * 1024
_NONE: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the file says; nothing where there is none."""

    path: Path | None = None
    service: Fallback = field(default_factory=Fallback)
    model: Fallback = field(default_factory=Fallback)
    limits: Mapping[str, float] = field(default_factory=lambda: _NONE)
    names: tuple[str, ...] = ()
    """What is set in it, such as ``limits.memory_mb``."""


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """``--config``."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help=f"addresses and limits, as docs/command-line.md describes them (default: "
        f"EXECBOX_CONFIG, or {FILE_NAME} in this directory or one above)",
    )


def read_settings(named: str | None) -> Settings:
    """What the file of that name says, or that of ``EXECBOX_CONFIG``, or one that is found.

    Raises CommandError for a file that cannot be read or says what cannot be.
    """
    given = named or named_config_file()
    path = _found() if given is None else Path(given)
    if path is None:
        return Settings()
    path = path.absolute()
    found = {name: _read(name, value, path) for name, value in _flat(_members(path))}
    return _settings(found, path, is_found=given is None)


def use_limits(args: argparse.Namespace, settings: Settings) -> None:
    """Put the file's limits where the command has options for them that were not given."""
    for name, value in settings.limits.items():
        if getattr(args, name, value) is None:
            setattr(args, name, value)


def _found() -> Path | None:
    try:
        here = Path.cwd()
    except FileNotFoundError:  # The directory has been removed.
        return None
    for folder in (here, *here.parents):
        path = folder / FILE_NAME
        if path.is_file():
            _refuse_others_file(path)
            return path
    return None


def _refuse_others_file(path: Path) -> None:
    """Another user's file, left where every user may write, would say where code is sent."""
    owner = path.stat().st_uid
    if hasattr(os, "getuid") and owner not in (0, os.getuid()):
        raise CommandError(
            f"{path}: belongs to a different user (id {owner}), so it is not used unasked; if it "
            f"is meant, name it: --config {path}"
        )


def _members(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode) and (
                os.fstat(file.fileno()).st_size > _FILE_BYTES_MAX
            ):
                raise CommandError(f"{path}: is longer than {_FILE_BYTES_MAX} bytes")
            return tomllib.loads(file.read(_FILE_BYTES_MAX).decode("utf-8"))
    except OSError as error:
        raise CommandError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{path}: is not UTF-8: {error.reason} at {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise CommandError(f"{path}: is no TOML: {error}") from error


def _flat(members: Mapping[str, object], *, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every setting with its table's name before it, such as ``model.name``."""
    for name, value in members.items():
        if isinstance(value, dict) and not prefix:
            yield from _flat(value, prefix=f"{name}.")
        else:
            yield f"{prefix}{name}", value


def _read(name: str, value: object, path: Path) -> object:
    """A setting's value, or CommandError that says what it must be; the value is no secret."""
    if name in ("api_key", "model.api_key"):
        raise CommandError(
            f"{path}: {name}: a key does not belong into a file that is shared and committed; put "
            f'it into a file of its own and say {name}_file = "PATH"'
        )
    read = _READERS.get(name)
    if read is None:
        raise CommandError(f"{path}: unknown setting {name[:100]}{_guess(name)}")
    try:
        return read(value)
    except ValueError as error:
        raise CommandError(f"{path}: {name} must be {error}, not {value!r:.100}") from error


def _guess(name: str) -> str:
    bare = name.rpartition(".")[2]
    elsewhere = [known for known in _READERS if known.rpartition(".")[2] == bare]
    if elsewhere:
        return f"; did you mean {elsewhere[0]}?"
    return meant(name, _READERS) or f"; known are {', '.join(_READERS)}"


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("text")
    return value.strip()


def _addresses(value: object) -> str:
    if isinstance(value, list) and value:
        return ",".join(map(_text, value))
    return _text(value)


def _mixed_nodes(value: object) -> str:
    if value not in get_args(MixedNodesRule):
        raise ValueError(" or ".join(get_args(MixedNodesRule)))
    return str(value)


_READERS: Mapping[str, Callable[[object], object]] = {
    "url": _addresses,
    "mixed_nodes": _mixed_nodes,
    "api_key_file": _text,
    "model.url": _text,
    "model.name": _text,
    "model.api_key_file": _text,
    **{f"limits.{name}": partial(checked_limit, name) for name in LIMIT_NAMES},
}


def _settings(found: Mapping[str, Any], path: Path, *, is_found: bool) -> Settings:
    def beside(text: str | None) -> Path | None:
        return None if text is None else path.parent / Path(text).expanduser()

    url = found.get("url")
    if url is not None and url.startswith("@"):
        url = f"@{beside(url[1:].strip())}"
    return Settings(
        path=path,
        service=Fallback(
            url=url,
            mixed_nodes=found.get("mixed_nodes"),
            api_key_file=beside(found.get("api_key_file")),
            file=path,
            is_found=is_found,
        ),
        model=Fallback(
            url=found.get("model.url"),
            model=found.get("model.name"),
            api_key_file=beside(found.get("model.api_key_file")),
            file=path,
            is_found=is_found,
        ),
        limits={
            name.removeprefix("limits."): value
            for name, value in found.items()
            if name.startswith("limits.")
        },
        names=tuple(found),
    )
