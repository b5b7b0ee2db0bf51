"""What this machine lacks ends a test, and where it is required, fails it."""

from __future__ import annotations

import pytest

from tests.required import REQUIRED, skip_or_fail


@pytest.mark.parametrize(
    ("required", "ending"), [(True, pytest.fail.Exception), (False, pytest.skip.Exception)]
)
def test_lacking_thing_skips_or_fails_as_the_environment_says(
    pytestconfig: pytest.Config, required: bool, ending: type[BaseException]
) -> None:
    """With what is lacking in the message."""
    before = pytestconfig.stash[REQUIRED]
    pytestconfig.stash[REQUIRED] = required
    try:
        with pytest.raises(ending, match="no daemon of its own"):
            skip_or_fail(pytestconfig, "no daemon of its own")
    finally:
        pytestconfig.stash[REQUIRED] = before
