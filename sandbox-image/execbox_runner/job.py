"""One execution, in its own process: decode, compile, call, encode, report. Runs untrusted code.

Entered in a fresh fork of a zygote. The first thing it does is to confine itself; from the moment
user code runs, nothing that code can reach by name is used any more (see ``values``).
"""

from __future__ import annotations

import functools
import gc
import linecache
import os
import sys
import types
from builtins import (
    BaseException,
    compile,
    eval,
    exec,
    len,
    list,
    str,
)
from collections.abc import Callable
from typing import Any, NoReturn

from . import (
    complexity,
    elsewhere,
    entry_point,
    failure_report,
    hints,
    preludes,
    program,
    program_files,
    report,
    seeded_argument,
    source_text,
    values,
)
from .confine import Confinement, Surroundings, Terms
from .protocol import RUN, RUN_MAGIC
from .report import Report

MODULE_NAME = "solution"
_unpack_run, _RUN_AT, _RUN_END = RUN.unpack_from, len(RUN_MAGIC), len(RUN_MAGIC) + RUN.size
_os_exit = os._exit
_setrecursionlimit = sys.setrecursionlimit
_RECURSION_LIMIT = sys.getrecursionlimit()
_FENCED = (
    "; the source has markdown fences (```) in it: send only what stands between them, as Python"
)
REHEARSED = values.to_json(
    {
        "code": "def main_solution(n): return [n, 0.5, 'a', None, {'a': n}]",
        "entry_point": "main_solution",
        "prelude": "none",
        "convert": "none",
        "output_bytes": 1024,
        "complexity": None,
    }
)
"""A function of our own, as the service would send it."""
_PROGRAM_BEGINS = b'{"program":'
"""What the service writes where it is a program that is run, and no function called."""
_SESSION_BEGINS = b'{"session":'
"""Where it is an interpreter that lives on from cell to cell."""
_REHEARSAL_COUNT = 20
"""The interpreter adapts code to what it does after eight runs and some more (PEP 659)."""
_flush_streams = (sys.stdout.flush, sys.stderr.flush)


class InvalidCode(Exception):
    """The source or the expression cannot be run at all; carries the report of why."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.error = error


def run(confinement: Confinement, request: bytes, fds: list[int]) -> NoReturn:
    """Confine this process, run one call or one case, write one frame, end. Never returns.

    ``request`` is the supervisor's, ``fds`` what came with it: the sealed memory files that hold
    what to run, which are never written to again, three streams, and what ``given`` names.
    """
    terms = Terms._make(_unpack_run(request, _RUN_AT))
    surroundings = None
    if len(request) > _RUN_END:
        surroundings = Surroundings(**values.from_json(request[_RUN_END:]))
    function_bytes, call_bytes = _read_whole(fds[0]), _read_whole(fds[1])
    if function_bytes.startswith(_PROGRAM_BEGINS):
        enter = functools.partial(confinement.enter, terms, fds, surroundings=surroundings)
        _run_program(function_bytes, call_bytes, enter)
    confinement.enter(terms, fds, surroundings=surroundings)
    if function_bytes.startswith(_SESSION_BEGINS):
        # Imported here: few jobs are sessions, and each fork pays for every page of a zygote.
        from . import session

        session.serve(values.from_json(function_bytes)["session"])
    gc.enable()
    told = _execute(values.from_json(function_bytes), call_bytes)
    _flush()
    report.send(told)
    _os_exit(0)


def _run_program(
    program_bytes: bytes, case_bytes: bytes, enter: Callable[..., int | None]
) -> NoReturn:
    its_program: dict[str, Any] = values.from_json(program_bytes)["program"]
    case: dict[str, Any] = values.from_json(case_bytes)

    def write_given() -> None:
        if its_program["files"] or case["files"]:
            program_files.write_given(its_program["files"], case["files"])

    executable_fd = enter(before_filter=write_given)
    if "language" in its_program:
        # Imported here, as above: most programs are in Python.
        from . import started_program

        started_program.run(its_program, case, executable_fd=executable_fd)
    gc.enable()
    program.run(its_program, case)


def rehearse() -> None:
    """Run a function of our own some times, in an interpreter that will be forked for jobs.

    What the interpreter remembers of code that has run before is written when it first runs, and a
    fork pays for every page that it is the first to write to.
    """
    main_module = sys.modules["__main__"]
    for _ in range(_REHEARSAL_COUNT):
        for call_bytes in (b'{"args": [1]}', b'{"kwargs": {"n": 1}}', b'{"kwargs": {}}'):
            report.head_of(_execute(values.from_json(REHEARSED), call_bytes))
    sys.modules["__main__"] = main_module
    del sys.modules[MODULE_NAME], linecache.cache[failure_report.SOURCE_NAME]


def _read_whole(fd: int) -> bytes:
    # In a fresh fork each object costs: a stat_result has nineteen.
    size = os.lseek(fd, 0, os.SEEK_END)
    return os.pread(fd, size, 0)


def _execute(function: dict[str, Any], call_bytes: bytes) -> Report:
    call: dict[str, Any] = values.from_json(call_bytes)
    try:
        if "hints" in call:
            return Report("ok", output=values.to_json(hints.find(function["code"])))
        namespace, target = _load(function, call)
        if "redraw" in call:
            _redraw(target, call["redraw"])
        return _call(function, call, call_bytes, namespace, target)
    except InvalidCode as invalid:
        return Report("invalid_code", error=invalid.error)
    except entry_point.NoEntryPoint as missing:
        return Report("invalid_code", error=_plain_error(missing.kind, missing))
    except values.Unserializable as refusal:
        return Report("unserializable", error=_plain_error("Unserializable", refusal))
    except values.TooLarge as refusal:
        return Report("output_too_large", error=_plain_error("OutputTooLarge", refusal))
    except BaseException as error:  # noqa: BLE001 - whatever user code raises is its outcome
        return Report("exception", error=_described(error))


def _redraw(target: Any, how: dict[str, Any]) -> None:
    # Imported here: few draws need it, and every page of a zygote is paid for in every fork.
    from . import redraw

    if how.get("reseed"):
        redraw.reseed()
    redraw.call_before(target, how.get("earlier_count", 0), passed_over=how.get("passed_over", ()))


def _load(function: dict[str, Any], call: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Run the sources as one module; return its namespace and the entry point."""
    module = types.ModuleType(MODULE_NAME)
    module.__file__ = failure_report.SOURCE_NAME
    # Under both names: what asks for the main module, as doctest and timeit do, means this one.
    sys.modules[MODULE_NAME] = sys.modules["__main__"] = module
    namespace = module.__dict__
    sources = {failure_report.SOURCE_NAME: source_text.without_mark(function["code"])}
    if function.get("generator_code") is not None:
        generator_code = source_text.without_mark(function["generator_code"])
        sources[failure_report.GENERATOR_NAME] = generator_code
    texts = [*sources.values(), call.get("expression") or ""]
    preludes.bind(function["prelude"], namespace, sources=texts)
    generates = failure_report.GENERATOR_NAME in sources
    for name, source in sources.items():
        if name == failure_report.GENERATOR_NAME:
            seeded_argument.bind_name(namespace, source)
        exec(_compiled(source, name, "exec"), namespace)
    if "expression" in call:
        return namespace, None
    target = entry_point.resolve(namespace, call.get("entry_point") or function["entry_point"])
    return namespace, seeded_argument.given(target) if generates else target


