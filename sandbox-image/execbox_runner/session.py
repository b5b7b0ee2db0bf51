"""One session's interpreter, in its own process: cell after cell in one namespace. Untrusted code.

Entered in a job process that is confined already, and lives until its session ends. Cells arrive
on the descriptor that a program would read as stdin, which user code does not get to see under
that number; how long a cell may take, and that nothing runs between two, is the supervisor's.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import io
import linecache
import os
import signal
import sys
import types
from base64 import b64encode
from builtins import (
    BaseException,
    KeyboardInterrupt,
    SystemExit,
    any,
    eval,
    isinstance,
    len,
    max,
    str,
    type,
)
from typing import Any, NoReturn

from . import failure_report, preludes, program, report, source_text, values
from .cell_source import CellCompiler
from .confine import RESULT_FD
from .protocol import LENGTH_BYTES, NONCE_BYTES, SESSION_READY

_REPR_CHARS_MAX = 20_000
_MEDIA_BYTES_MAX = 8 * 1024 * 1024
_MEDIA_MAX = 20
_os_exit, _os_read, _os_write, _getpid = os._exit, os.read, os.write, os.getpid
_getrecursionlimit, _setrecursionlimit = sys.getrecursionlimit, sys.setrecursionlimit
_get_int_max_str_digits = sys.get_int_max_str_digits
_set_int_max_str_digits = sys.set_int_max_str_digits
_in_cell = False


def serve(settings: dict[str, Any]) -> NoReturn:
    """Run cells until the supervisor closes their descriptor. Never returns."""
    leader_pid = _getpid()
    cells_fd = _hide_cells()
    program.open_streams()
    stdout = sys.stdout
    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = sys.modules["builtins"]
    sys.modules["__main__"] = main
    sys.argv = [""]
    sys.path.insert(0, "/tmp")
    signal.signal(signal.SIGINT, _interrupt)
    preludes.bind(settings["prelude"], main.__dict__, sources=[])
    cells = _Cells(main.__dict__, output_bytes=settings["output_bytes"])
    gc.enable()
    _os_write(RESULT_FD, SESSION_READY)
    while True:
        nonce, cell = _next_cell(cells_fd)
        _write_by_lines(stdout, live=cell.get("live", False))
        told = cells.run(cell["code"], number=cell["cell"])
        program.flush()
        if _getpid() != leader_pid:
            # One that the cell forked, at its end: only the session's own process answers.
            _os_exit(0)
        _send(told, nonce=nonce)


def _hide_cells() -> int:
    """Where cells come from moves away from stdin, which becomes empty."""
    import fcntl

    cells_fd: int = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 64)
    null_fd = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null_fd, 0)
    os.close(null_fd)
    return cells_fd


def _write_by_lines(stdout: Any, *, live: bool) -> None:
    """Where somebody looks on, each line is written at once, as in a terminal."""
    with contextlib.suppress(BaseException):  # the streams are the user's to break
        if stdout.line_buffering is not live:
            stdout.reconfigure(line_buffering=live)


def _interrupt(_number: int, _frame: types.FrameType | None) -> None:
    """A cell is over its limit. What is not of a cell is not interrupted."""
    if _in_cell:
        raise KeyboardInterrupt


def _next_cell(fd: int) -> tuple[bytes, dict[str, Any]]:
    """The next cell, and what its report has to begin with."""
    nonce = _exactly(fd, NONCE_BYTES)
    length = int.from_bytes(_exactly(fd, LENGTH_BYTES))
    cell: dict[str, Any] = values.from_json(_exactly(fd, length))
    return nonce, cell


def _exactly(fd: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = _os_read(fd, count - len(data))
        if not part:
            _os_exit(0)
        data += part
    return data


def _send(told: report.Report, *, nonce: bytes) -> None:
    head = report.head_of(told)
    length = len(head) + len(told.output)
    data = memoryview(nonce + length.to_bytes(LENGTH_BYTES) + head + told.output)
    while data:
        data = data[_os_write(RESULT_FD, data) :]


class _Cells:
    """The namespace that cells share, and the loop that their awaits run in."""

    def __init__(self, namespace: dict[str, Any], *, output_bytes: int) -> None:
        self._namespace = namespace
        self._output_bytes = output_bytes
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leader_pid = _getpid()
        self._compiler = CellCompiler()

    def run(self, code: str, *, number: int) -> report.Report:
        """Run one cell; whatever it raises is its outcome."""
        global _in_cell
        name = f"{failure_report.CELL_BEGINS}{number}>"
        source = source_text.without_mark(code)
        linecache.cache[name] = (len(source), None, source_text.lines(source), name)
        try:
            statements, last = self._compiler.compiled(source, name)
        except BaseException as error:  # noqa: BLE001 - the compiler also raises MemoryError, ValueError…
            described = failure_report.describe_syntax_error(error, name)
            return report.Report("invalid_code", error=described)
        try:
            try:
                _in_cell = True
                value = self._run_code(statements, last)
                told = self._told(value)
            finally:
                _in_cell = False
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is its outcome
            if _getpid() != self._leader_pid:
                _end_fork(error)
            return report.Report("exception", error=_described(error))
        return told

    def _run_code(self, statements: types.CodeType, last: types.CodeType | None) -> Any:
        """The value of the last expression. All of a cell that awaits runs in the loop, so that
        what it awaits in one line can be begun in another."""
        steps = [each for each in (statements, last) if each is not None]
        if any(each.co_flags & inspect.CO_COROUTINE for each in steps):
            if self._loop is None or self._loop.is_closed():
                self._loop = asyncio.new_event_loop()
            return _awaited(self._run_steps(steps), self._loop)
        value = None
        for each in steps:
            value = eval(each, self._namespace)
        return value

    async def _run_steps(self, steps: list[types.CodeType]) -> Any:
        value = None
        for each in steps:
            value = eval(each, self._namespace)
            if each.co_flags & inspect.CO_COROUTINE:
                value = await value
        return value

    def _told(self, value: Any) -> report.Report:
        """That the cell has ended, with what it shows; where a figure could not be drawn, why."""
        if value is not None:
            sys.modules["builtins"].__dict__["_"] = value
        media, undrawn = _figures()
        text = self._value_text(value, media)
        if undrawn is None:
            return report.Report("ok", output=text)
        return report.Report("exception", output=text, error=_described(undrawn))

    def _value_text(self, value: Any, media: list[dict[str, str]]) -> bytes:
        """The value of the last expression, and images, as JSON."""
        shown: dict[str, Any] | None = None
        if value is not None:
            text = repr(value)
            shown = {"repr": _cut(str(text))}
            image = _own_image(value)
            media = [*([image] if image else []), *media]
        if shown is None and not media:
            return b"null"
        shown = shown or {"repr": None}
        shown["media"] = _within_bounds(media)
        if shown["repr"] is not None:
            encoded = _encoded(value, limit_bytes=self._output_bytes)
            if encoded is not None:
                return values.to_json(shown)[:-1] + b',"json":' + encoded + b"}"
        return values.to_json(shown)


def _end_fork(error: BaseException) -> NoReturn:
    """A process that a cell forked ends where the cell does, as one that a script forked would: it
    is no second session, and its end is no answer."""
    if isinstance(error, SystemExit):
        code = program.exit_code_of(error)
    else:
        code = 1
        with contextlib.suppress(BaseException):
            sys.stderr.write(f"{_described(error)['traceback']}\n")
    program.flush()
    _os_exit(code)


def _described(error: BaseException) -> dict[str, Any]:
    """What was raised, for which there is room: the limit may be lower than that takes. It is the
    user's again afterwards, as whatever a cell sets lasts."""
    own_limit = _getrecursionlimit()
    _setrecursionlimit(max(own_limit, program.RECURSION_LIMIT))
    try:
        return failure_report.describe(error)
    finally:
        _setrecursionlimit(own_limit)


