"""`execbox image build`: options of building the sandbox image. How it is built is the service's.

Of the service nothing is imported before this command runs, so that the client works without it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from execbox.cli.answer_options import add_answer_options
from execbox.cli.outcomes import CommandError, ExitCode
from execbox.cli.serve import INSTALL_LINE
from execbox.cli.terminal import Terminal

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["add_parser", "build"]

# A repository, with a registry before it or without, and a tag; Docker looks closer.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._:/-]*[a-z0-9])?(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?")

_EPILOG = """\
The service runs functions in the image that EXECBOX_IMAGE names, execbox-sandbox:local by default.
Packages come from the index that PIP_INDEX_URL names; the base image is pulled, or
EXECBOX_BASE_IMAGE names one that is there. The Docker daemon is the one that EXECBOX_DOCKER_HOST
or DOCKER_HOST names.

examples:
  execbox image build
  execbox image build --requirements more.txt --tag my-sandbox:1
  EXECBOX_IMAGE=my-sandbox:1 execbox serve

exit codes: 0 the image is there; 1 not installed, or it could not be built; 2 the options cannot be
used. It says why."""


def add_parser(commands: Subparsers) -> None:
    """Add `image` and what can be done with it to the command line."""
    parser = commands.add_parser(
        "image",
        help="build the Docker image that functions run in",
        description="The Docker image that functions run in.\n"
        f"Needs the service extra: {INSTALL_LINE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="what to do", metavar="ACTION", required=True)
    build_parser = actions.add_parser(
        "build",
        help="build it from what this installation ships",
        description="Build the image that functions run in from what this installation ships.\n"
        f"Needs the service extra: {INSTALL_LINE}",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    build_parser.add_argument(
        "--tag",
        metavar="NAME",
        type=_name,
        help="what to call it (default execbox-sandbox:local, or with --languages "
        "execbox-sandbox:languages)",
    )
    build_parser.add_argument(
        "--requirements",
        metavar="FILE",
        type=Path,
        help="packages that functions may import beside those that are locked, as pip takes them",
    )
    build_parser.add_argument(
        "--languages", action="store_true", help="with bash and g++, for programs in them"
    )
    build_parser.add_argument(
        "--update",
        action="store_true",
        help="take nothing from Docker's cache: with Debian's newest security updates",
    )
    add_answer_options(
        build_parser,
        json="print the image's name and whether it is there as one line of JSON; what the build "
        "says goes to standard error",
        quiet="print what the build says only if it fails",
    )
    build_parser.set_defaults(handler=build)


def build(args: argparse.Namespace, terminal: Terminal) -> int:
    """Build the image; its exit code. What the build says goes to the standard streams."""
    try:
        service = importlib.import_module("execbox_service.image_build")
    except ImportError as error:
        raise CommandError(
            f"the image cannot be built: {error}.\nInstall what it needs with:\n\n"
            f"    {INSTALL_LINE}",
            exit_code=ExitCode.NOT_OK,
        ) from error
    options = service.ImageOptions(
        tag=args.tag,
        requirements=args.requirements,
        languages=args.languages,
        update=args.update,
    )
    try:
        told = "if it fails" if args.quiet else "on standard error" if args.json else "as it comes"
        code: int = service.build_image(options, told=told)
    except service.CannotBuild as error:
        raise CommandError(
            f"the image cannot be built: {error}", exit_code=ExitCode.NOT_OK
        ) from error
    if args.json:
        terminal.line(json.dumps({"ok": code == 0, "image": service.image_name(options)}))
    return code


def _name(text: str) -> str:
    if _NAME.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(
            f"must be an image's name in small letters, such as my-sandbox:1, not {text!r}"
        )
    return text
