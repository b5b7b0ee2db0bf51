"""Files as SandboxFusion has them: base64 by path, and paths to send back. Pure.

Both are relative to the working directory, which is ``/tmp`` here: absolute paths below it are
taken as well.
"""

from __future__ import annotations

import base64
import binascii
import posixpath
from collections.abc import Iterable, Mapping
from typing import Any, Final

from execbox.wire import ErrorCode
from execbox_service.failures import CallerMistake

__all__ = ["EVERY_FILE", "exact_globs", "given_files", "path_inside"]

_WORKING_DIRECTORY: Final = "/tmp/"  # noqa: S108 - the sandbox's, not ours
_NOT_WRITTEN: Final = "IGNORE_THIS_FILE"
_GLOB_SPECIAL: Final = str.maketrans({char: f"[{char}]" for char in "*?["})
_GLOBS_MAX: Final = 20
EVERY_FILE: Final = "**"


def path_inside(path: str) -> str | None:
    """The path relative to the working directory; None where it leads out of it, or is none."""
    plain = posixpath.normpath(path) if path and "\x00" not in path else ""
    plain = plain.removeprefix(_WORKING_DIRECTORY)
    if plain in ("", ".", "..") or plain.startswith(("/", "../")):
        return None
    return plain


def given_files(files: Mapping[str, str | None]) -> dict[str, dict[str, str]]:
    """The files of a request as ``/v1/run`` has them. Raises CallerMistake."""
    given = {}
    for path, content in files.items():
        if content is None or _NOT_WRITTEN in path:
            continue
        plain = path_inside(path)
        if plain is None:
            raise _mistake(f"files: {path!r:.100} is not a path below the working directory")
        try:
            # As lenient as the contract's own server: what is no base64 in it is passed over.
            data = base64.b64decode(content)
        except (binascii.Error, ValueError) as error:
            raise _mistake(f"files[{path!r:.100}]: must be base64: {error}") from error
        given[plain] = {"base64": base64.b64encode(data).decode()}
    return given


def exact_globs(paths: Iterable[str]) -> list[str]:
    """What to fetch for these paths: each by its name, or all files where they are many."""
    plain = dict.fromkeys(filter(None, map(path_inside, paths)))
    globs = [path.translate(_GLOB_SPECIAL) for path in plain]
    too_long = any(len(glob) > 200 for glob in globs)
    return [EVERY_FILE] if len(globs) > _GLOBS_MAX or too_long else globs


def _mistake(problem: str) -> CallerMistake:
    detail: Any = {"problems": [problem], "problem_count": 1}
    return CallerMistake(ErrorCode.INVALID_REQUEST, problem, detail=detail)
