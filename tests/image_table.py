"""The table of packages in docs/image.md, made from the lock of the sandbox image.

``python -m tests.image_table --write`` puts it into the page; a test holds the page to it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "image.md"
BEGIN: Final = "<!-- made from the lock by: python -m tests.image_table --write -->\n"
END: Final = "<!-- end of packages -->"
_PINNED: Final = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)


def locked() -> dict[str, str]:
    """The version of each package of the image, by its name in small letters."""
    text = (ROOT / "sandbox-image" / "requirements.lock").read_text("utf-8")
    return dict(_PINNED.findall(text))


def groups() -> dict[str, list[str]]:
    """What requirements.in asks for, under the first sentence of the comment above it."""
    text = (ROOT / "sandbox-image" / "requirements.in").read_text("utf-8")
    found: dict[str, list[str]] = {}
    # The first block is about the file.
    for block in text.strip().split("\n\n")[1:]:
        lines = block.splitlines()
        comment = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
        heading = re.split(r"[.:] ", comment.rstrip("."), maxsplit=1)[0]
        names = [Requirement(line).name for line in lines if not line.startswith("#")]
        found[heading] = names
    return found


def table() -> str:
    """A row for each group, and one for what these packages need themselves."""
    versions = locked()
    asked_for = groups()
    named = {name for names in asked_for.values() for name in names}
    rows = ["| | packages |", "|---|---|"]
    for heading, names in [
        *asked_for.items(),
        ("What these need", sorted(versions.keys() - named)),
    ]:
        rows.append(f"| {heading} | {', '.join(f'{name} {versions[name]}' for name in names)} |")
    return "\n".join(rows) + "\n"


def written(page: str) -> str:
    """The page with the table as it is now. Raises ValueError where the page has no place."""
    begin = page.index(BEGIN) + len(BEGIN)
    return page[:begin] + "\n" + table() + "\n" + page[page.index(END, begin) :]


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.image_table --write")
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
