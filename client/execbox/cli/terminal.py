"""How text reaches the terminal: escaping and colour. What is said is up to the commands."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TextIO, TypeAlias

from execbox.visible_text import visible

__all__ = ["Style", "Terminal", "open_terminal", "visible"]

Style: TypeAlias = Literal["good", "bad", "dim", "bold"]

_SGR_CODES: dict[Style, str] = {"good": "32", "bad": "31", "dim": "2", "bold": "1"}


@dataclass(frozen=True, slots=True)
class Terminal:
    """Standard output and error of one command. Text that is written is made ``visible`` first."""

    out: TextIO
    err: TextIO
    colored: bool
    quiet: bool = False
    """Whether only the answer and what went wrong is wanted: no progress, no remarks."""
    no_color: bool = False
    """Whether colours are not wanted on any stream; ``colored`` is about ``out`` alone."""
    is_dumb: bool = False
    """Whether a terminal, if there is one, can only be written to, line by line."""

    def line(self, text: str = "") -> None:
        """One or more lines of result, on standard output."""
        print(visible(text), file=self.out)

    def labelled(self, label: str, text: str, *, style: Style) -> None:
        """A line that begins with a styled label."""
        print(f"{self._painted(visible(label), style)}{visible(text)}", file=self.out)

    def error(self, message: str) -> None:
        """A message for people, on standard error."""
        print(f"execbox: {visible(message)}", file=self.err)

    def failure(self, failure: Mapping[str, object]) -> None:
        """A line for programs, on standard error: one JSON object."""
        # JSON escapes all that a terminal would obey, but for the one control character here.
        print(json.dumps(failure).replace("\x7f", "\\u007f"), file=self.err)

    @staticmethod
    def write_bytes(content: bytes, stream: TextIO) -> None:
        """As they are, to a file or pipe; a terminal gets them as text, made ``visible``."""
        if stream.isatty():
            stream.write(visible(content.decode("utf-8", "replace")))
            return
        stream.flush()
        stream.buffer.write(content)
        stream.buffer.flush()

    def _painted(self, text: str, style: Style) -> str:
        return f"\x1b[{_SGR_CODES[style]}m{text}\x1b[0m" if self.colored else text


def open_terminal(out: TextIO, err: TextIO, *, no_color: bool, is_dumb: bool = False) -> Terminal:
    """A terminal on two streams; coloured only where ``out`` is one and ``no_color`` is false."""
    for stream in (out, err):
        if isinstance(stream, io.TextIOWrapper):
            # What the locale cannot show is escaped too, instead of ending the command.
            stream.reconfigure(errors="backslashreplace")
    return Terminal(
        out=out,
        err=err,
        colored=out.isatty() and not no_color,
        no_color=no_color,
        is_dumb=is_dumb,
    )
