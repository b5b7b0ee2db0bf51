"""`execbox serve`: starts the service if its extra is installed; the service itself is elsewhere.

Of the service nothing is imported before this command runs, so that the client works without it.
"""

from __future__ import annotations

import argparse
import importlib
from typing import TYPE_CHECKING

from execbox.cli.outcomes import CommandError, ExitCode
from execbox.cli.terminal import Terminal

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["INSTALL_LINE", "add_parser", "serve"]

INSTALL_LINE = "pip install 'execbox[service]'"

_SETTINGS = ("host", "port", "engine", "pool_size")

_EPILOG = """\
Every setting can also come from the environment: EXECBOX_PORT, EXECBOX_ENGINE and so on; an
option given here wins. Loopback needs no API key; another --host refuses to start without keys.
Ends cleanly on SIGTERM and Ctrl-C.

examples:
  execbox serve
  execbox serve --port 9000 --engine docker
  EXECBOX_URL=http://127.0.0.1:9000 execbox doctor

exit codes: 0 ended as asked; 1 not installed, or it could not start; 2 the settings cannot be
used. It says why."""


def add_parser(commands: Subparsers) -> None:
    """Add `serve` to the command line."""
    parser = commands.add_parser(
        "serve",
        help="start the service on this machine",
        description="Start the service on this machine, in the foreground.\n"
        f"Needs the service extra: {INSTALL_LINE}",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", metavar="ADDRESS", help="address to bind (default 127.0.0.1)")
    parser.add_argument("--port", type=_port, help="TCP port to bind (default 8080)")
    parser.add_argument(
        "--engine",
        metavar="NAME",
        help="what makes containers; auto takes Docker where its daemon answers (default auto)",
    )
    parser.add_argument(
        "--pool-size", metavar="N", type=_count, help="containers kept warm (default 4)"
    )
    parser.set_defaults(handler=serve)


def serve(args: argparse.Namespace, _: Terminal) -> int:
    """Run the service until it ends; its exit code."""
    given = {name: getattr(args, name) for name in _SETTINGS}
    overrides = {name: str(value) for name, value in given.items() if value is not None}
    try:
        service = importlib.import_module("execbox_service.main")
        # Within the try: the engine's packages are loaded only once the settings are read.
        code: int = service.serve(overrides)
    except ImportError as error:
        raise CommandError(
            f"the service cannot be started: {error}.\nInstall what it needs with:\n\n"
            f"    {INSTALL_LINE}",
            exit_code=ExitCode.NOT_OK,
        ) from error
    return code


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 65535, not {text!r}")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, not {text!r}")
    return int(text)