def _call(
    function: dict[str, Any],
    call: dict[str, Any],
    call_bytes: bytes,
    namespace: dict[str, Any],
    target: Any,
) -> Report:
    arguments: Any = None
    elsewhere.scatter_heap()
    if "expression" in call:
        expression = source_text.without_mark(call["expression"]).strip()
        code = _compiled(expression, failure_report.EXPRESSION_NAME, "eval")
        result = eval(code, namespace)
    elif "kwargs" in call:
        arguments = call["kwargs"]
        size_check = _input_violations(function, arguments)
        result = target(**arguments)
    else:
        arguments = call["args"]
        size_check = _input_violations(function, arguments)
        result = target(*arguments)
    _setrecursionlimit(_RECURSION_LIMIT)
    encoded = values.encode(
        result, limit_bytes=function["output_bytes"], convert=function["convert"]
    )
    violations = None
    if function.get("complexity") is not None:
        violations = [] if arguments is None else size_check
        # What is stored is measured, and not the object it was made of.
        stored = values.from_json(encoded.text)
        violations += complexity.violations("output", stored, function["complexity"])
    flags: tuple[str, ...] = ("non_finite",) if encoded.non_finite else ()
    if arguments is not None and not _unchanged(call_bytes, arguments):
        flags += ("mutates_input",)
    return Report("ok", output=encoded.text, flags=flags, violations=violations)


def _input_violations(function: dict[str, Any], arguments: Any) -> list[dict[str, Any]]:
    if function.get("complexity") is None:
        return []
    return complexity.violations("input", arguments, function["complexity"])


def _unchanged(call_bytes: bytes, arguments: Any) -> bool:
    """Whether the call left its arguments as they were, compared with a fresh decoding of them."""
    before: dict[str, Any] = values.from_json(call_bytes)
    return values.same_value(before["kwargs" if "kwargs" in before else "args"], arguments)


def _compiled(source: str, name: str, mode: str) -> types.CodeType:
    _remember_lines(name, source)
    try:
        return compile(source, name, mode, dont_inherit=True)
    except BaseException as error:  # noqa: BLE001 - the compiler also raises MemoryError, ValueError…
        described = failure_report.describe_syntax_error(error, name)
        if source_text.has_fence(source):
            described["message"] += _FENCED
        raise InvalidCode(described) from None


def _remember_lines(name: str, source: str) -> None:
    """Let tracebacks and inspect find the source; without a time stamp it is never checked."""
    linecache.cache[name] = (len(source), None, source_text.lines(source), name)


def _described(error: BaseException) -> dict[str, Any]:
    _setrecursionlimit(_RECURSION_LIMIT)
    return failure_report.describe(error)


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"type": kind, "message": message, "traceback": None, "line": None}


def _plain_error(kind: str, error: BaseException) -> dict[str, Any]:
    return _error(kind, failure_report.message_of(error))


def _flush() -> None:
    for flush in _flush_streams:
        # Without a context manager, whose pages a fork would pay for.
        try:  # noqa: SIM105
            flush()
        except BaseException:  # noqa: BLE001, S110 - the streams are the user's to break
            pass
