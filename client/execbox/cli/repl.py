"""`execbox repl`: a terminal in front of a session. What is typed is a cell.

Begins one session, and never a second by itself: one that is gone has lost its variables.
"""

from __future__ import annotations

import argparse
import ast
import binascii
import codeop
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from execbox import wire
from execbox.cli.answer_options import add_answer_options
from execbox.cli.input_files import read_bytes
from execbox.cli.outcomes import CommandError, ExitCode
from execbox.cli.services import add_url_options, client_of
from execbox.cli.terminal import Terminal, visible
from execbox.cli.wire_options import add_number_option
from execbox.errors import InvalidRequest, RequestTooLarge, SessionGone
from execbox.session import Session

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["add_parser", "repl"]

_LIMITS = ("cpu_time_s", "wall_time_s", "memory_mb")
_PROMPT, _MORE = ">>> ", "... "

_DESCRIPTION = """\
Type Python, as at the interpreter's own prompt: it runs in a session of the service, which keeps
its variables until you leave with Ctrl-D. Without a terminal, standard input is read in the same
way and nothing is prompted."""

_EPILOG = """\
examples:
  execbox repl
  execbox repl --file data.csv=local.csv --preload pandas
  echo 'sum(range(10))' | execbox repl

What a cell prints is seen as it comes. A cell over its limit, or at Ctrl-C, is interrupted and the
session lives. Figures that matplotlib has open are
written with --media DIRECTORY.

exit codes:
  0  left with Ctrl-D, or at the end of the input
  1  the session ended before that
  2  the caller's mistake: usage, a file, a value the service refuses
  3  the service failed, is overloaded, or could not be reached at EXECBOX_URL"""


