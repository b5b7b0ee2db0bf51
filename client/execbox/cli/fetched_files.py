"""Writing the files that a program left into a folder of the user's, and nowhere else.

Their names and contents are the program's choice, so nothing about them is trusted. Which of a
program's files come back is decided in the service.
"""

from __future__ import annotations

import binascii
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from execbox import wire
from execbox.cli.outcomes import CommandError, ExitCode

__all__ = ["write_fetched"]

_RESERVED_IN_WINDOWS = frozenset('\\:*?"<>|')


def write_fetched(
    files: Mapping[str, wire.FetchedFile], directory: Path, *, overwrite: bool
) -> None:
    """Write all of them, or raise CommandError with none written where one must not be.

    No link below ``directory`` is followed. What is there already is replaced only with
    ``overwrite``, and only if it is a regular file or a link, which itself is replaced.
    """
    places = {name: directory.joinpath(*_names(name)) for name in files}
    for name, place in places.items():
        _check(name, place, directory, overwrite=overwrite)
    for name, place in places.items():
        try:
            _write(place, binascii.a2b_base64(files[name].base64))
        except OSError as error:
            raise _refused(name, f"cannot be written: {error.strerror or error}") from error


def _names(path: str) -> list[str]:
    names = path.split("/")
    if "\x00" in path or not all(names) or "." in names or ".." in names:
        raise _refused(path, "is no path below the directory")
    if os.name == "nt" and any(_RESERVED_IN_WINDOWS & set(name) for name in names):
        raise _refused(path, "is no name that Windows has")
    return names


def _check(name: str, place: Path, directory: Path, *, overwrite: bool) -> None:
    for folder in _folders(place, directory):
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise _refused(name, f"{folder} is there already and is no folder")
    if not place.is_symlink() and not place.exists():
        return
    if place.is_dir() and not place.is_symlink():
        raise _refused(name, f"{place} is a folder")
    if not overwrite:
        raise _refused(name, f"{place} is there already; --force replaces it")
    if not (place.is_symlink() or place.is_file()):
        raise _refused(name, f"{place} is no regular file, and --force replaces no other")


def _folders(place: Path, directory: Path) -> Iterator[Path]:
    """Those between the directory and the file."""
    for folder in place.parents:
        if folder == directory:
            return
        yield folder


def _write(place: Path, content: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    # Unlinking removes a link, never what it points to; "x" then follows none.
    place.unlink(missing_ok=True)
    with place.open("xb") as file:
        file.write(content)


def _refused(name: str, why: str) -> CommandError:
    return CommandError(f"fetched file {name[:200]!r}: {why}", exit_code=ExitCode.MISTAKE)
