"""Where a program and its files are in a sandbox: the source, what is given, what is fetched.

The source is written by the supervisor, once for all cases; what a case is given by its own job
process, before the filter; what it left is read by a child under the job's identity, when every
process of the job has ended.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import re
import stat
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

DIRECTORY = "/tmp"
NAME = "program.py"
PATH = f"{DIRECTORY}/{NAME}"
_ENTRIES_MAX = 20_000
"""Looked at in all: a hostile program can leave as many as the file system has inodes."""
_DEPTH_MAX = 32
_LEFT_OUT_MAX = 100
_FILES_MAX = 1000
_PATH_BYTES_MAX = 1024
_READ_BYTES = 256 * 1024


def write_source(source: bytes | memoryview, *, name: str) -> None:
    """Put the program where jobs find it; root's, so that no job can change or remove it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(os.path.join(DIRECTORY, name), flags, 0o644)
    try:
        view = memoryview(source)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)


def remove_source(name: str) -> None:
    """Take it away again."""
    os.unlink(os.path.join(DIRECTORY, name))


def read_source() -> str:
    """The program's text, in a job."""
    fd = os.open(PATH, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(fd, os.lseek(fd, 0, os.SEEK_END), 0).decode()
    finally:
        os.close(fd)


def write_given(*given: Mapping[str, str]) -> None:
    """Write files, given as base64 by path, as this process's user; later ones replace earlier."""
    files = {path: data for each in given for path, data in each.items()}
    for path, data in files.items():
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(os.path.join(DIRECTORY, folder), exist_ok=True)
        with open(os.path.join(DIRECTORY, path), "xb") as file:
            file.write(b64decode(data))


def put_bytes(path: str, content: bytes) -> bytes:
    """A file to write as ``write_put`` reads it."""
    name = path.encode()
    return len(name).to_bytes(4) + name + content


def write_put(fd: int) -> None:
    """Write the file that a memory file holds, as this process's user; replaces a file, no link."""
    data = os.pread(fd, os.lseek(fd, 0, os.SEEK_END), 0)
    start = 4 + int.from_bytes(data[:4])
    path = os.path.join(DIRECTORY, data[4:start].decode())
    os.makedirs(os.path.dirname(path), exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    target = os.open(path, flags, 0o644)
    if not stat.S_ISREG(os.fstat(target).st_mode):
        raise OSError("it is not a regular file")
    _write_all(target, data[start:])


def module_names(paths: Iterable[str]) -> set[str]:
    """The modules and packages that files in the working directory can be imported as."""
    return {path.partition("/")[0].removesuffix(".py") for path in paths if path.endswith(".py")}


@dataclass
class _Found:
    """What of the files is sent, and what is not, and why."""

    bytes_left: int
    sizes: dict[str, int] = field(default_factory=dict)
    parts: list[bytes] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def leave_out(self, path: str, reason: str) -> None:
        if len(self.left_out) < _LEFT_OUT_MAX:
            self.left_out.append((path, reason))
        elif len(self.left_out) == _LEFT_OUT_MAX:
            self.left_out.append(("", f"more than {_LEFT_OUT_MAX} files are left out"))


@dataclass(frozen=True)
class FetchRequest:
    """Which files are sent, and how many bytes of them at most."""

    globs: list[str]
    bytes_max: int
    source_name: str | None
    """Not sent: what a program is run from, which is no file of its own. A session has none."""


def request_bytes(request: FetchRequest) -> bytes:
    """A request as ``read_request`` reads it."""
    return json.dumps(vars(request)).encode()


def read_request(fd: int) -> FetchRequest:
    """The request that a memory file holds."""
    return FetchRequest(**json.loads(os.pread(fd, os.lseek(fd, 0, os.SEEK_END), 0)))


def send_matching(fd: int, request: FetchRequest) -> None:
    """Write the files that match to ``fd``: the length of a JSON header, the header, the bytes.

    Only regular files are read, and no link is followed. A ``*`` matches within one name, ``**``
    any number of folders.
    """
    pattern = "|".join(f"(?:{_pattern(glob)})" for glob in request.globs)
    matches = re.compile(pattern).fullmatch
    found = _Found(request.bytes_max)
    os.chdir(DIRECTORY)
    for path in _paths(found):
        if path != request.source_name and matches(path):
            _take(found, path)
    told = {"sizes": found.sizes, "left_out": found.left_out}
    header = json.dumps(told, ensure_ascii=False).encode()
    _write_all(fd, len(header).to_bytes(4))
    _write_all(fd, header)
    for part in found.parts:
        _write_all(fd, part)


def _pattern(glob: str) -> str:
    """One glob as a regular expression; ``fnmatch`` writes each name's so that none is slow."""
    parts = []
    names = glob.split("/")
    for index, name in enumerate(names):
        last = index == len(names) - 1
        if name == "**":
            parts.append("[^\\x00]*" if last else "(?:[^/]+/)*")
            continue
        within = fnmatch.translate(name).removeprefix("(?s:").removesuffix(")\\Z")
        # A name has no slash; what fnmatch writes for * and ? would match one.
        within = within.replace(".*?", "[^/]*?").replace(".*", "[^/]*")
        parts.append(f"(?:{within})" + ("" if last else "/"))
    return "".join(parts)


def _paths(found: _Found) -> Iterator[str]:
    """Every entry that is no folder, in the order of names, folders' own entries after it."""
    pending = [""]
    seen_count = 0
    while pending:
        folder = pending.pop()
        try:
            names = sorted(os.listdir(os.fsencode(folder or ".")))
        except OSError as error:
            found.leave_out(folder, f"the folder cannot be read: {os.strerror(error.errno or 0)}")
            continue
        below = []
        for raw in names:
            seen_count += 1
            if seen_count > _ENTRIES_MAX:
                found.leave_out("", f"of more than {_ENTRIES_MAX} files the rest is not looked at")
                return
            path = os.path.join(folder, os.fsdecode(raw))
            if not _is_text(path):
                found.leave_out(_shown(path), "its name is not UTF-8")
            elif _is_folder(path):
                below.append(path)
            else:
                yield path
        if below and folder.count("/") + 1 >= _DEPTH_MAX:
            found.leave_out(below[0], f"folders are looked into {_DEPTH_MAX} deep")
            continue
        pending.extend(reversed(below))


def _take(found: _Found, path: str) -> None:
    if len(found.sizes) >= _FILES_MAX:
        found.leave_out(path, f"{_FILES_MAX} files are the most")
        return
    if len(path.encode()) > _PATH_BYTES_MAX:
        found.leave_out(path[:100], f"its path is longer than {_PATH_BYTES_MAX} bytes")
        return
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        found.leave_out(path, _why_not(path, error))
        return
    with contextlib.closing(os.fdopen(fd, "rb", buffering=0)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            found.leave_out(path, "it is not a regular file")
        elif status.st_size > found.bytes_left:
            found.leave_out(
                path,
                f"its {status.st_size} bytes are more than what is left of limits.files_bytes",
            )
        else:
            data = b"".join(iter(lambda: file.read(_READ_BYTES), b""))
            found.parts.append(data)
            found.sizes[path] = len(data)
            found.bytes_left -= len(data)


def _why_not(path: str, error: OSError) -> str:
    if os.path.islink(path):
        return "it is a symbolic link"
    return f"it cannot be read: {os.strerror(error.errno or 0)}"


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
