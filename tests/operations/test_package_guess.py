"""Guessing imported packages from lines of source: a table, and time that grows with the length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execbox_service.operations.package_guess import guess_packages
from tests.effort import refuse_effort

AVAILABLE = frozenset({"numpy", "scipy", "sympy", "pandas", "Crypto", "dateutil", "networkx"})


def guess(*texts: str, prelude: str = "none") -> tuple[str, ...]:
    """The guess with the packages above in the image."""
    return guess_packages(list(texts), available=AVAILABLE, prelude=prelude)


@pytest.mark.parametrize(
    ("source", "packages"),
    [
        ("import numpy", ("numpy",)),
        ("import numpy as np", ("numpy",)),
        ("import numpy as np, pandas as pd", ("numpy", "pandas")),
        ("    import numpy", ("numpy",)),
        ("\timport\tnumpy", ("numpy",)),
        ("def f():\n    from scipy import stats\n", ("scipy", "scipy.stats")),
        ("from scipy.optimize import minimize", ("scipy", "scipy.optimize")),
        ("import scipy.optimize", ("scipy", "scipy.optimize")),
        ("from scipy.sparse.csgraph import dijkstra",
         ("scipy", "scipy.sparse", "scipy.sparse.csgraph")),
        ("from scipy import optimize as o, stats", ("scipy", "scipy.optimize", "scipy.stats")),
        ("from sympy import (\n    symbols,\n)", ("sympy",)),
        ("from numpy import *", ("numpy",)),
        ("import numpy;import pandas", ("numpy",)),
        ("x = 1; import numpy", ()),
        ("import os, sys", ()),
        ("import torch", ()),
        ("from . import numpy", ()),
        ("# import numpy", ()),
        ("imports = numpy", ()),
        ("import numpyx", ()),
        ("from numpy", ()),
        ("import asyncio", ("asyncio",)),
        ("from concurrent.futures import ThreadPoolExecutor", ("concurrent.futures",)),
        ("import os.path, urllib.parse", ("urllib.parse",)),
        ("import a..b, ,, ., numpy", ("numpy",)),
        ("", ()),
    ],
)  # fmt: skip
def test_guess_of_a_source_names_what_the_image_has(source: str, packages: tuple[str, ...]) -> None:
    """Only names of the image or of our own lists, sorted, parents before their parts."""
    assert guess(source) == packages


@pytest.mark.parametrize(
    ("texts", "prelude", "packages"),
    [
        (["def f(): return np.zeros(1)"], "codeio", ("numpy",)),
        (["def f(): return 1", "f(np.zeros(1))"], "codeio", ("numpy",)),
        (["def f(): return np.zeros(1)"], "none", ()),
        (["def f(): return snp"], "codeio", ()),
    ],
)
def test_guess_knows_the_preludes_numpy(
    texts: list[str], prelude: str, packages: tuple[str, ...]
) -> None:
    """The prelude binds ``np`` for whoever writes it, in the source or in an expression."""
    assert guess(*texts, prelude=prelude) == packages


def test_guess_is_bounded_however_much_is_imported() -> None:
    """A source that names everything does not fill a container with packages."""
    names = ["optimize", "stats", "linalg", "special", "integrate", "interpolate", "spatial"]
    names += ["sparse", "signal", "ndimage"]
    source = "import numpy, pandas, sympy, networkx\n" + "\n".join(
        f"import scipy.{n}" for n in names
    )
    assert len(guess(source)) == 12


@given(source=st.text(alphabet="import from as,.()\t\n numpyscipy;#'\\", max_size=300))
def test_guess_of_any_source_is_from_the_lists(source: str) -> None:
    """No text makes it fail, or name anything else."""
    assert all(name.split(".")[0] in AVAILABLE or name.islower() for name in guess(source))


HOSTILE_UNITS = {
    "statements of long names, 50 deep": "from a" + ".a" * 49 + " import " + ",".join("a" * 148),
    "different statements": None,
    "the word alone": "import ",
    "the beginning of a statement": "from ",
    "spaces": " ",
    "tabs": "\t",
    "empty lines": "\n",
    "indentation before each statement": "\n" + " " * 140 + "import a",
    "names without end": "import a,",
    "parts without end": "import a.",
    "statements of the image": "import numpy\n",
    "what begins as the word": "impor",
    "letters of numpy's short name": "xnp ",
    "letters beyond Latin": "😀 import numpy\n",
}


GUESS_LINES_MAX = 150_000
"""Of Python, whatever the size of the source: about 25 ms."""


def hostile_source(unit: str | None, *, chars: int) -> str:
    """A source of so many characters; without a unit, of statements that all differ."""
    if unit is None:
        names = ",".join(f"x{number}" for number in range(60))
        return "".join(f"from numpy.a{n}.b import {names}\n" for n in range(chars // 250))[:chars]
    return (unit * (chars // len(unit) + 1))[:chars]


@pytest.mark.parametrize("prelude", ["none", "codeio"])
@pytest.mark.parametrize("unit", HOSTILE_UNITS.values(), ids=HOSTILE_UNITS.keys())
def test_guess_of_the_largest_source_takes_milliseconds(unit: str | None, prelude: str) -> None:
    """G01: one such source kept the event loop for 240 s; 15 ms is what the slowest takes."""
    source = hostile_source(unit, chars=15_500_000)
    refuse_effort(lambda: guess(source, prelude=prelude), lines_max=GUESS_LINES_MAX)


def test_guess_of_ten_thousand_expressions_takes_milliseconds() -> None:
    """The bounds hold for all texts together: each call may bring an expression."""
    texts = ["from numpy import " + ",".join(f"x{n}" for n in range(200))] * 10_000
    refuse_effort(lambda: guess(*texts, prelude="codeio"), lines_max=GUESS_LINES_MAX)


def test_guess_finds_an_import_behind_a_docstring_that_mentions_many() -> None:
    """A bound on places is no bound on lines."""
    assert guess('"""Tell them apart: an import is important."""\n' * 50 + "import numpy") == (
        "numpy",
    )
