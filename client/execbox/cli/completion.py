"""`execbox completion`: a script that teaches a shell the commands and options, made by shtab.

It is made of the parser itself, so it knows exactly what the command understands.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from execbox.cli.command_parser import leaves_of
from execbox.cli.outcomes import CommandError, ExitCode
from execbox.cli.terminal import Terminal

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["INSTALL_LINE", "SHELLS", "add_parser", "complete_for", "completion"]

INSTALL_LINE = "pip install 'execbox[cli]'"
SHELLS = ("bash", "zsh", "fish")

_FILES = frozenset({"FILE", "GENERATIONS"})
_DIRECTORIES = frozenset({"DIR", "DIRECTORY"})

_EPILOG = """\
examples:
  eval "$(execbox completion bash)"               in this shell, or in ~/.bashrc
  execbox completion bash > ~/.local/share/bash-completion/completions/execbox
  execbox completion zsh > ~/.zfunc/_execbox      a directory of $fpath
  execbox completion fish > ~/.config/fish/completions/execbox.fish

Make it again after an update of execbox.

exit codes: 0 printed; 1 not installed; 2 the caller's mistake"""


def add_parser(commands: Subparsers) -> None:
    """Add `completion` to the command line."""
    parser = commands.add_parser(
        "completion",
        help="print a script that completes commands and options in your shell",
        description="Print a script that completes commands, options, their choices and files.\n"
        f"Needs the cli extra: {INSTALL_LINE}",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(handler=completion)


def complete_for(parser: argparse.ArgumentParser) -> None:
    """Let `completion` describe this parser, of which it is a command itself."""
    for name, each in leaves_of(parser):
        if name == "completion":
            each.set_defaults(described=parser)


def completion(args: argparse.Namespace, terminal: Terminal) -> int:
    """Print the script."""
    try:
        shtab = importlib.import_module("shtab")
    except ImportError as error:
        raise CommandError(
            f"the script cannot be made: {error}.\nInstall what it needs with:\n\n"
            f"    {INSTALL_LINE}",
            exit_code=ExitCode.NOT_OK,
        ) from error
    for _, each in leaves_of(args.described):
        for action in each._actions:
            _mark(action, shtab)
    terminal.out.write(shtab.complete(args.described, args.shell))
    return ExitCode.OK


def _mark(action: argparse.Action, shtab: Any) -> None:
    """Say of an argument that it is a file or a directory, which shtab asks ``complete`` about."""
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    if metavar in _DIRECTORIES:
        action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    elif action.type is Path or metavar.partition(".")[0] in _FILES:
        action.complete = shtab.FILE  # type: ignore[attr-defined]
