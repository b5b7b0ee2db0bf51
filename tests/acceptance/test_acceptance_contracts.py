"""What counts as different in the run of other projects' clients."""

from __future__ import annotations

from acceptance.contracts import EXPECTED, differing


def test_case_that_is_missing_or_different_is_named() -> None:
    """A client that ended early has not passed the rest."""
    assert differing(dict(EXPECTED)) == []
    first, second, *_ = EXPECTED
    told = {key: made for key, made in EXPECTED.items() if key != first} | {second: "other"}
    said = differing(told)
    assert len(said) == 2
    assert said[0].startswith(f"{first[0]}, {first[1]}: nothing instead of ")
    assert "other" in said[1]
