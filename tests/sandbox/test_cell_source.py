"""Whether a cell's value is shown, of its source alone; nothing of it is run."""

from __future__ import annotations

import pytest

from execbox_runner.cell_source import CellCompiler


@pytest.mark.parametrize(
    ("source", "is_shown"),
    [
        ("x", True),
        ("x;", False),
        ("x ; \n\n", False),
        ("x  # total;", True),
        ("x;  # note", False),
        ("x  # a;\n# b;\n", True),
        ("x  # a\r\n# b;\r", True),
        ("x \\\n;", False),
        ("(x  # a;\n)", True),
        ("(x\n);# a", False),
        ("';'", True),
        ("'ä\u2028;' ;", False),
        ("'''\n;'''", True),
        ("'''\n;''' ;", False),
        ("\f'ä'\f;", False),
        ("y; x", True),
        ("if x: x;", False),
        ("await x", True),
        ("await x;", False),
        ("", False),
        ("# x", False),
    ],
)
def test_value_is_shown_unless_a_semicolon_follows_it(source: str, *, is_shown: bool) -> None:
    """One in a comment or a string is none."""
    _statements, last = CellCompiler().compiled(source, "<cell 1>")
    assert (last is not None) is is_shown
