"""Guessing which packages a source imports, so that a zygote can import them before the fork.

A linear scan of lines, not a parser: source can be made to blow a parser up, and a wrong guess
costs time only. Only names from the image's own list, or from the list here, reach a container.
"""

from __future__ import annotations

import re

SUBMODULES = frozenset(
    {
        *("numpy.linalg", "numpy.random", "numpy.fft", "numpy.polynomial"),
        *("scipy.optimize", "scipy.stats", "scipy.linalg", "scipy.special", "scipy.integrate"),
        *("scipy.interpolate", "scipy.spatial", "scipy.sparse", "scipy.signal", "scipy.ndimage"),
        *("scipy.sparse.linalg", "scipy.sparse.csgraph", "scipy.spatial.distance"),
        *("Crypto.Cipher", "Crypto.Hash", "Crypto.Random", "Crypto.Util", "Crypto.PublicKey"),
        *("dateutil.parser", "dateutil.relativedelta", "dateutil.rrule"),
        *("sklearn.linear_model", "sklearn.metrics", "sklearn.cluster", "sklearn.preprocessing"),
    }
)
"""Submodules that are worth importing by themselves: their packages do not import them."""
STANDARD_LIBRARY = frozenset(
    {
        *("ast", "asyncio", "base64", "binascii", "calendar", "concurrent.futures", "csv"),
        *("ctypes", "difflib", "doctest", "hashlib", "hmac", "html", "inspect", "io", "locale"),
        *("logging", "multiprocessing", "pathlib", "pickle", "pprint", "queue", "secrets"),
        *("shutil", "sqlite3", "subprocess", "tempfile", "threading", "timeit", "traceback"),
        *("unicodedata", "unittest", "urllib.parse", "uuid", "xml.etree.ElementTree", "zlib"),
        *("zoneinfo",),
    }
)
"""Modules that every fork would pay for if all zygotes had them; those that name them get them."""
_STATEMENT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]{1,100})[ \t]+import[ \t]+([\w, \t]{0,300})"
    r"|import[ \t]+([\w., \t]{1,300}))",
    re.MULTILINE,
)
_KNOWN = SUBMODULES | STANDARD_LIBRARY
_NUMPY_NAME = re.compile(r"\bnp\b")
_PACKAGES_MAX = 12


def guess_packages(texts: list[str], *, available: frozenset[str], prelude: str) -> tuple[str, ...]:
    """Modules of the image that the texts' import lines name, in a canonical order."""
    found: set[str] = set()
    for text in texts:
        for match in _STATEMENT.finditer(text):
            found |= _modules(match)
        if prelude == "codeio" and _NUMPY_NAME.search(text):
            found.add("numpy")
    known = {name for name in found if name in available or name in _KNOWN}
    return tuple(sorted(known)[:_PACKAGES_MAX])


def _modules(match: re.Match[str]) -> set[str]:
    source, names, plain = match.groups()
    if plain is not None:
        dotted = [part.split()[0] for part in plain.split(",") if part.strip()]
    else:
        parts = [part.split()[0] for part in names.split(",") if part.strip()]
        dotted = [source, *(f"{source}.{part}" for part in parts)]
    return {prefix for name in dotted for prefix in _prefixes(name)}


def _prefixes(name: str) -> set[str]:
    parts = name.split(".")
    return {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
