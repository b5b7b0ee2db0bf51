"""One run of a program, in its own process: as ``python program.py`` would run it. Untrusted code.

Entered in a job process that is confined already. How a function is called instead is in ``job``.
What a fresh interpreter does and this does not is listed in ``docs/programs.md``.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import marshal
import os
import sys
import types
from base64 import b64decode, b64encode
from builtins import BaseException, SystemExit, compile, exec, getattr, int, isinstance, str, type
from importlib.machinery import SourceFileLoader
from typing import Any, NoReturn

from . import failure_report, program_files, report, source_text, values

_os_exit, _getpid = os._exit, os.getpid
_EXIT_FLUSH_FAILED = 120
_EXIT_INTERRUPTED = 130
"""A shell's status for what SIGINT ended, which is how Python ends after a KeyboardInterrupt."""
RECURSION_LIMIT = sys.getrecursionlimit()
_BUILTIN_STR = type(BaseException.__str__)
_LONG_MAX = 2**63 - 1
_AT_START = frozenset(
    {
        *("__main__", "_abc", "_codecs", "_collections_abc", "_frozen_importlib", "_imp", "_io"),
        *(
            "_frozen_importlib_external",
            "_signal",
            "_sitebuiltins",
            "_stat",
            "_thread",
            "_warnings",
        ),
        *("_weakref", "abc", "builtins", "codecs", "encodings", "genericpath", "io", "marshal"),
        *("os", "posix", "posixpath", "site", "stat", "sys", "time", "zipimport"),
    }
)
"""What an interpreter has imported before its first line: a file of the program's own that has one
of these names is not seen there, either."""


def run(program: dict[str, Any], case: dict[str, Any]) -> NoReturn:
    """Run a program as the main module, and end as it ends. Never returns."""
    open_streams()
    leader_pid = _getpid()
    known = frozenset(sys.modules)
    namespace = _surroundings(program, case)
    try:
        code = _code(program)
    except BaseException as failure:  # noqa: BLE001 - the compiler also raises MemoryError, ValueError…
        _show(failure.with_traceback(None), None)
        told = report.Report("invalid_code", error=_described(failure))
        _end(1, told, leader_pid=leader_pid)
    if program.get("compile_only"):
        text = values.to_json(b64encode(marshal.dumps(code)).decode())
        _end(0, report.Report("ok", output=text), leader_pid=leader_pid)
    exit_code, error = _run_main(code, namespace)
    del code, namespace
    if not _finish(known):
        exit_code = _EXIT_FLUSH_FAILED
    status = "ok" if error is None else "exception"
    _end(exit_code, report.Report(status, error=error), leader_pid=leader_pid)


def _code(program: dict[str, Any]) -> types.CodeType:
    if "compiled" in program:
        # Of a job of the same request; whatever it holds, this process is confined for it.
        code: types.CodeType = marshal.loads(b64decode(program["compiled"]))  # noqa: S302
        return code
    source = source_text.without_mark(program_files.read_source())
    return compile(source, program_files.PATH, "exec", dont_inherit=True)


def _surroundings(program: dict[str, Any], case: dict[str, Any]) -> dict[str, Any]:
    """The main module, its arguments and its import path; returns the module's namespace."""
    main = types.ModuleType("__main__")
    main.__dict__.update(
        __annotations__={},
        __builtins__=sys.modules["builtins"],
        __cached__=None,
        __file__=program_files.PATH,
        __loader__=SourceFileLoader("__main__", program_files.PATH),
    )
    sys.modules["__main__"] = main
    sys.argv = [program_files.NAME, *case.get("arguments", program["arguments"])]
    sys.path.insert(0, program_files.DIRECTORY)
    for name in program_files.module_names([*program["files"], *case["files"]]):
        if name not in _AT_START:
            for known in [each for each in sys.modules if each.split(".")[0] == name]:
                del sys.modules[known]
    return main.__dict__


def open_streams() -> None:
    """The three streams as an interpreter opens them whose output is a pipe."""
    sys.stdin = sys.__stdin__ = _stream(0, "r", "<stdin>")  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = _stream(1, "w", "<stdout>")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(2, "w", "<stderr>")  # type: ignore[misc]


def _stream(fd: int, mode: str, name: str) -> io.TextIOWrapper:
    buffer: Any = open(fd, f"{mode}b", closefd=False)  # noqa: SIM115 - as long as the process
    buffer.raw.name = name
    is_stderr = name == "<stderr>"
    stream: Any = io.TextIOWrapper(
        buffer,
        encoding="utf-8",
        errors="backslashreplace" if is_stderr else "surrogateescape",
        newline="\n",
        line_buffering=is_stderr,
    )
    stream.mode = mode
    return stream  # type: ignore[no-any-return]


