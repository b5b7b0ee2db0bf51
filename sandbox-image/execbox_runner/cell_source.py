"""A session's cells from source to code: all of a cell but its last expression, and that. Runs none
of it; what it gives and shows is ``session``'s."""

from __future__ import annotations
import __future__

import ast
import types
from builtins import any, compile, getattr, isinstance, str

from . import source_text

_FUTURE_FLAGS = tuple(
    getattr(__future__, name).compiler_flag for name in __future__.all_feature_names
)


class CellCompiler:
    """What a cell imports from ``__future__`` holds for those after it, as at Python's prompt."""

    def __init__(self) -> None:
        self._flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

    def compiled(self, source: str, name: str) -> tuple[types.CodeType, types.CodeType | None]:
        """The cell without its last expression, and that expression, if it ends in one.

        Raises whatever the compiler does: SyntaxError, ValueError, MemoryError and more.
        """
        tree = compile(source, name, "exec", ast.PyCF_ONLY_AST | self._flags, dont_inherit=True)
        end = tree.body[-1] if tree.body else None
        last = end if isinstance(end, ast.Expr) and not _is_silenced(source, end) else None
        if last is not None:
            tree.body.pop()
        statements = compile(tree, name, "exec", self._flags, dont_inherit=True)
        for flag in _FUTURE_FLAGS:
            self._flags |= statements.co_flags & flag
        if last is None:
            return statements, None
        expression = ast.Expression(last.value)
        return statements, compile(expression, name, "eval", self._flags, dont_inherit=True)


def _is_silenced(source: str, last: ast.Expr) -> bool:
    """Whether a semicolon follows a cell's last expression: it keeps its value from being shown, as
    in notebooks. Behind it there can be nothing else but comments."""
    lines = source_text.lines(source)[(last.end_lineno or 1) - 1 :]
    first = str.encode(lines[0])[last.end_col_offset or 0 :].decode()
    return any(";" in str.partition(line, "#")[0] for line in [first, *lines[1:]])
