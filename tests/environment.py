"""An environment without settings of ours, for tests that set what they need. No tests."""

from __future__ import annotations

import os

import pytest

_OF_THE_TERMINAL = ("NO_COLOR", "TERM")


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the shell that runs the tests has set does not reach them.

    A folder's conftest takes it over by importing it.
    """
    for name in [name for name in os.environ if name.startswith("EXECBOX_")]:
        monkeypatch.delenv(name)
    for name in _OF_THE_TERMINAL:
        monkeypatch.delenv(name, raising=False)