def _run_main(code: types.CodeType, namespace: dict[str, Any]) -> tuple[int, dict[str, Any] | None]:
    """Run it; returns its exit code, and what it raised and did not catch."""
    # Below an interpreter's own main module there are no frames, and here there are ours.
    sys.setrecursionlimit(RECURSION_LIMIT + _depth() + 1)
    try:
        exec(code, namespace)
        return 0, None
    except BaseException as caught:  # noqa: BLE001 - whatever user code raises is its outcome
        error = caught
    # Outside of that block, so that what a hook raises has not happened while handling this.
    if isinstance(error, SystemExit):
        return exit_code_of(error), None
    # Without the frame of ours that called it.
    trace = error.__traceback__.tb_next if error.__traceback__ is not None else None
    described = _described(error.with_traceback(trace))
    return _show(error, trace), described


def _depth() -> int:
    frame: types.FrameType | None = sys._getframe(1)
    depth = 0
    while frame is not None:
        depth += 1
        frame = frame.f_back
    return depth


def exit_code_of(ending: SystemExit) -> int:
    """What an interpreter makes of it: handle_system_exit in CPython's pythonrun.c."""
    value: object = getattr(ending, "code", ending)
    if value is None:
        return 0
    if isinstance(value, int):
        return value & 0xFF if -_LONG_MAX - 1 <= value <= _LONG_MAX else 0xFF
    with contextlib.suppress(BaseException):
        sys.stderr.write(f"{value!s}\n")
    return 1


def _show(error: BaseException, trace: types.TracebackType | None) -> int:
    """Have the hook show what was not caught; returns the exit code that follows from it."""
    kind = type(error)
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, trace
    with contextlib.suppress(BaseException):
        sys.stdout.flush()
    try:
        sys.excepthook(kind, error, trace)
    except SystemExit as ending:
        return exit_code_of(ending)
    except BaseException as failure:  # noqa: BLE001 - the hook may be the user's
        _show_failed_hook(failure, error)
    return _EXIT_INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1


def _show_failed_hook(failure: BaseException, error: BaseException) -> None:
    with contextlib.suppress(BaseException):
        sys.stderr.write("Error in sys.excepthook:\n")
        below = failure.__traceback__.tb_next if failure.__traceback__ is not None else None
        sys.__excepthook__(type(failure), failure.with_traceback(below), below)
        sys.stderr.write("\nOriginal exception was:\n")
        sys.__excepthook__(type(error), error, error.__traceback__)


def _described(error: BaseException) -> dict[str, Any]:
    """Type, message and line. A ``__str__`` of the user's own is not called: it may print."""
    if isinstance(error, SyntaxError) and error.__traceback__ is None:
        return failure_report.describe_syntax_error(error, program_files.PATH)
    own = type(type(error).__str__) is _BUILTIN_STR
    message = str(error) if own else BaseException.__str__(error)
    line = None
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == program_files.PATH:
            line = step.tb_lineno
        step = step.tb_next
    return failure_report.in_short(error, message=message, line=line)


def _finish(known: frozenset[str]) -> bool:
    """What an interpreter does at its end, in its order; false where output could not be written.

    Threads are waited for, exit functions run, streams flushed, and what the program's modules
    held is given up, so that ``__del__`` is called as there (Py_FinalizeEx).
    """
    threading: Any = sys.modules.get("threading")
    if threading is not None:
        with contextlib.suppress(BaseException):
            threading._shutdown()
    atexit._run_exitfuncs()
    written = flush()
    for name in ("last_type", "last_value", "last_traceback", "ps1", "ps2"):
        with contextlib.suppress(AttributeError):
            delattr(sys, name)
    sys.excepthook = sys.__excepthook__
    if written:
        sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__
    sys.modules.pop("__main__", None)
    for name in [each for each in sys.modules if each not in known]:
        sys.modules.pop(name, None)
    gc.collect()
    return flush() and written


def flush() -> bool:
    flushed = True
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except BaseException as failure:  # noqa: BLE001 - the streams are the user's to break
            # That of stderr is not told of in an interpreter's end, either.
            if stream is sys.stdout:
                flushed = False
                with contextlib.suppress(BaseException):
                    told = f"{type(failure).__name__}: {failure}"
                    sys.stderr.write(f"Exception ignored in: {stream!r}\n{told}\n")
                    sys.stdout = None
    return flushed


def _end(exit_code: int, told: report.Report, *, leader_pid: int) -> NoReturn:
    flush()
    # A process that the program forked comes here, too, and has nothing to report.
    if _getpid() == leader_pid:
        with contextlib.suppress(BaseException):
            report.send(told)
    _os_exit(exit_code)
