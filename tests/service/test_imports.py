"""Guessing imported packages from lines of source: a table, and time that grows with the length."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execbox_service.operations.package_guess import guess_packages

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


@pytest.mark.parametrize(
    "unit",
    ["import ", "from ", " ", "\t", "import a,", "from a import ", "from a import b,", "import a.",
     "\n", "from" + " " * 50, "import numpy\n", "a" * 50 + "."],
)  # fmt: skip
def test_guess_takes_time_in_proportion_to_the_length(unit: str) -> None:
    """Source can be made to blow a parser up; a scan of lines it cannot."""
    durations = []
    for size in (20_000, 200_000):
        source = (unit * size)[:size]
        started_s = time.perf_counter()
        guess(source)
        durations.append(time.perf_counter() - started_s)
    assert durations[1] < 0.2 + 40 * durations[0]
    assert durations[1] < 2
