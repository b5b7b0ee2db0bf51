"""Text of Python values, read without running any of it: where it ends, and whether two are equal.

For integrations whose projects hand values around as ``repr``. What is not a literal is left as
text; nothing here evaluates a name.
"""

from __future__ import annotations

import ast
import io
import tokenize

__all__ = ["NoLiteral", "literal", "same_value", "stays_within_brackets"]

_CHARS_MAX = 20_000
"""Of a longer text no value is made: reading it could take longer than running code does."""


class NoLiteral(ValueError):
    """The text is no literal of Python, or too long or too deep a one."""


def literal(text: str) -> object:
    """The value of a literal. Raises ``NoLiteral``."""
    if len(text) > _CHARS_MAX:
        raise NoLiteral(f"{len(text)} characters; {_CHARS_MAX} are read at most")
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise NoLiteral(str(error)) from error


def same_value(one: str, other: str) -> bool:
    """Whether two texts are equal values as literals or, where one is none, the same text."""
    try:
        return bool(literal(one) == literal(other))
    except (NoLiteral, RecursionError):
        return one.strip() == other.strip()


def stays_within_brackets(text: str) -> bool:
    """Whether the text, put between brackets, leaves them closed where they are.

    False for ``1) or (True``, which would make something else of the call it is put into, and for
    what has no tokens of Python in it.
    """
    depth = 0
    ended = False
    try:
        for token in tokenize.generate_tokens(io.StringIO(f"(\n{text}\n)").readline):
            if token.type == tokenize.ERRORTOKEN:
                return False
            if token.type != tokenize.OP:
                continue
            if ended:
                return False
            depth += (token.string in "([{") - (token.string in ")]}")
            ended = depth == 0
    except (tokenize.TokenError, SyntaxError, UnicodeEncodeError):
        return False
    return ended
