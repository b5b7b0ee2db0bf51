"""``main``: from arguments to an exit code. What each command does is in the command's module."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace

from execbox._version import client_version
from execbox.cli import (
    assemble,
    certify,
    completion,
    doctor,
    generate,
    html_report,
    image,
    infer,
    interpret,
    mcp,
    pipeline,
    prompts,
    repl,
    revise,
    run,
    score,
    serve,
    verify,
)
from execbox.cli import (
    exec as exec_,
)
from execbox.cli.command_parser import CommandParser, leaves_of
from execbox.cli.config_file import add_config_option, read_settings, use_limits
from execbox.cli.outcomes import CommandError, ExitCode
from execbox.cli.terminal import Terminal, open_terminal
from execbox.config import terminal_is_dumb, terminal_wants_no_color
from execbox.dataset.files.json_lines import DatasetError
from execbox.errors import ConfigError, ExecboxError, RequestError

__all__ = ["main"]

_COMMANDS = (
    serve,
    run,
    exec_,
    repl,
    generate,
    certify,
    prompts,
    infer,
    interpret,
    verify,
    revise,
    assemble,
    score,
    html_report,
    pipeline,
    image,
    mcp,
    doctor,
    completion,
)

_DESCRIPTION = """\
Run Python code nobody has read, safely: in throwaway containers, under CPU, memory and
time limits. `execbox serve` is the service that does it; every other command talks to one."""

_EPILOG = """\
examples:
  execbox doctor                             what is there, what is missing, how to get it
  execbox serve                              start a service on http://127.0.0.1:8080
  execbox run f.py --input '{"n": 21}'       call main_solution(n=21) of f.py in the service
  execbox exec program.py --stdin '4'        run a whole program, as python would
  execbox repl                               type Python that runs in the service

environment:
  EXECBOX_URL       the service to talk to (default http://127.0.0.1:8080), or a fleet: addresses
                    separated by commas, @FILE with one a line, or dns:NAME:PORT
  EXECBOX_MIXED_NODES
                    allow: the nodes of a fleet may differ in image or version
  EXECBOX_API_KEY   its API key, where it asks for one
  EXECBOX_MODEL_URL, EXECBOX_MODEL, EXECBOX_MODEL_API_KEY
                    the OpenAI-compatible endpoint that infer, interpret and pipeline ask
  EXECBOX_CONFIG    a file with addresses and limits (default: execbox.toml here or above)
  NO_COLOR          anything: no colours

Each command has its own help: execbox run --help"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; ``argv`` without the program's name, default ``sys.argv[1:]``.

    Returns the exit code. Only help and usage errors exit by themselves, as argparse does.
    """
    with _open_streams():
        return _run(argv)


@contextmanager
def _open_streams() -> Iterator[None]:
    """What is written to a standard stream that the caller closed goes nowhere."""
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        redirect_stdout(sys.stdout or nowhere),
        redirect_stderr(sys.stderr or nowhere),
    ):
        yield


def _run(argv: Sequence[str] | None) -> int:
    terminal = open_terminal(
        sys.stdout,
        sys.stderr,
        no_color=terminal_wants_no_color(),
        is_dumb=terminal_is_dumb(),
    )
    try:
        args = _parser().parse_args(argv)
        if hasattr(args, "config"):
            args.settings = read_settings(args.config)
            use_limits(args, args.settings)
        terminal = replace(terminal, quiet=getattr(args, "quiet", False))
        code: int = args.handler(args, terminal)
        terminal.out.flush()  # Here, so that a closed pipe is noticed while it can be handled.
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return ExitCode.BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - the outermost edge: one message, whatever it is
        return _report(error, terminal)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="execbox",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"execbox {client_version()}")
    commands: argparse._SubParsersAction[argparse.ArgumentParser] = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=CommandParser
    )
    for command in _COMMANDS:
        command.add_parser(commands)
    for _, each in leaves_of(parser):
        if {"--url", "--model-url"} & each._option_string_actions.keys():
            add_config_option(each)
    completion.complete_for(parser)
    return parser


def _report(error: Exception, terminal: Terminal) -> ExitCode:
    if isinstance(error, CommandError):
        terminal.error(str(error))
        return error.exit_code
    if isinstance(error, RequestError | ConfigError | DatasetError):
        terminal.error(str(error))
        return ExitCode.MISTAKE
    if isinstance(error, ExecboxError):
        terminal.error(str(error))
        return ExitCode.SERVICE_FAILURE
    where = traceback.extract_tb(error.__traceback__)[-1]
    terminal.error(
        f"this is a bug in execbox: {type(error).__name__}: {error} "
        f"({where.filename}, line {where.lineno}); please report it"
    )
    return ExitCode.BUG


def _drop_output() -> None:
    # The interpreter flushes standard output once more on its way out and would complain then.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
