"""The program of an open-instruct request, as it is run here: source around source. Pure.

What is run before it is what open-instruct's own server runs: nothing where there are asserts, and
where there is stdin, a prelude of names that its programs count on.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Sequence
from typing import Final

__all__ = ["program_and_assert", "program_with_names"]

_IMPORTS_MAX: Final = 50
_IMPORT: Final = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]{1,100})[ \t]+)?import[ \t]+([\w.,* \t]{1,300})", re.MULTILINE
)
_MODULES: Final = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random"),
    *("statistics", "itertools", "functools", "operator", "io", "sys", "json"),
)
"""Whose names a program has, and their own. In this order: where several have a name, such as
``pow``, the last one's is the program's, as there."""
_NAMES_ONLY: Final = ("builtins", "typing")
_RECURSION_MAX: Final = 50_000


def program_and_assert(program: str, tests: Sequence[str], *, entry_point: str) -> str:
    """A function that runs the program and then one assert, and at its end says so.

    What it needs is bound before the program runs. The imports that nobody runs are for the guess
    which packages to have ready: an assert has one second for all that the program imports.
    """
    return f"""\
import time


def named():
    pass
{_imports([program, *tests])}

def {entry_point}(
    test, mark, *, run=exec, build=compile, names=globals(), clock=time.perf_counter,
    program={program!r},
):
    run(build(program, "<program>", "exec"), names)
    began_s = clock()
    run(build(test, "<test>", "exec"), names)
    return [mark, clock() - began_s]
"""


def program_with_names(program: str) -> str:
    """The program in the names of many modules, and with room for deep recursion.

    It is compiled by itself, so that it may begin with ``from __future__``, and its lines keep
    their numbers. The imports that nobody runs are for the guess which packages to have ready.
    """
    names = "".join(f"from {module} import *\n" for module in (*_MODULES, *_NAMES_ONLY))
    return f"""\
{names}import {", ".join(_MODULES)}
sys.setrecursionlimit({_RECURSION_MAX})
if False:
    pass
{_imports([program])}
exec(compile({program!r}, "<program>", "exec", dont_inherit=True))
"""


def _imports(texts: Sequence[str]) -> str:
    return "".join(f"    import {name}\n" for name in _imported(texts))


def _imported(texts: Sequence[str]) -> list[str]:
    found: dict[str, None] = {}
    for name in _names_imported(texts):
        if all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split(".")):
            found[name] = None
        if len(found) == _IMPORTS_MAX:
            break
    return list(found)


def _names_imported(texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        for source, names in _IMPORT.findall(text):
            if source == "__future__":
                continue
            yield from filter(None, [source])
            firsts = (each.split()[0] for each in names.split(",") if each.strip())
            yield from (f"{source}.{first}" if source else first for first in firsts)
