"""What the models complain of, as the exception that the client raises. No model is here."""

from __future__ import annotations

from pydantic import ValidationError

from execbox.errors import InvalidRequest
from execbox.strict_json.faults import path_text

__all__ = ["invalid_request"]


def invalid_request(
    error: ValidationError, *, within: tuple[str | int, ...] = ()
) -> InvalidRequest:
    """The schema's first complaint, in the client's own words."""
    problems = error.errors(include_url=False, include_context=False)
    first = problems[0]
    problem = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if isinstance(given := first["input"], bool | int | float) or given is None:
        problem += f", not {given!r:.60}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return InvalidRequest(f"{path_text((*within, *first['loc']))}: {problem}{more}")
