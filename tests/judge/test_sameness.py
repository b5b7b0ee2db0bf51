"""What tells two executions apart, and what does not."""

from __future__ import annotations

import pytest

from execbox_service.judge import sameness
from execbox_service.judge.sameness import without_addresses

ADDRESSES = {
    "<A at 0x7f00deadbeef> and <B at 0x55aa00112233>": "<A at 0x> and <B at 0x>",
    "0x12345 is none": "0x12345 is none",
    "0x" + "a" * 20: "0xaaaa",
    "0x0x123456": "0x0x",
    "0x1234560x123456": "0xx123456",
    "nothing": "nothing",
    "": "",
}


@pytest.mark.parametrize("text", ADDRESSES)
def test_addresses_are_masked_wherever_a_step_ends(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long text is looked at in steps, and an address may begin in one and end in the next."""
    for step_chars in (*range(1, 20), 10_000):
        monkeypatch.setattr(sameness, "_LOOKED_AT_CHARS", step_chars)
        assert without_addresses(text) == ADDRESSES[text]
