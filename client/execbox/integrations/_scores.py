"""What an answer is worth, as a number or unknown: for people who train or measure with execbox.

A ``Check`` is one line of a batch and how its answer is read. Which texts and columns it is made
of is each project's.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from execbox import wire
from execbox._batch import BatchResult, OutgoingLine, outgoing
from execbox.client import AsyncClient, Client
from execbox.errors import InvalidRequest

__all__ = [
    "Check",
    "Options",
    "codeio_check",
    "listed",
    "program_check",
    "score",
    "scores",
    "tests_check",
]

_CODE_CHARS_MAX = 1_000_000
_OF_ONE_CHECK = frozenset({wire.ErrorCode.ANSWER_TOO_LARGE, wire.ErrorCode.COMPARISON_TOO_LONG})
"""Refusals that what one completion's code gave brings about: no mistake that all would share."""
_TOO_LARGE_TO_SEND = frozenset({wire.ErrorCode.LINE_TOO_LARGE, wire.ErrorCode.BODY_TOO_LARGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How checks are run; what is None is the service's default.

    ``partial``: where there are several cases or tests, the share that passed, and not whether
    all did.
    """

    limits: wire.Limits | None = None
    isolation: wire.Isolation | None = None
    partial: bool = False

    def fields(self) -> dict[str, object]:
        """Those of a request."""
        given = {"limits": self.limits, "isolation": self.isolation}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing to check. Without a ``line`` there is nothing that could be run: it is wrong."""

    line: Mapping[str, object] | None
    read: Callable[[Any], float | None]
    line_of_nothing: Callable[[], Mapping[str, object]] = dict
    """The line of an empty completion, which tells what made a line too large."""


def codeio_check(response: str, item: Mapping[str, object], options: Options) -> Check:
    """A prediction of an input or output; ``item`` has the fields of a ``wire.VerifyItem``."""
    limits = {} if options.limits is None else {"limits": options.limits}
    level = {} if options.isolation is None else {"isolation": options.isolation}

    def line(response: str) -> dict[str, object]:
        return {
            "op": "verify",
            "items": [{"id": "0", "response": response, **limits, **item}],
            **level,
        }

    if not _is_text(response):
        return Check(line=None, read=_verdict)
    return Check(line=line(response), read=_verdict, line_of_nothing=lambda: line(""))


def listed(values: object, *, name: str) -> list[Any]:
    """The values of an array, also of a table's. A text is none, whose characters would be
    cases."""
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise InvalidRequest(
            f"{name} is {str(values)[:80]!r}; give a list, with an entry for each case"
        )
    return list(values)


def program_check(
    code: str, stdins: Sequence[str], stdouts: Sequence[str], options: Options
) -> Check:
    """A program that reads and prints: equal but for white space at the ends of lines."""
    stdins, stdouts = listed(stdins, name="inputs"), listed(stdouts, name="outputs")
    if len(stdins) != len(stdouts) or not stdins:
        raise InvalidRequest(
            f"{len(stdins)} inputs and {len(stdouts)} outputs; give as many of each, at least one"
        )

    def read(answer: wire.RunResponse) -> float | None:
        return _share([run.verdict for run in answer.runs], options=options)

    if not _is_source(code):
        return Check(line=None, read=read)
    pairs = zip(stdins, stdouts, strict=True)
    cases = [
        {"stdin": given, "expected": {"stdout": expected, "comparator": "trimmed"}}
        for given, expected in pairs
    ]
    fields: dict[str, object] = {"cases": cases, **options.fields()}
    if options.limits is not None:
        fields["limits"] = wire.ProgramLimits(**options.limits.model_dump())
    fields["stop_at_first_failure"] = False

    def line(code: str) -> dict[str, object]:
        return {"op": "run", "program": {"code": code}, **fields}

    return Check(line=line(code), read=read, line_of_nothing=lambda: line(""))


def tests_check(code: str, tests: Sequence[str], options: Options) -> Check:
    """Code and statements, such as asserts, each of which is run after it in its names."""
    tests = listed(tests, name="tests")
    if not tests:
        raise InvalidRequest("no tests: give at least one, such as assert f(1) == 2")
    mark = secrets.token_hex(16)
    entry_point = f"test_{secrets.token_hex(8)}"

    def read(answer: wire.ExecuteResponse) -> float | None:
        verdicts = [
            execution.status
            if execution.status is not wire.Status.OK
            else ("correct" if execution.output == mark else "incorrect")
            for execution in answer.executions
        ]
        return _share(verdicts, options=options)

    if not _is_source(code):
        return Check(line=None, read=read)

    def line(code: str) -> dict[str, object]:
        return {
            "op": "execute",
            "function": {"code": _around(code, entry_point), "entry_point": entry_point},
            "calls": [{"args": [test, mark]} for test in tests],
            **options.fields(),
        }

    return Check(line=line(code), read=read, line_of_nothing=lambda: line(""))


def _around(code: str, entry_point: str) -> str:
    """A function that runs the code, in the names of the module that its classes belong to, then
    one test, and at its end says so.

    What it needs is bound before the code runs, which may rebind names but does not know the mark.
    The code is in it once, and not in every call: a line has a size that it may have.
    """
    return f"""\
def {entry_point}(test, mark, *, run=exec, build=compile, names=globals(), code={code!r}):
    run(build(code, "solution.py", "exec"), names)
    run(build(test, "test.py", "exec"), names)
    return mark
"""


def scores(client: Client, checks: Sequence[Check]) -> list[float | None]:
    """What each is worth, in their order, None where it is unknown: the service failed, had no
    time left, or the completion, or what its code gave, is too large to be sent, answered or
    compared. Raises ``RequestError`` for what the caller did wrong, which is true of all."""
    found: dict[str, float | None] = {}
    for result in client.batch(_lines(checks)):
        found[str(result.id)] = _score_of(result, checks)
    return [0.0 if check.line is None else found[str(n)] for n, check in enumerate(checks)]


async def score(client: AsyncClient, check: Check) -> float | None:
    """As ``scores``, of one."""
    found: float | None = 0.0
    async with aclosing(client.batch(_lines([check]))) as results:
        # To the end, so that the connection can be used again.
        async for result in results:
            found = _score_of(result, [check])
    return found


def _lines(checks: Sequence[Check]) -> list[dict[str, object]]:
    return [
        {"id": str(number), **check.line}
        for number, check in enumerate(checks)
        if check.line is not None
    ]


def _score_of(result: BatchResult, checks: Sequence[Check]) -> float | None:
    check = checks[int(str(result.id))]
    if result.error is None:
        return check.read(result.answer)
    if _leaves_it_unknown(result.error) or _completion_is_too_large(result.error, check):
        return None
    raise InvalidRequest(
        f"example {result.id} of the batch: {result.error.message}", code=result.error.code
    )


def _verdict(answer: wire.VerifyResponse) -> float | None:
    (item,) = answer.items
    if item.error is not None and not _leaves_it_unknown(item.error):
        raise InvalidRequest(item.error.message, code=item.error.code)
    return _share([item.verdict], options=Options())


def _leaves_it_unknown(error: wire.ErrorBody) -> bool:
    return error.retryable or error.code in _OF_ONE_CHECK


def _completion_is_too_large(error: wire.ErrorBody, check: Check) -> bool:
    """Whether a line is refused for its size that is none too large without the completion."""
    if error.code not in _TOO_LARGE_TO_SEND:
        return False
    told = error.detail.get("body_bytes_max") if isinstance(error.detail, dict) else None
    most_bytes = told if isinstance(told, int) else wire.BODY_BYTES_MAX
    bare = outgoing({"id": "0", **check.line_of_nothing()}, 0)
    return isinstance(bare, OutgoingLine) and len(bare.body) <= most_bytes


def _share(verdicts: Sequence[str | None], *, options: Options) -> float | None:
    """Of verdicts that are right; None where one is missing that could change it."""
    right = sum(verdict == "correct" for verdict in verdicts)
    unknown = sum(verdict is None or verdict == "not_run" for verdict in verdicts)
    if options.partial:
        return None if unknown else right / len(verdicts)
    if right + unknown < len(verdicts):
        return 0.0
    return None if unknown else 1.0


def _is_source(code: str) -> bool:
    """Whether it can be a program at all, and be sent."""
    return "\x00" not in code and len(code) <= _CODE_CHARS_MAX and _is_text(code)


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
