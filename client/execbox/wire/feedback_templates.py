"""The texts a caller may put in place of the service's feedback, and the variables they have."""

from __future__ import annotations

from string import Template
from typing import Annotated

from pydantic import AfterValidator, Field

from execbox.wire.fields import Request

__all__ = [
    "FeedbackTemplates",
]


def _template_of(*variables: str) -> AfterValidator:
    known = frozenset(variables) | _FEEDBACK_VARIABLES

    def check(text: str | None) -> str | None:
        if text is None:
            return None
        template = Template(text)
        if not template.is_valid():
            raise ValueError("has a $ that begins no variable; write $$ for a dollar sign")
        unknown = sorted(set(template.get_identifiers()) - known)
        if unknown:
            raise ValueError(
                f"${unknown[0][:60]} is no variable of this template; known here: "
                + ", ".join(f"${name}" for name in sorted(known))
            )
        return text

    return AfterValidator(check)


_FEEDBACK_VARIABLES = frozenset({"kind", "prediction", "input", "expected"})
_Template = Annotated[str | None, Field(default=None, max_length=4000)]


class FeedbackTemplates(Request):
    """Text in place of the service's own, by what it is feedback on; null keeps the service's.

    ``$name`` or ``${name}`` is replaced by a variable, ``$$`` by a dollar sign. Every template has
    ``$kind`` (input or output), ``$prediction``, ``$input`` (what the function is run on) and
    ``$expected`` (the output it should give, or gives), as JSON text that is cut where it is long.
    """

    correct: Annotated[_Template, _template_of("output")] = None
    wrong_output: Annotated[_Template, _template_of()] = None
    infeasible_input: Annotated[_Template, _template_of("output")] = Field(
        default=None, description="$output is what the function gives on the predicted input."
    )
    exception: Annotated[
        _Template, _template_of("exception_type", "message", "line_number", "line", "place")
    ] = Field(
        default=None,
        description="$line is the line of the source that raised, $line_number its number, $place "
        "both in parentheses, or nothing where it is not known.",
    )
    timeout: Annotated[_Template, _template_of("limit")] = Field(
        default=None, description='$limit is such as "5 seconds of CPU time".'
    )
    memory_exceeded: Annotated[_Template, _template_of("memory_mb")] = None
    output_too_large: Annotated[_Template, _template_of("output_bytes")] = None
    unserializable: Annotated[_Template, _template_of("message")] = None
    no_result: Annotated[_Template, _template_of("ending")] = Field(
        default=None, description='$ending is such as "signal SIGSEGV".'
    )
    invalid_code: Annotated[
        _Template, _template_of("exception_type", "message", "line_number", "line", "place")
    ] = None
    no_answer: Annotated[_Template, _template_of("reason")] = Field(
        default=None, description="$reason says what is missing from the response."
    )
