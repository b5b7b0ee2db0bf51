"""Source text as Python reads it: where lines end, the mark it may begin with. Runs nothing.

``str.splitlines`` ends lines at form feeds, U+0085, U+2028 and more, at which Python's own
tokenizer does not: what it numbers would be other lines.
"""

from __future__ import annotations

from builtins import any, str

_MARK = "\ufeff"


def lines(source: str) -> list[str]:
    """The lines as Python numbers them, each with its line feed but perhaps the last."""
    text = str.replace(str.replace(source, "\r\n", "\n"), "\r", "\n")
    found = [f"{line}\n" for line in str.split(text, "\n")]
    found[-1] = found[-1][:-1]
    return found if found[-1] else found[:-1]


def without_mark(source: str) -> str:
    """The source without a byte order mark at its start, which Python skips in a file."""
    return str.removeprefix(source, _MARK)


def has_fence(source: str) -> bool:
    """Whether a line of it begins or ends a markdown code block, which no line of code can."""
    return any(str.startswith(line, "```") for line in lines(source))
