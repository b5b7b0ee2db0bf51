"""How deep a text nests, measured by a scan that cannot recurse. Nothing is decoded here."""

from __future__ import annotations

import operator
from functools import lru_cache
from itertools import accumulate

__all__ = ["JSON_DEPTH_MAX", "nesting_depth"]

JSON_DEPTH_MAX = 64
"""Deepest nesting of arrays and objects, in a request body and in an output alike."""

_BRACKETS_AND_QUOTES = b'"[]{}'
_ALL_BUT_BRACKETS_AND_QUOTES = bytes(set(range(256)) - set(_BRACKETS_AND_QUOTES))
_BRACES_TO_BRACKETS = bytes.maketrans(b"{}", b"[]")
_BRACKETS_TO_BITS = bytes.maketrans(b"[]", b"10")


def nesting_depth(body: bytes) -> int:
    """How deep arrays and objects nest in ``body``, in linear time and without recursion.

    Exact for valid JSON. For anything else at least the depth a parser reaches before it stops.
    """
    brackets = _brackets_outside_strings(body)
    if not brackets:
        return 0
    padding = -len(brackets) % 8
    # An int made of the brackets as binary digits packs eight of them into a byte in C, and a
    # byte's effect on the depth is then one table look-up: 16 MiB take a tenth of a second where
    # a loop over characters takes seconds.
    bits = int(brackets.translate(_BRACKETS_TO_BITS) + b"0" * padding, base=2)
    packed = bits.to_bytes((len(brackets) + padding) // 8, "big")
    changes, peaks = _depth_tables()
    depths_before = accumulate(map(changes.__getitem__, packed), initial=0)
    deepest: int = max(map(operator.add, depths_before, map(peaks.__getitem__, packed)))
    return deepest


@lru_cache(maxsize=1)
def _depth_tables() -> tuple[list[int], list[int]]:
    """For each byte of eight bracket bits: its net change of depth, and its highest depth."""
    changes: list[int] = []
    peaks: list[int] = []
    for byte in range(256):
        depths = list(
            accumulate((1 if byte >> bit & 1 else -1 for bit in range(7, -1, -1)), initial=0)
        )
        changes.append(depths[-1])
        peaks.append(max(depths))
    return changes, peaks


def _brackets_outside_strings(body: bytes) -> bytes:
    if b"\\" in body:
        # A run of backslashes is left with one or none, so what remains escapes its quote.
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    skeleton = body.translate(_BRACES_TO_BRACKETS, _ALL_BUT_BRACKETS_AND_QUOTES)
    # Two quotes with no bracket between them open and close, or close and open: either way the
    # pair changes nothing, and most strings vanish here without being split.
    skeleton = skeleton.replace(b'""', b"")
    return b"".join(skeleton.split(b'"')[::2])
