"""What counts as different in the run of other projects' trainers."""

from __future__ import annotations

from acceptance.trainers import EXPECTED, differing


def test_reward_that_is_missing_or_different_is_named() -> None:
    """A trainer that ended early has not made the rest of anything."""
    assert differing(dict(EXPECTED)) == []
    first, second, *_ = EXPECTED
    told = {case: made for case, made in EXPECTED.items() if case != first} | {second: "other"}
    assert differing(told) == [
        f"{first}: nothing instead of {EXPECTED[first]}",
        f"{second}: other instead of {EXPECTED[second]}",
    ]
