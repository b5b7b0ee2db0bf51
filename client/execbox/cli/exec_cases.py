"""`execbox exec --cases`: a file of cases to requests, and one line of answer for each case.

The options are in ``exec``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from execbox import strict_json, wire
from execbox.cli.input_files import json_lines
from execbox.cli.outcomes import CommandError, ExitCode
from execbox.cli.terminal import Terminal
from execbox.errors import ExecboxError, RequestError
from execbox.wire.complaints import invalid_request

__all__ = ["NumberedCase", "read_cases", "run_cases", "run_passed"]

_CASES_IN_REQUEST_MAX = 1000
_CHARS_IN_REQUEST_MAX = 4 * 1024 * 1024
"""A request is answered as a whole: of this size, lines come while the rest runs."""


@dataclass(frozen=True)
class NumberedCase:
    """A case, the number of its line, and how many characters the line has."""

    line: int
    case: wire.Case
    length: int


def read_cases(name: str, *, comparator: wire.StdoutComparator | None) -> list[NumberedCase]:
    """The cases of a JSONL file; ``comparator`` is that of an expected plain text.

    Raises CommandError that names the first line that is no case.
    """
    cases = [
        NumberedCase(number, _case(line, f"{name}, line {number}", comparator), len(line))
        for number, line in enumerate(json_lines(name, may_be_arrays=False), start=1)
        if line.strip()
    ]
    if not cases:
        raise CommandError(f"{name}: holds no cases: it is empty")
    return cases


def _case(line: str, where: str, comparator: wire.StdoutComparator | None) -> wire.Case:
    try:
        fields = strict_json.decode(line)
    except ValueError as error:
        raise CommandError(f"{where}: not strict JSON: {error}") from error
    if not isinstance(fields, dict):
        raise CommandError(f'{where}: must be a JSON object, such as {{"stdin": "1\\n"}}')
    if isinstance(fields.get("expected"), str):
        fields["expected"] = {"stdout": fields["expected"], "comparator": comparator or "exact"}
    try:
        return wire.Case.model_validate(fields)
    except ValidationError as error:
        raise CommandError(f"{where}: {invalid_request(error).message}") from error


def run_cases(
    cases: Sequence[NumberedCase],
    terminal: Terminal,
    *,
    send: Callable[[Sequence[wire.Case]], wire.RunResponse],
    stop_at_first_failure: bool,
    all_expect: bool,
) -> ExitCode:
    """Send them in portions and print an answer line for each, in order.

    ``all_expect`` says that a case without an expected output of its own is compared, too. Raises
    CommandError where the service failed, after the lines that it did answer.
    """
    passed = True
    for portion in _portions(cases):
        if stop_at_first_failure and not passed:
            runs = [_not_run(each, all_expect=all_expect) for each in portion]
        else:
            runs = list(_sent(portion, send))
        for each, run in zip(portion, runs, strict=True):
            line = {"line": each.line, **run.model_dump(mode="json")}
            terminal.line(json.dumps(line, ensure_ascii=True))
            passed = passed and run_passed(run)
        terminal.out.flush()
    return ExitCode.OK if passed else ExitCode.NOT_OK


def run_passed(run: wire.ProgramRun) -> bool:
    """Whether a program ended ok, and printed what it should where that is known."""
    return run.status is wire.ProgramStatus.OK and run.verdict in (
        None,
        wire.ProgramVerdict.CORRECT,
    )


def _portions(cases: Sequence[NumberedCase]) -> Iterator[list[NumberedCase]]:
    portion: list[NumberedCase] = []
    length = 0
    for each in cases:
        if portion and (
            len(portion) == _CASES_IN_REQUEST_MAX or length + each.length > _CHARS_IN_REQUEST_MAX
        ):
            yield portion
            portion, length = [], 0
        portion.append(each)
        length += each.length
    yield portion


def _sent(
    portion: Sequence[NumberedCase], send: Callable[[Sequence[wire.Case]], wire.RunResponse]
) -> Sequence[wire.ProgramRun]:
    try:
        return send([each.case for each in portion]).runs
    except ExecboxError as error:
        code = ExitCode.MISTAKE if isinstance(error, RequestError) else ExitCode.SERVICE_FAILURE
        raise CommandError(
            f"no answer for the cases from line {portion[0].line} on: {error}", exit_code=code
        ) from error


def _not_run(each: NumberedCase, *, all_expect: bool) -> wire.ProgramRun:
    compared = all_expect or each.case.expected is not None
    verdict = wire.ProgramVerdict.NOT_RUN if compared else None
    return wire.ProgramRun(status=wire.ProgramStatus.NOT_RUN, verdict=verdict)
