"""Which words a source says that call for more runs of it; what is done about them is elsewhere.

A scan for words, not a parser, as for packages: what it finds decides effort, never a result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

__all__ = ["names_entropy", "names_order"]

_ORDER = re.compile(r"\b(?:set|frozenset|hash|id)\b|\{[^{}:]*(?:,|\bfor\b)")
_ENTROPY = re.compile(
    r"\b(?:random|randint|choice|shuffle|sample|rvs|secrets|uuid\w?|urandom"
    r"|thread\w*|futures|asyncio)\b"
)
_SCANNED_CHARS_MAX = 100_000
"""Of all texts together: ten milliseconds at worst, since the event loop waits for it."""


def names_order(texts: Sequence[str]) -> bool:
    """Whether they name what has an order of its own: sets, hashes, addresses."""
    return any(_ORDER.search(text) for text in _scanned(texts))


def names_entropy(texts: Sequence[str]) -> bool:
    """Whether they say a word for randomness or threads; they need not use what they name."""
    return any(_ENTROPY.search(text) for text in _scanned(texts))


def _scanned(texts: Sequence[str]) -> Iterator[str]:
    left_chars = _SCANNED_CHARS_MAX
    for text in texts:
        yield text[:left_chars]
        left_chars = max(0, left_chars - len(text))
