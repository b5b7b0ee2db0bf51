"""The parser of every command: argparse's, which may leave what comes after ``--`` alone.

Which options a command has is in the command's module.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

__all__ = ["CommandParser", "keep_words_after_dashes"]

_WORDS = "words_after_dashes"


class CommandParser(argparse.ArgumentParser):
    """As argparse has it, but where ``keep_words_after_dashes`` was said of it.

    argparse's own way to take them, a last positional with ``*``, takes them only where no option
    stands between the other positionals and ``--``.
    """

    def parse_known_args(
        self, args: Iterable[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """What is known and what is not."""
        words = list(args or ())
        if self.get_default(_WORDS) is None or "--" not in words:
            return super().parse_known_args(args, namespace)
        at = words.index("--")
        found, unknown = super().parse_known_args(words[:at], namespace)
        setattr(found, _WORDS, words[at + 1 :])
        return found, unknown


def keep_words_after_dashes(parser: argparse.ArgumentParser) -> None:
    """Let a command have whatever follows ``--``, unread, as ``words_after_dashes``."""
    parser.set_defaults(**{_WORDS: []})
