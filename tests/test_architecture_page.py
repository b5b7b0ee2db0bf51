"""docs/architecture.md names what is there: its picture has the floors, its paths exist."""

from __future__ import annotations

import re
from pathlib import Path

from tests.test_layering import FLOORS

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
BASES = (
    ".",
    "client/execbox",
    "client/execbox/dataset",
    "client/execbox/dataset/steps",
    "service/execbox_service",
    "sandbox-image",
    "sandbox-image/execbox_runner",
)
"""What a path of the page may be relative to."""
PATH = re.compile(r"`([a-z_-]+(?:/[a-z_-]+)*(?:/|\.(?:py|md|yml|in)))`")


def drawn_floors() -> list[set[str]]:
    """The rooms of each bar of the picture, top to bottom."""
    picture = PAGE.split("```")[1]
    inside = picture[picture.index(" .---") : picture.index(" '---")]
    bars = re.split(r"^ [.|]-+[.|]$", inside, flags=re.MULTILINE)[1:]
    # A room stands at the left of the bar, or after a wide gap, and what it is after a gap.
    return [set(re.findall(r"(?:\|  |   )([a-z_]+)  +(?=\w)", bar)) for bar in bars]


def test_picture_has_the_floors_that_imports_are_held_to() -> None:
    """A room that moves, moves here."""
    # Both sides have it; it is drawn with the client.
    floors = [floor - {"strict_json"} for floor in FLOORS]
    assert drawn_floors() == floors


def test_every_path_of_the_page_exists() -> None:
    """A file that is renamed is renamed here."""
    named = set(PATH.findall(PAGE))
    assert len(named) > 50
    missing = {name for name in named if not any((ROOT / base / name).exists() for base in BASES)}
    assert missing == set()
