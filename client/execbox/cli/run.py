"""`execbox run`: options and files to one execute request. Showing the result is in ``report``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, get_args

from execbox import strict_json, wire
from execbox.cli import report
from execbox.cli.answer_options import add_answer_options
from execbox.cli.input_files import json_lines, source_text, stdin_content
from execbox.cli.outcomes import CommandError, ExitCode
from execbox.cli.services import add_url_options, client_of
from execbox.cli.terminal import Terminal
from execbox.cli.wire_options import add_limit_options, add_number_option, given_limits
from execbox.errors import InvalidRequest

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["add_parser", "run"]

_DESCRIPTION = """\
Run one Python function in the service and show what it did: status, output, printed text,
error with the traceback of your code, time and memory used. The file's main block does not run."""

_EPILOG = """\
Calls are made in the order given, each in a process of its own; --input, --args, --expression
and --inputs can be repeated and mixed (the calls of --inputs come last).

examples:
  execbox run f.py --input '{"n": 21}'                 main_solution(n=21)
  execbox run f.py --entry-point add --args '[1, 2]'   add(1, 2)
  execbox run f.py --entry-point Solution.add --args '[1, 2]'   Solution().add(1, 2)
  execbox run f.py --expression 'repr(add(1, 2))'      any expression over the file's names
  execbox run f.py --input '{}' --runs 3               is it deterministic? 3 runs, 2 of them varied
  execbox run f.py --inputs inputs.jsonl --json        one call a line, the answer as JSON
  echo 'def main_solution(): return 1' | execbox run - --input '{}'

exit codes:
  0  every execution ended ok (with checks: and passed them)
  1  some execution did not; its status says how it ended
  2  the caller's mistake: usage, a file, a value the service refuses; nothing was run
  3  no result: the service failed, is overloaded, or could not be reached at EXECBOX_URL"""


