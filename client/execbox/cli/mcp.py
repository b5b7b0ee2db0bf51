"""`execbox mcp`: serves the service's tools to MCP clients; the tools are elsewhere."""

from __future__ import annotations

import argparse
import asyncio
import importlib
from typing import TYPE_CHECKING, Any

from execbox.cli.outcomes import CommandError, ExitCode
from execbox.cli.services import add_url_options, async_client_of
from execbox.cli.terminal import Terminal

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["INSTALL_LINE", "add_parser", "mcp"]

INSTALL_LINE = "pip install 'execbox[mcp]'"
_HOST = "127.0.0.1"

_EPILOG = """\
The tools are run_python, call_function, begin_session, run_cell and end_session. An error that
begins with "unknown:" is a failure of the service, and says nothing about the code.

Over HTTP it listens on 127.0.0.1 only, at /mcp, and asks for no key: every program that
reaches the port can run code with this command's API key.

examples:
  execbox mcp
  execbox mcp --http 8081
  {"mcpServers": {"execbox": {"command": "execbox", "args": ["mcp"]}}}

exit codes: 0 ended as asked; 1 not installed, or it could not start; 2 the caller's mistake"""


def add_parser(commands: Subparsers) -> None:
    """Add `mcp` to the command line."""
    parser = commands.add_parser(
        "mcp",
        help="serve tools that run Python to MCP clients",
        description="Serve tools that run Python in the service to MCP clients, over standard\n"
        f"input and output or over streamable HTTP. Needs the mcp extra: {INSTALL_LINE}",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_url_options(parser)
    parser.add_argument(
        "--http", metavar="PORT", type=_port, help="over streamable HTTP, at this TCP port"
    )
    parser.set_defaults(handler=mcp)


def mcp(args: argparse.Namespace, terminal: Terminal) -> int:
    """Serve until standard input ends, or until a signal."""
    try:
        integration = importlib.import_module("execbox.integrations.mcp")
    except ImportError as error:
        raise CommandError(
            f"the MCP server cannot be started: {error}.\nInstall what it needs with:\n\n"
            f"    {INSTALL_LINE}",
            exit_code=ExitCode.NOT_OK,
        ) from error
    asyncio.run(_serve(integration, args, terminal))
    return ExitCode.OK


async def _serve(integration: Any, args: argparse.Namespace, terminal: Terminal) -> None:
    async with async_client_of(args) as client, integration.execbox_server(client) as server:
        if args.http is None:
            await server.run_stdio_async()
            return
        print(f"execbox: serving MCP on http://{_HOST}:{args.http}/mcp", file=terminal.err)
        await server.run_streamable_http_async(host=_HOST, port=args.http)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to 65535, not {text!r}")
    return int(text)
