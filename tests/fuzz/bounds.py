"""How much fuzzing a run does, and inputs that several fuzzers draw from. No tests.

The suite draws the same few hundred examples each time. ``EXECBOX_FUZZ_EXAMPLES=100000 pytest
tests/fuzz`` draws as many new ones, and prints what reproduces a failure; ``--hypothesis-seed=N``
then chooses which.
"""

from __future__ import annotations

import json
import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

_ASKED_EXAMPLES = "EXECBOX_FUZZ_EXAMPLES"


def bounded(example_count: int) -> settings:
    """Settings for a fuzzer that draws this many examples in the suite."""
    asked = os.environ.get(_ASKED_EXAMPLES)
    return settings(
        max_examples=int(asked) if asked else example_count,
        derandomize=not asked,
        print_blob=True,
        deadline=None,
        # How fast examples are drawn says nothing about what is tested.
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


# Numbers that are equal and not the same (0 and -0.0) are written differently, so none is lost.
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), inner)
    ),
    max_leaves=10,
)


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Bytes of ``whole``, some of which were cut out, doubled, changed or put in."""
    data = draw(whole)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 8)))
        instead = draw(st.binary(max_size=6) | st.just(data[start:end] * 2))
        data = data[:start] + instead + data[end:]
    return data


@st.composite
def portions(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> list[bytes]:
    """The bytes of ``whole`` in the pieces in which they happen to arrive, some of them empty."""
    data = draw(whole)
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def same(left: Any, right: Any) -> bool:
    """Whether two JSON values are the same to the last bit: 1, 1.0 and True are three values."""
    return json.dumps(left) == json.dumps(right)
