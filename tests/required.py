"""Ending a test of what this machine lacks: skipped, or failed where nothing may be lacking.

What is looked for, and how, is in the fixtures that find it missing.
"""

from __future__ import annotations

from typing import Final, NoReturn

import pytest

__all__ = ["REQUIRED", "REQUIRED_BY", "skip_or_fail"]

REQUIRED_BY: Final = "EXECBOX_REQUIRE_DOCKER"
REQUIRED: Final = pytest.StashKey[bool]()
"""Whether it was set before any fixture changed the environment."""


def skip_or_fail(config: pytest.Config, lacking: object) -> NoReturn:
    """Skip the test for what is lacking, or fail it, so that CI cannot pass by skipping."""
    if config.stash[REQUIRED]:
        pytest.fail(f"{REQUIRED_BY} is set, but {lacking}", pytrace=False)
    pytest.skip(f"{lacking}")
