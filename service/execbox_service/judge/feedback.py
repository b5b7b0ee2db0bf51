"""Text for a model about what its prediction was worth: one template per kind, in our own words.

Pure. What the verdict is, is decided in ``operations/verify.py``. Only what the user's code did and
what the model wrote may appear here: never a failure of ours, our paths or our frames. Callers
replace templates with ``feedback_templates``; the variables are documented in ``execbox.wire``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import Template
from typing import Any, Final, Literal, TypeAlias

from execbox.wire import Execution, ExecutionError, FeedbackTemplates, Function, Limits, Verdict
from execbox_service.json_steps import text_head

__all__ = ["TEMPLATES", "Judged", "feedback", "output_text", "value_text"]

JSON: TypeAlias = Any

VALUE_CHARS_MAX: Final = 1000
"""Longer values are cut; those within the paper's object-size rule are shorter."""
_MESSAGE_CHARS_MAX = 500
_LINE_CHARS_MAX = 200
_QUOTED_SOURCE_CHARS_MAX = 256 * 1024
"""Looking for a line in a longer source takes long, and there may be thousands of items."""
_NOT_GIVEN = "(not given)"
_CUT = " ... (cut)"
# A line that names what is ours, and the source line that a traceback shows below it.
_OF_OURS = re.compile(
    r"^[^\n]*(?:/usr/lib/execbox|execbox_runner)[^\n]*(?:\n {4}[^\n]*)?\n?",
    re.MULTILINE,
)

TEMPLATES: Final[dict[str, str]] = {
    "correct": "Your $kind is correct.",
    "wrong_output": (
        "Your output is not correct. You predicted $prediction, but the function returns $expected."
    ),
    "infeasible_input": (
        "Your input is not feasible. The output should be $expected, but on your input "
        "$prediction the function returns $output."
    ),
    "exception": (
        "On the input $input the function returns nothing, because it raises "
        "$exception_type: $message $place"
    ),
    "timeout": "On the input $input the function does not finish within $limit.",
    "memory_exceeded": "On the input $input the function needs more than $memory_mb MB of memory.",
    "output_too_large": (
        "On the input $input the function returns a value that is too large: its JSON text is "
        "longer than $output_bytes bytes."
    ),
    "unserializable": (
        "On the input $input the function returns a value that cannot be written as JSON: $message"
    ),
    "no_result": (
        "On the input $input the function ends the whole process ($ending) instead of returning "
        "a value."
    ),
    "invalid_code": "The function cannot be run: $exception_type: $message $place",
    "no_answer": (
        "No answer was found: $reason. End your response with a JSON object of the form "
        '{"$kind": <your $kind>}.'
    ),
}
"""By the names of ``FeedbackTemplates``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One prediction and all that became of it."""

    verdict: Verdict
    kind: Literal["input", "output"]
    limits: Limits
    prediction: JSON = None
    input_text: str | None = None
    """What the function was run on, as JSON text; None where the request does not say."""
    expected_text: str | None = None
    """The output it should give, as JSON text; None where it gave none."""
    reason: str | None = None
    """With no_answer: what is missing."""
    function: Function | None = None
    execution: Execution | None = None


def feedback(judged: Judged, templates: FeedbackTemplates) -> str | None:
    """The text, or None where there is nothing to say about the code (``not_run``)."""
    name = _template_name(judged)
    if name is None:
        return None
    template = getattr(templates, name)
    if template is None:
        template = TEMPLATES[name]
    return Template(template).safe_substitute(_Variables(judged)).strip()


def value_text(value: JSON) -> str:
    """A value as JSON text, cut after ``VALUE_CHARS_MAX`` characters; no more than that is made."""
    return _cut(text_head(value, VALUE_CHARS_MAX + 1, ensure_ascii=False), VALUE_CHARS_MAX)


def _template_name(judged: Judged) -> str | None:
    match judged.verdict:
        case Verdict.NOT_RUN:
            return None
        case Verdict.INCORRECT:
            return "infeasible_input" if judged.kind == "input" else "wrong_output"
        case verdict:
            return verdict.value


class _Variables(dict[str, object]):
    """What a template may name, each made when it is: most templates name two."""

    def __init__(self, judged: Judged) -> None:
        super().__init__()
        self._judged = judged

    def __missing__(self, name: str) -> object:
        return _VARIABLES[name](self._judged)


def _prediction(judged: Judged) -> str:
    return _NOT_GIVEN if judged.verdict is Verdict.NO_ANSWER else value_text(judged.prediction)


def _error_of(judged: Judged) -> ExecutionError | None:
    return judged.execution.error if judged.execution is not None else None


def _exception_type(judged: Judged) -> str:
    error = _error_of(judged)
    return error.type if error is not None else ""


def _line_number(judged: Judged) -> object:
    error = _error_of(judged)
    return error.line if error is not None and error.line is not None else ""


def output_text(execution: Execution | None) -> str | None:
    """What the function returned, NaN and infinities included; None where it returned nothing."""
    if execution is None or execution.status != "ok":
        return None
    if execution.output_text is not None:
        return _cut(execution.output_text, VALUE_CHARS_MAX)
    return value_text(execution.output)


def _message(judged: Judged) -> str:
    error = _error_of(judged)
    if error is None:
        return ""
    # User code can put a whole stack into its message, ours included.
    return _cut(_OF_OURS.sub("", error.message).strip() or "...", _MESSAGE_CHARS_MAX)


def _source_line(judged: Judged) -> str:
    error = _error_of(judged)
    if error is None or error.line is None or judged.function is None:
        return ""
    code = judged.function.code
    if len(code) > _QUOTED_SOURCE_CHARS_MAX:
        return ""
    # As Python counts lines, which is not how str.splitlines does.
    lines = code.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    line = lines[error.line - 1].strip() if 0 < error.line <= len(lines) else ""
    return _cut(line, _LINE_CHARS_MAX)


def _place(judged: Judged) -> str:
    error = _error_of(judged)
    if error is None or error.line is None:
        return ""
    line = _source_line(judged)
    return f"(line {error.line}: {line})" if line else f"(line {error.line})"


def _limit(judged: Judged) -> str:
    if judged.execution is not None and judged.execution.limit == "wall_time":
        return f"{judged.limits.wall_time_s:g} seconds"
    return f"{judged.limits.cpu_time_s:g} seconds of CPU time"


def _ending(judged: Judged) -> str:
    execution = judged.execution
    if execution is None:
        return ""
    if execution.signal is not None:
        return f"signal {execution.signal}"
    return f"exit code {execution.exit_code}"


def _cut(text: str, chars_max: int) -> str:
    return text if len(text) <= chars_max else text[: chars_max - len(_CUT)] + _CUT


_VARIABLES: Final[Mapping[str, Callable[[Judged], object]]] = {
    "kind": lambda judged: judged.kind,
    "prediction": _prediction,
    "input": lambda judged: judged.input_text or _NOT_GIVEN,
    "expected": lambda judged: judged.expected_text or _NOT_GIVEN,
    "output": lambda judged: output_text(judged.execution) or _NOT_GIVEN,
    "exception_type": _exception_type,
    "message": _message,
    "line_number": _line_number,
    "line": _source_line,
    "place": _place,
    "limit": _limit,
    "memory_mb": lambda judged: judged.limits.memory_mb,
    "output_bytes": lambda judged: judged.limits.output_bytes,
    "ending": _ending,
    "reason": lambda judged: judged.reason or "",
}
