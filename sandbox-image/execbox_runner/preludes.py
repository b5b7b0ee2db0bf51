"""The names that a prelude binds before the user's source runs, and nothing else."""

from __future__ import annotations

import re
from typing import Any

_NUMPY_NAME = re.compile(r"\bnp\b")

_CODEIO = """
import bisect, collections, copy, datetime, functools, heapq, itertools, json, math, operator
import random, re, string, typing
from bisect import *
from collections import *
from functools import *
from heapq import *
from itertools import *
from math import *
from operator import *
from typing import *
from copy import copy, deepcopy
from math import pow
inf = float("inf")
"""
_CODEIO_COMPILED = compile(_CODEIO, "<prelude>", "exec")


def bind(prelude: str, namespace: dict[str, Any], *, sources: list[str]) -> None:
    """Bind a prelude's names in the module the source is about to run in.

    numpy is bound only where a source or expression has the name ``np``: it costs 0.1 s to import
    and no code can use the name without writing it.
    """
    if prelude != "codeio":
        return
    exec(_CODEIO_COMPILED, namespace)
    if any(_NUMPY_NAME.search(source) for source in sources):
        exec("import numpy as np", namespace)
