"""Attacks in bash and C++: whole programs, in profile ``processes``, which is the wider one.

Each is a file of ``programs/``, whose first lines say its name, how it may end, what it prints
then, and how often it is sent in a row. A *probe* tries what must be refused, names whatever
worked, and prints "refused" at its end. Those in Python are in the modules beside this one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from execbox.wire import Language
from harness.attacks.attack import Attack

PROGRAMS: Final = Path(__file__).parent / "programs"
_LANGUAGES: Final[dict[str, Language]] = {".sh": "bash", ".cpp": "cpp"}
_HEAD = re.compile(
    r"(?:#|//) (?P<name>.+)\n(?:#|//) ends: (?P<ends>.+)\n"
    r"(?:(?:#|//) prints: (?P<prints>.+)\n)?(?:(?:#|//) sent: (?P<sent>\d+) times\n)?\n"
)
_INCLUDED = re.compile(r'^(?:#include "(probe\.h)"|\. (probe\.sh))$', re.MULTILINE)


def started_attacks(language: Language) -> list[Attack]:
    """All programs in one language, by name."""
    return [
        _attack_of(path)
        for path in sorted(PROGRAMS.iterdir())
        if _LANGUAGES.get(path.suffix) == language and path.stem != "probe"
    ]


def _attack_of(path: Path) -> Attack:
    """A file as an attack, with what it includes put in its place."""
    text = path.read_text("utf-8")
    head = _HEAD.match(text)
    if head is None:
        raise ValueError(f"{path}: its first lines do not say how it may end")
    prints = head["prints"]
    return Attack(
        head["name"],
        _INCLUDED.sub(lambda found: (PROGRAMS / (found[1] or found[2])).read_text("utf-8"), text),
        statuses=tuple(head["ends"].split(", ")),
        output=f"{prints}\n" if prints else None,
        any_output=prints is None,
        repeat=int(head["sent"] or 1),
        language=_LANGUAGES[path.suffix],
    )
