"""Ending a test of what this machine lacks: skipped, or failed where nothing may be lacking.

What is looked for, and how, is in the fixtures that find it missing.
"""

from __future__ import annotations

import os
from typing import Final, NoReturn

import pytest

__all__ = ["DOCKER", "REQUIRED", "skip_or_fail"]

DOCKER: Final = "EXECBOX_REQUIRE_DOCKER"
REQUIRED: Final = frozenset(
    name for name, value in os.environ.items() if name.startswith("EXECBOX_REQUIRE_") and value
)
"""Variables that were set when the run began, before any fixture changed the environment."""


def skip_or_fail(lacking: object, *, by: str = DOCKER) -> NoReturn:
    """Skip the test for what is lacking, or fail it where the variable ``by`` was set, so that CI
    cannot pass by skipping."""
    if by in REQUIRED:
        pytest.fail(f"{by} is set, but {lacking}", pytrace=False)
    pytest.skip(f"{lacking}")