def add_parser(commands: Subparsers) -> None:
    """Add `repl` to the command line."""
    parser = commands.add_parser(
        "repl",
        help="type Python that runs in a session of the service",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_url_options(parser)
    add_answer_options(
        parser,
        json="print a line of JSON for each cell, when it has ended, and nothing else",
        quiet="print what cells print, and neither prompts nor values",
    )
    parser.add_argument(
        "--file",
        dest="files",
        action="append",
        default=[],
        metavar="PATH=LOCAL",
        help="the file LOCAL, as PATH in the working directory; can be repeated",
    )
    parser.add_argument(
        "--preload",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="a package to have imported before the first cell; can be repeated",
    )
    parser.add_argument(
        "--media", type=Path, metavar="DIRECTORY", help="where figures are written, as PNG"
    )
    parser.add_argument(
        "--profile", choices=get_args(wire.Profile), help="processes: may fork and exec"
    )
    limits = parser.add_argument_group("limits of each cell; memory is the session's")
    for name in _LIMITS:
        add_number_option(limits, wire.SessionLimits, name)
    for name in ("idle_time_s", "lifetime_s"):
        add_number_option(parser, wire.SessionRequest, name)
    parser.set_defaults(handler=repl)


def repl(args: argparse.Namespace, terminal: Terminal) -> int:
    """Run cells until the input ends; the exit code says whether the session lasted so long."""
    given = {name: getattr(args, name) for name in _LIMITS if getattr(args, name) is not None}
    files = dict(_file(text) for text in args.files)
    if "-" in files.values():
        raise CommandError("--file: - is standard input, where the cells come from")
    if args.media is not None and not args.media.is_dir():
        raise CommandError(f"{args.media}: is no directory; make it, or name a different one")
    with (
        client_of(args, terminal=terminal) as client,
        client.session(
            limits=wire.SessionLimits.model_validate(given) if given else None,
            profile=args.profile,
            files={path: read_bytes(local) for path, local in files.items()} or None,
            preload=args.preload or None,
            idle_time_s=args.idle_time_s,
            lifetime_s=args.lifetime_s,
        ) as session,
    ):
        return _Conversation(session, terminal, media=args.media, as_json=args.json).run()


def _file(text: str) -> tuple[str, str]:
    path, equals, local = text.partition("=")
    if not (path and equals and local):
        raise CommandError(f"--file must be PATH=LOCAL, not {text!r:.200}")
    return path, local


class _Conversation:
    def __init__(
        self, session: Session, terminal: Terminal, *, media: Path | None, as_json: bool
    ) -> None:
        self._session = session
        self._terminal = terminal
        self._media = media
        self._as_json = as_json
        self._prompts = sys.stdin.isatty() and not (as_json or terminal.quiet)
        self._compiler = _compiler()

    def run(self) -> int:
        """Read, run, show; until the input or the session ends."""
        if self._prompts:
            # Line editing and history, where the interpreter has them.
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401 - importing it is what turns it on
        for source in self._cells():
            try:
                cell = self._session.run(source, on_output=self._show_output)
            except KeyboardInterrupt:
                # The service interrupts the cell when it is left alone; its variables are there.
                self._interrupted()
                continue
            except SessionGone as gone:
                self._terminal.error(str(gone))
                return ExitCode.NOT_OK
            except (InvalidRequest, RequestTooLarge) as refused:
                if not self._prompts:
                    raise
                # Nothing of it ran, and who types can change it.
                self._terminal.error(str(refused))
                continue
            if self._as_json:
                self._terminal.line(json.dumps(cell.model_dump(mode="json"), ensure_ascii=True))
                self._terminal.out.flush()
            else:
                self._show(cell)
            if cell.session_lost:
                self._terminal.error(f"the session is gone: {cell.lost_reason}")
                return ExitCode.NOT_OK
        if self._prompts:
            self._terminal.line()
        return ExitCode.OK

    def _cells(self) -> Iterator[str]:
        """What was typed, as soon as it is a whole statement, as at Python's own prompt."""
        lines: list[str] = []
        while True:
            try:
                lines.append(self._line(_MORE if lines else _PROMPT))
            except EOFError:
                if any(map(str.strip, lines)):
                    yield "\n".join(lines)
                return
            except KeyboardInterrupt:
                lines = []
                self._interrupted()
                continue
            source = "\n".join(lines)
            if not source.strip():
                lines = []
            elif _is_whole(source, self._compiler):
                lines = []
                yield source

    def _line(self, prompt: str) -> str:
        if self._prompts:
            return input(prompt)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.removesuffix("\n")

    def _interrupted(self) -> None:
        if self._as_json:  # Standard output is for one line a cell.
            self._terminal.error("interrupted")
        else:
            self._terminal.line("\nKeyboardInterrupt")

    def _show_output(self, piece: wire.CellOutput) -> None:
        """As it comes. With --json nothing is shown, and yet all of it asked for: only a cell whose
        output is read is interrupted when its reader goes away."""
        if self._as_json:
            return
        terminal = self._terminal
        for text, stream in ((piece.stdout, terminal.out), (piece.stderr, terminal.err)):
            if text:
                stream.write(visible(text))
                stream.flush()

    def _show(self, cell: wire.CellResponse) -> None:
        terminal = self._terminal
        cut = [name for name, value in cell.truncated.model_dump().items() if value]
        if cut:
            terminal.error(f"{' and '.join(cut)} cut at stdout_bytes of the session's limits")
        if cell.value is not None and cell.value.repr is not None and not terminal.quiet:
            terminal.line(cell.value.repr)
        for number, each in enumerate(cell.value.media if cell.value is not None else (), 1):
            self._write_image(each, name=f"cell-{cell.cell}-{number}.png")
        if cell.status is wire.Status.TIMEOUT:
            terminal.error(f"interrupted at its limit on {cell.limit}")
        elif cell.error is not None:
            terminal.err.write(visible(cell.error.traceback or cell.error.message) + "\n")
        terminal.out.flush()

    def _write_image(self, image: wire.Media, *, name: str) -> None:
        if self._media is None:
            self._terminal.error("a figure cannot be shown here; --media DIRECTORY writes it there")
            return
        try:
            path = _written_new(self._media, name, binascii.a2b_base64(image.base64))
        except OSError as error:
            # The session, with all of its variables, is worth more than a figure.
            self._terminal.error(f"a figure cannot be written: {error}")
            return
        self._terminal.line(str(path))


def _written_new(folder: Path, name: str, data: bytes) -> Path:
    """Write a file of this name, or of the first like it that is free; which it was."""
    stem, suffix = Path(name).stem, Path(name).suffix
    path, number = folder / name, 1
    while path.exists():
        number += 1
        path = folder / f"{stem}~{number}{suffix}"
    with path.open("xb") as file:
        file.write(data)
    return path


def _compiler() -> codeop.CommandCompiler:
    """Of statements as they are typed; ``await`` at the top level is one here."""
    compiler = codeop.CommandCompiler()
    compiler.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return compiler


def _is_whole(source: str, compiler: codeop.CommandCompiler) -> bool:
    """Whether it is a statement that more lines would not continue; also where it is wrong."""
    try:
        return compiler(source, "<cell>", "single") is not None
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        # The last two of what nests deeper than this interpreter reads: the session says so itself.
        return True
