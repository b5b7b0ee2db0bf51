"""What this machine lacks ends a test, and where it is required, fails it."""

from __future__ import annotations

import pytest

from tests import required
from tests.required import DOCKER, skip_or_fail


@pytest.mark.parametrize(
    ("set_variables", "ending"),
    [
        ({DOCKER}, pytest.fail.Exception),
        ({"EXECBOX_REQUIRE_BROWSER"}, pytest.skip.Exception),
        (set(), pytest.skip.Exception),
    ],
)
def test_lacking_thing_skips_or_fails_as_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, set_variables: set[str], ending: type[BaseException]
) -> None:
    """With what is lacking in the message."""
    monkeypatch.setattr(required, "REQUIRED", frozenset(set_variables))
    with pytest.raises(ending, match="no daemon of its own"):
        skip_or_fail("no daemon of its own")
