"""The parser of every command: argparse's, which says what a mistyped word may have meant.

It may also leave what comes after ``--`` alone. Which options a command has is in the command's
module.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

__all__ = ["CommandParser", "keep_words_after_dashes", "leaves_of", "meant", "subparsers_of"]

_WORDS = "words_after_dashes"
_SHOWN_CHARS = 60
_LIKENESS_MIN = 0.65
"""As difflib counts it: 1 is the same. ``rnu`` is 0.67 like ``run``."""


class CommandParser(argparse.ArgumentParser):
    """As argparse has it, but for what it says of words that it does not know.

    A command complains of them itself, with its own usage. Where ``keep_words_after_dashes`` was
    said of it, what follows ``--`` is left alone: argparse's own way to take it, a last positional
    with ``*``, takes it only where no option stands between the other positionals and ``--``.
    """

    _words: Sequence[str] = ()
    """What is being parsed, for ``error``, which is told only what argparse found first."""

    def parse_known_args(
        self, args: Iterable[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """What was given; never anything unknown, which ends the program as other mistakes do."""
        words = list(sys.argv[1:] if args is None else args)
        after: list[str] | None = None
        if self.get_default(_WORDS) is not None and "--" in words:
            at = words.index("--")
            words, after = words[:at], words[at + 1 :]
        self._words = words
        found, unknown = super().parse_known_args(words, namespace)
        if unknown:
            self.error(self._about(unknown))
        if after is not None:
            setattr(found, _WORDS, after)
        return found, []

    def error(self, message: str) -> NoReturn:
        """Usage, ``message`` and, where that is not about it already, the unknown option."""
        mistyped = [word for word in self._unknown_options() if _named(word) not in message]
        if mistyped:
            message = f"{message}; {self._about(mistyped)}"
        super().error(message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        # Private, and there from Python 3.11 to 3.14: the only place that knows action and value.
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            guess = meant(str(value), map(str, action.choices or ()))
            if isinstance(action, argparse._SubParsersAction):
                kind = "command" if self.prog.count(" ") == 0 else f"{action.metavar}".lower()
                raise argparse.ArgumentError(
                    None,
                    f"unknown {kind} {_shown(str(value))!r}"
                    + (guess or f": choose from {', '.join(action.choices)}"),
                ) from error
            raise argparse.ArgumentError(action, f"{error.message}{guess}") from error

    def _about(self, unknown: Sequence[str]) -> str:
        options = [word for word in unknown if word.startswith("-")]
        if options:  # What stands between them are their values.
            return "; ".join(map(self._about_option, options))
        return f"unexpected {' '.join(map(_shown, unknown))!r}"

    def _about_option(self, word: str) -> str:
        name = _named(word)
        text = f"unknown option {_shown(name)}"
        guess = meant(name, self._option_string_actions)
        if guess:
            return text + guess
        if any(name in each._option_string_actions for each in subparsers_of(self).values()):
            return f"{text} here: a command's options come after its name"
        return f"{text}; `{self.prog} --help` lists those that there are"

    def _unknown_options(self) -> Iterator[str]:
        """Words that can only be options and are none, before what belongs to a subcommand."""
        has_commands = bool(subparsers_of(self))
        for word in self._words:
            if word == "--" or (has_commands and not word.startswith("-")):
                return
            if not word.startswith("--") or " " in word:
                continue
            # An unambiguous beginning of an option's name is that option.
            if not any(known.startswith(_named(word)) for known in self._option_string_actions):
                yield word


def keep_words_after_dashes(parser: argparse.ArgumentParser) -> None:
    """Let a command have whatever follows ``--``, unread, as ``words_after_dashes``."""
    parser.set_defaults(**{_WORDS: []})


def subparsers_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands of a parser by name; empty where it has none."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def leaves_of(
    parser: argparse.ArgumentParser, name: str = ""
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that can be run and its name, such as ``score predictions``."""
    for word, each in subparsers_of(parser).items():
        full = f"{name} {word}".strip()
        if subparsers_of(each):
            yield from leaves_of(each, full)
        else:
            yield full, each


def meant(word: str, known: Iterable[str]) -> str:
    """``; did you mean ...?`` with the names that are most like ``word``; empty if none is."""
    by_bare = {name.lstrip("-"): name for name in known}
    close = difflib.get_close_matches(word.lstrip("-"), by_bare, n=2, cutoff=_LIKENESS_MIN)
    return f"; did you mean {' or '.join(by_bare[bare] for bare in close)}?" if close else ""


def _named(word: str) -> str:
    return word.partition("=")[0]


def _shown(word: str) -> str:
    return word if len(word) <= _SHOWN_CHARS else word[:_SHOWN_CHARS] + "..."