def _encoded(value: Any, *, limit_bytes: int) -> bytes | None:
    """The value as strict JSON, where it is that. How many digits a text of an integer may have,
    which is the API's while it is written, is the user's again afterwards."""
    own_digits_max = _get_int_max_str_digits()
    try:
        encoded = values.encode(value, limit_bytes=limit_bytes, convert="none")
    except (values.Unserializable, values.TooLarge):
        return None
    finally:
        _set_int_max_str_digits(own_digits_max)
    return None if encoded.non_finite else encoded.text


def _awaited(coroutine: Any, loop: asyncio.AbstractEventLoop) -> Any:
    """What a cell's own coroutine gives. It is over afterwards, also where it was interrupted:
    the loop stays, and would go on with it while a later cell waits for something."""
    task = loop.create_task(coroutine)
    try:
        return loop.run_until_complete(task)
    except BaseException:
        while not task.done() and not loop.is_closed():
            task.cancel()
            # Whatever it raises in its end, or another interrupt: the first is told of.
            with contextlib.suppress(BaseException):
                loop.run_until_complete(task)
        if task.done() and not task.cancelled():
            # Else the loop reports what was raised once more, as never having been seen.
            task.exception()
        raise


def _cut(text: str) -> str:
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _REPR_CHARS_MAX else f"{text[:_REPR_CHARS_MAX]}…"


def _figures() -> tuple[list[dict[str, str]], Exception | None]:
    """matplotlib's open figures as PNG, and why the first that cannot be drawn cannot. They are
    closed, whatever happens: one that stayed would fail every cell after this one."""
    pyplot: Any = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return [], None
    found = []
    undrawn: Exception | None = None
    try:
        for number in pyplot.get_fignums()[:_MEDIA_MAX]:
            buffer = io.BytesIO()
            try:
                pyplot.figure(number).savefig(buffer, format="png", bbox_inches="tight")
            except Exception as error:  # noqa: BLE001 - drawing is libraries' and users' code
                undrawn = error if undrawn is None else undrawn
            else:
                found.append(_png(buffer.getvalue()))
    finally:
        pyplot.close("all")
    return found, undrawn


def _own_image(value: Any) -> dict[str, str] | None:
    draw = getattr(type(value), "_repr_png_", None)
    if draw is None:
        return None
    data = draw(value)
    return _png(data) if isinstance(data, bytes) else None


def _png(data: bytes) -> dict[str, str]:
    return {"type": "image/png", "base64": b64encode(data).decode()}


def _within_bounds(media: list[dict[str, str]]) -> list[dict[str, str]]:
    kept = []
    size_bytes = 0
    for each in media:
        size_bytes += len(each["base64"])
        if size_bytes > _MEDIA_BYTES_MAX:
            break
        kept.append(each)
    return kept
