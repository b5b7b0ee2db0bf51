"""The names that a prelude binds before the user's source runs, and nothing else."""

from __future__ import annotations

import re
from typing import Any

_NUMPY_NAME = re.compile(r"\bnp\b")

_CODEIO = """
from typing import *
from operator import *
from collections import *
from itertools import *
from functools import *
from heapq import *
from bisect import *
from copy import deepcopy
from math import *
from os.path import commonprefix
from random import randint, randrange, shuffle
from re import search as re_search
from string import ascii_lowercase, ascii_uppercase
from builtins import abs, pow
import bisect, collections, copy, datetime, functools, heapq, itertools, json, math, operator
import random, re, signal, string, sys, typing
"""
# All that CodeI/O's own scripts put before a function, and the rest of the modules it is taken
# from. In this order built-in functions stay what they are (math and operator have a pow of their
# own, without a third argument), and a name is the module's where it has a function of that name.
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
