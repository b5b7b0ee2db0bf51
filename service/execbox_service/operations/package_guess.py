"""Guessing which packages a source imports, so that a zygote can import them before the fork.

A scan for one word, not a parser: source can be made to blow a parser up, and a wrong guess costs
time only. How much of a text is looked at is bounded, because any text may come. Only names from
the image's own list, or from the list here, reach a container.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence

SUBMODULES = frozenset(
    {
        *("numpy.linalg", "numpy.random", "numpy.fft", "numpy.polynomial"),
        *("scipy.optimize", "scipy.stats", "scipy.linalg", "scipy.special", "scipy.integrate"),
        *("scipy.interpolate", "scipy.spatial", "scipy.sparse", "scipy.signal", "scipy.ndimage"),
        *("scipy.sparse.linalg", "scipy.sparse.csgraph", "scipy.spatial.distance"),
        *("Crypto.Cipher", "Crypto.Hash", "Crypto.Random", "Crypto.Util", "Crypto.PublicKey"),
        *("dateutil.parser", "dateutil.relativedelta", "dateutil.rrule"),
        *("matplotlib.pyplot", "matplotlib.patches", "matplotlib.figure", "matplotlib.animation"),
        *("PIL.Image", "PIL.ImageDraw"),
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
    r"[ \t]*(?:from[ \t]+([\w.]{1,100})[ \t]+import[ \t]+([\w, \t]{0,300})"
    r"|import[ \t]+([\w., \t]{1,300}))"
)
_KNOWN = SUBMODULES | STANDARD_LIBRARY
_PACKAGES_MAX = 12
_SCANNED_CHARS_MAX = 1_000_000
"""Of all texts together. Imports stand at the beginning, or the guess is wrong and costs time."""
_PLACES_MAX = 300
"""Places where the word stands that are looked at. No honest source imports so often."""
_MARGIN_CHARS_MAX = 150
"""Of a line before the word ``import``: indentation, and the module that names come from."""
_NAMES_MAX = 20
"""Names of one statement that are looked at."""
_PARTS_MAX = max(name.count(".") for name in _KNOWN) + 1


def guess_packages(
    texts: Sequence[str], *, available: Container[str], prelude: str
) -> tuple[str, ...]:
    """Modules of the image that the texts' import lines name, in a canonical order.

    A few milliseconds whatever the texts are, since the event loop waits for it.
    """
    found: set[str] = set()
    for statement in _statements(texts):
        found |= {name for name in _modules(statement) if name in available or name in _KNOWN}
    if prelude == "codeio" and _names_numpy(texts):
        found.add("numpy")
    return tuple(sorted(found)[:_PACKAGES_MAX]) if found else ()


def _statements(texts: Sequence[str]) -> Iterator[re.Match[str]]:
    """The import statements that begin a line, each once however often it comes."""
    seen: set[str] = set()
    for text, place in _places(texts, "import"):
        earliest = max(0, place - _MARGIN_CHARS_MAX)
        begin = text.rfind("\n", earliest, place) + 1
        if begin == 0 and earliest > 0:
            continue
        match = _STATEMENT.match(text, begin)
        if match is not None and match[0] not in seen:
            seen.add(match[0])
            yield match


def _places(texts: Sequence[str], word: str) -> Iterator[tuple[str, int]]:
    """The first places where a word stands in the texts, each with its text. ``str.find`` reads a
    million characters in less than two milliseconds, a regular expression in fifty (measured)."""
    left_chars, left_count = _SCANNED_CHARS_MAX, _PLACES_MAX
    for text in texts:
        end = len(text) if len(text) < left_chars else left_chars
        place = text.find(word, 0, end)
        while place >= 0 and left_count:
            yield text, place
            left_count -= 1
            place = text.find(word, place + len(word), end)
        left_chars -= end
        if not (left_chars and left_count):
            return


def _names_numpy(texts: Sequence[str]) -> bool:
    """Whether ``np`` stands by itself somewhere, among the first places with these two letters."""
    return any(
        not _goes_on(text[max(0, place - 1) : place]) and not _goes_on(text[place + 2 : place + 3])
        for text, place in _places(texts, "np")
    )


def _goes_on(character: str) -> bool:
    return character == "_" or character.isalnum()


def _modules(match: re.Match[str]) -> set[str]:
    source, names, plain = match.groups()
    if plain is not None:
        dotted = [part.split()[0] for part in plain.split(",") if part.strip()]
    else:
        parts = [part.split()[0] for part in names.split(",") if part.strip()]
        dotted = [source, *(f"{source}.{part}" for part in parts)]
    return {prefix for name in dotted[:_NAMES_MAX] for prefix in _prefixes(name)}


def _prefixes(name: str) -> set[str]:
    parts = name.split(".", _PARTS_MAX)[:_PARTS_MAX]
    return {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
