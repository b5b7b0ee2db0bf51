"""Files that commands are given on the command line, read whole; ``-`` is standard input.

Streams of records are read in ``execbox.dataset.files``; what a file means is up to the command.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
import tokenize
from itertools import islice
from pathlib import Path

from execbox import strict_json, wire
from execbox.cli.outcomes import CommandError
from execbox.dataset.files.records import document_kind, no_lines
from execbox.dataset.files.sources import unpacked_bytes

__all__ = ["json_lines", "read_bytes", "source_text", "stdin_content", "utf8_text"]


def json_lines(name: str, *, may_be_arrays: bool) -> list[str]:
    """Lines of a file in UTF-8, plain or gzip, with or without a byte order mark.

    ``may_be_arrays`` says that a line of the file may be an array. Raises CommandError, and
    DatasetError for other formats, among them one JSON document over several lines.
    """
    content = read_bytes(name)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise CommandError(f"{name}: is UTF-16, as PowerShell's > writes it; save it as UTF-8")
    content = unpacked_bytes(content, name)
    try:
        # Only at line feeds: in JSON text, U+2028 and its like are characters as others are.
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise CommandError(f"{name}, line {line}: is not UTF-8: {error.reason}") from error
    _refuse_document(lines, name, may_be_arrays=may_be_arrays)
    return lines


def _refuse_document(lines: list[str], name: str, *, may_be_arrays: bool) -> None:
    texts = islice((line.strip() for line in lines if line.strip()), 2)
    first, second = next(texts, ""), next(texts, None)
    what = document_kind(first.encode(), alone=second is None)
    if what == "array" and may_be_arrays:
        try:
            strict_json.decode(first, non_finite=True)
        except ValueError:
            pass
        else:
            return
    if what is not None:
        raise no_lines(what, name)


def source_text(name: str) -> str:
    """Python source; a file may declare its encoding, else it is UTF-8. Raises CommandError."""
    source = read_bytes(name)
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        return io.TextIOWrapper(io.BytesIO(source), encoding).read()
    except (SyntaxError, UnicodeDecodeError) as error:
        raise CommandError(f"{name}: not readable as Python source: {error}") from error


def read_bytes(name: str) -> bytes:
    """All of a file; ``-`` is standard input. Raises CommandError where it cannot be read."""
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise CommandError(f"{name}: cannot be read: {error.strerror or error}") from error


def utf8_text(name: str) -> str:
    """A file in UTF-8 as it is, line ends included. Raises CommandError."""
    content = read_bytes(name)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CommandError(f"{name}: is not UTF-8: {error.reason} at byte {error.start}") from error


def stdin_content(text: str | None, name: str | None) -> wire.Content | None:
    """What ``--stdin TEXT`` or ``--stdin-file FILE`` gives; None for neither."""
    if name is None:
        return None if text is None else _content(os.fsencode(text))
    return _content(read_bytes(name))


def _content(data: bytes) -> wire.Content:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return wire.Base64Content.of(data)
