"""Strict JSON (RFC 8259) both ways, for both sides: bodies, answers, files, outputs of sandboxes.

No HTTP, no schema and no comparison: those live in the HTTP layers, ``execbox.wire`` and the judge.

``json.loads`` alone is not enough. It takes the last of two equal keys, accepts NaN and lone
surrogates, turns 1e400 into infinity, and answers nesting with a RecursionError whose depth
depends on the caller's stack. Texts come from strangers, so the depth is measured by a scan of
the bytes that cannot recurse, before anything that can. ``json.dumps`` alone is not enough either:
it writes NaN, and turns keys that are no strings into some.
"""

from __future__ import annotations

from execbox.strict_json.faults import (
    DIGITS_MAX,
    Path,
    Reason,
    StrictJSONError,
    path_text,
    shortened,
)
from execbox.strict_json.nesting import nesting_depth
from execbox.strict_json.reading import DOCUMENT_DEPTH_MAX, JSON, decode
from execbox.strict_json.writing import encode

__all__ = [
    "DIGITS_MAX",
    "DOCUMENT_DEPTH_MAX",
    "JSON",
    "Path",
    "Reason",
    "StrictJSONError",
    "decode",
    "encode",
    "nesting_depth",
    "path_text",
    "shortened",
]
