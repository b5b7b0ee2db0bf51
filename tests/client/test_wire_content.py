"""Bytes in requests: what is base64, and what only looks like it."""

from __future__ import annotations

import binascii

import pytest

from execbox.errors import InvalidRequest
from execbox.wire import Base64Content, content_bytes
from execbox.wire import content as wire_content

DATA = {
    "nothing": b"",
    "one padded": b"ab",
    "two padded": b"a",
    "more than one part": bytes(range(256)) * 40,
}
WRONG = {
    "no padding": "eXl",
    "padding too many": "eXl5====",
    "an equals sign too many": "eXl5=",
    "padding in the middle": "eXk=eXk=",
    "padding at the end of a part": "eXk=" + "A" * 60,
    "a line end": "eXl5\neXl",
    "another alphabet": "-_-_",
}


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_content, "_PART_CHARS", 4)


@pytest.mark.parametrize("name", DATA)
def test_base64_of_any_bytes_is_those_bytes(name: str) -> None:
    """Read in parts, wherever they end."""
    given = Base64Content(base64=binascii.b2a_base64(DATA[name], newline=False).decode())
    assert content_bytes(given) == DATA[name]


@pytest.mark.parametrize("name", WRONG)
def test_base64_that_is_none_is_refused_in_any_part(name: str) -> None:
    """As strictly as in one piece, and more so: what is left over after the padding is an error."""
    with pytest.raises(InvalidRequest, match="must be base64 with padding"):
        Base64Content(base64=WRONG[name])