def add_parser(commands: Subparsers) -> None:
    """Add `run` to the command line."""
    parser = commands.add_parser(
        "run",
        help="run one Python file's function in the service",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="Python source; - reads standard input")
    add_url_options(parser)
    add_answer_options(
        parser,
        json="print the response as one line of JSON",
        quiet="print a line for each call: its output as JSON, or its status and error",
    )
    _add_function_options(parser.add_argument_group("function"))
    _add_call_options(parser.add_argument_group("calls (at least one)"))
    add_limit_options(parser)
    _add_check_options(parser.add_argument_group("checks and isolation"))
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Run the file through the service and show the result."""
    if args.file == "-" and "-" in args.inputs:
        raise CommandError("FILE and --inputs cannot both be standard input")
    if args.stdin_file == "-" and "-" in (args.file, *args.inputs):
        raise CommandError("standard input can be one of FILE, --inputs and --stdin-file, not more")
    calls = list(args.calls)
    for name in args.inputs:
        calls.extend(_calls_of_file(name))
    if not calls:
        raise CommandError(
            "no calls given; use --input, --args, --expression or --inputs "
            "(for a function without arguments: --input '{}')"
        )
    stdin = stdin_content(args.stdin, args.stdin_file)
    if stdin is not None:
        calls = [call.model_copy(update={"stdin": stdin}) for call in calls]
    source = source_text(args.file)
    with client_of(args, terminal=terminal) as client:
        response = client.execute(
            source,
            calls,
            entry_point=args.entry_point,
            prelude=args.prelude,
            limits=given_limits(args),
            checks=_checks(args),
            isolation=args.isolation,
            profile=args.profile,
            convert=args.convert,
            non_finite=args.non_finite or None,
        )
    if args.json:
        terminal.line(report.json_line(response))
    elif terminal.quiet:
        report.show_outputs(response, terminal)
    else:
        report.show_response(response, terminal)
    passed = all(report.passed(execution) for execution in response.executions)
    return ExitCode.OK if passed else ExitCode.NOT_OK


def _add_function_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--entry-point",
        metavar="NAME",
        help="what to call (default main_solution): a function, a method (Solution.twoSum, on an "
        "instance made without arguments), or a class with one public method (Solution)",
    )
    group.add_argument(
        "--prelude",
        choices=get_args(wire.Prelude),
        help="codeio binds what LeetCode-style code takes for granted, such as typing's names",
    )


def _add_call_options(group: argparse._ArgumentGroup) -> None:
    options = (
        ("--input", _kwargs_call, "JSON", "keyword arguments, a JSON object: '{\"n\": 21}'"),
        ("--args", _args_call, "JSON", "positional arguments, a JSON array: '[1, 2]'"),
        ("--expression", _expression_call, "EXPR", "a Python expression to evaluate instead"),
    )
    for flag, type_, metavar, text in options:
        group.add_argument(
            flag, dest="calls", action="append", default=[], type=type_, metavar=metavar, help=text
        )
    group.add_argument(
        "--inputs",
        action="append",
        default=[],
        metavar="FILE.jsonl",
        help="one call a line: a JSON object is keyword, an array positional arguments; - is stdin",
    )
    stdin = group.add_mutually_exclusive_group()
    stdin.add_argument("--stdin", metavar="TEXT", help="what each call reads from its stdin")
    stdin.add_argument(
        "--stdin-file", metavar="FILE", help="the same, of a file; - is this command's own stdin"
    )
    group.add_argument(
        "--non-finite",
        action="store_true",
        help="let arguments hold NaN, Infinity and -Infinity, in these words",
    )


def _add_check_options(group: argparse._ArgumentGroup) -> None:
    add_number_option(
        group,
        wire.DeterminismCheck,
        "runs",
        shown_default=None,
        text="check determinism with N runs of each call, all but the first varied",
    )
    group.add_argument(
        "--complexity", choices=("codeio",), help="check the size of input and output"
    )
    group.add_argument(
        "--isolation",
        choices=get_args(wire.Isolation),
        help="container: a fresh one (default); process: shared with your other jobs, faster",
    )
    group.add_argument(
        "--profile", choices=get_args(wire.Profile), help="processes: may fork and exec"
    )
    group.add_argument(
        "--convert",
        choices=get_args(wire.Conversion),
        help="codeio: sets, bytes, Decimal and numpy values become JSON",
    )


def _checks(args: argparse.Namespace) -> wire.Checks | None:
    given: dict[str, object] = {}
    if args.runs is not None:
        given["determinism"] = {"runs": args.runs}
    if args.complexity is not None:
        given["complexity"] = args.complexity
    return wire.Checks.model_validate(given) if given else None


def _kwargs_call(text: str) -> wire.Call:
    value = _json_argument(text)
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f'must be a JSON object, such as {{"n": 21}}: {text}')
    return wire.Call(kwargs=value)


def _args_call(text: str) -> wire.Call:
    value = _json_argument(text)
    if not isinstance(value, list):
        raise argparse.ArgumentTypeError(f"must be a JSON array, such as [1, 2]: {text}")
    return wire.Call(args=value)


def _expression_call(text: str) -> wire.Call:
    try:
        return wire.Call(expression=text)
    except InvalidRequest as error:
        raise argparse.ArgumentTypeError(error.message) from error


def _json_argument(text: str) -> object:
    try:
        # Whether infinities may be sent is for --non-finite to say, and for what sends them.
        return strict_json.decode(text, non_finite=True)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not strict JSON: {error}: {text[:200]}") from error


def _calls_of_file(name: str) -> Iterator[wire.Call]:
    for number, line in enumerate(json_lines(name, may_be_arrays=True), start=1):
        if not line.strip():
            continue
        try:
            value = strict_json.decode(line, non_finite=True)
        except ValueError as error:
            raise CommandError(f"{name}, line {number}: not strict JSON: {error}") from error
        if isinstance(value, dict):
            yield wire.Call(kwargs=value)
        elif isinstance(value, list):
            yield wire.Call(args=value)
        else:
            raise CommandError(f"{name}, line {number}: must be a JSON object or array")
