"""`execbox exec`: options and files to a run request, and a program's end as the command's own.

Cases are read and shown in ``exec_cases``, what is fetched is written by ``fetched_files``.
"""

from __future__ import annotations

import argparse
import binascii
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from execbox import wire
from execbox.cli import report
from execbox.cli.answer_options import add_answer_options
from execbox.cli.command_parser import keep_words_after_dashes
from execbox.cli.exec_cases import read_cases, run_cases, run_passed
from execbox.cli.fetched_files import write_fetched
from execbox.cli.input_files import read_bytes, source_text, stdin_content, utf8_text
from execbox.cli.outcomes import CommandError, ExitCode
from execbox.cli.services import add_url_options, client_of
from execbox.cli.terminal import Terminal
from execbox.cli.wire_options import add_limit_options, add_number_option, given_limits
from execbox.client import Client
from execbox.errors import ConfigError, ExecboxError, RequestError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["add_parser", "exec_program"]

_LIMITS = tuple(name for name in wire.Limits.model_fields if name != "output_bytes")
_PROGRAM_LIMITS = ("files_bytes", "compile_time_s")
_LANGUAGE_OF_SUFFIX: Mapping[str, wire.Language] = {
    ".sh": "bash",
    ".bash": "bash",
    ".cpp": "cpp",
    ".cc": "cpp",
    ".cxx": "cpp",
}

_DESCRIPTION = """\
Run a whole program in the service, as `python FILE` would: what it writes to stdout and stderr is
written here, and its exit code is this command's. With --cases it is run once per case,
each in a process of its own, and a line of JSON is written for each."""

_EPILOG = """\
examples:
  execbox exec hello.py
  execbox exec sum.py --stdin '1 2' -- --verbose 2          arguments come after --
  execbox exec plot.py --file data.csv=local.csv --fetch '*.svg' --into out
  execbox exec sum.py --stdin-file in.txt --expected out.txt --comparator numbers
  execbox exec sum.py --cases cases.jsonl                      one case a line
  execbox exec sum.cpp --stdin '1 2'                           compiled with g++, then run
  echo 'print(1)' | execbox exec -

A line of --cases is {"stdin", "arguments", "files", "expected"}, each of which may be left out.
"expected" is a text, or {"stdout", "comparator"}. stdin and files are text or {"base64": "..."}.

On a terminal, control characters that the program writes are shown as escapes.

exit codes, of one run:
  the program's own; 128 and the signal's number where a signal ended it
  1    also: it ended ok, and did not print what was --expected
  2    also: the caller's mistake, then a line of standard error begins with execbox:
  122  it ended without a result: what it reported was too large or incomplete
  123  it used more memory than memory_mb
  124  it used more time than cpu_time_s or wall_time_s
  125  no result: the service failed, is overloaded, or could not be reached at EXECBOX_URL
exit codes with --cases or --json, which a program's cannot be mixed up with:
  0  every run ended ok, and printed what was expected
  1  some run did not; its status and verdict say how it ended
  2  the caller's mistake: usage, a file, a value the service refuses
  3  no result: as 125"""


def add_parser(commands: Subparsers) -> None:
    """Add `exec` to the command line."""
    parser = commands.add_parser(
        "exec",
        help="run one whole program in the service",
        usage="execbox exec [options] FILE [-- ARGUMENT ...]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    keep_words_after_dashes(parser)
    parser.add_argument("file", metavar="FILE", help="the source; - reads standard input")
    parser.add_argument(
        "--language",
        choices=get_args(wire.Language),
        help="what it is written in (default: bash for FILE.sh and FILE.bash, cpp for FILE.cpp, "
        "FILE.cc and FILE.cxx, else python); bash and cpp need a service whose image has them",
    )
    add_url_options(parser)
    add_answer_options(
        parser,
        json="print the response as one line of JSON",
        quiet="print only what the program prints, and why there is no result",
    )
    _add_given_options(parser.add_argument_group("what the program is given"))
    _add_file_options(parser.add_argument_group("files that it leaves"))
    _add_case_options(parser.add_argument_group("cases, and what has to be printed"))
    add_limit_options(parser, names=_LIMITS)
    _add_isolation_options(parser.add_argument_group("isolation"))
    parser.set_defaults(handler=exec_program)


def _add_given_options(group: argparse._ArgumentGroup) -> None:
    stdin = group.add_mutually_exclusive_group()
    stdin.add_argument("--stdin", metavar="TEXT", help="what it reads from its stdin")
    stdin.add_argument(
        "--stdin-file", metavar="FILE", help="the same, of a file; - is this command's own stdin"
    )
    group.add_argument(
        "--file",
        dest="files",
        action="append",
        default=[],
        type=_file,
        metavar="PATH=LOCAL",
        help="the file LOCAL, as PATH in its working directory; can be repeated",
    )
    for name in _PROGRAM_LIMITS:
        add_number_option(group, wire.ProgramLimits, name)


def _add_file_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--fetch",
        action="append",
        default=[],
        metavar="GLOB",
        help="which files come back; * matches within a name, ** across folders; can be repeated",
    )
    group.add_argument(
        "--into", type=Path, metavar="DIRECTORY", help="where they are written; made if missing"
    )
    group.add_argument(
        "--force", action="store_true", help="replace files that are in the directory already"
    )


def _add_case_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--cases", metavar="FILE.jsonl", help="one case a line; - is standard input")
    group.add_argument(
        "--expected", metavar="FILE", help="what has to be printed, where a case does not say it"
    )
    group.add_argument(
        "--comparator",
        choices=get_args(wire.StdoutComparator),
        help="exact (default); trimmed: but for white space at the ends of lines; tokens: the same "
        "words; numbers: numbers with a point may be off by 1e-6",
    )
    group.add_argument(
        "--stop-at-first-failure",
        action="store_true",
        help="leave the cases after the first that failed not_run",
    )


def _add_isolation_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--isolation",
        choices=get_args(wire.Isolation),
        help="container: a fresh one (default); process: shared with your other jobs, faster",
    )
    group.add_argument(
        "--profile", choices=get_args(wire.Profile), help="processes: may fork and exec"
    )


def exec_program(args: argparse.Namespace, terminal: Terminal) -> int:
    """Run the file through the service; the exit code is the program's, or says what came of it."""
    _refuse_what_does_not_fit(args)
    cases = None
    if args.cases is not None:
        cases = read_cases(args.cases, comparator=args.comparator)
    request = _Request(args)
    with client_of(args, terminal=terminal) as client:
        if cases is not None:
            return run_cases(
                cases,
                terminal,
                send=lambda portion: request.send(client, portion),
                stop_at_first_failure=args.stop_at_first_failure,
                all_expect=request.expected is not None,
            )
        if args.json:
            response = request.send(client)
            terminal.line(report.json_line(response))
            return ExitCode.OK if run_passed(response.runs[0]) else ExitCode.NOT_OK
        (run,) = _answered(request, client).runs
    terminal.write_bytes(_stdout(run), terminal.out)
    terminal.write_bytes(run.stderr.encode("utf-8", "surrogatepass"), terminal.err)
    if not terminal.quiet:
        _tell(run, args, terminal)
    if args.into is not None:
        write_fetched(run.files, args.into, overwrite=args.force)
    return _exit_code(run)


def _refuse_what_does_not_fit(args: argparse.Namespace) -> None:
    """Raises CommandError for options that contradict each other; reads nothing."""
    local_files = [local for _path, local in args.files]
    if [args.file, args.stdin_file, args.cases, args.expected, *local_files].count("-") > 1:
        raise CommandError("- is standard input, which can be only one of the files")
    shown = args.cases is not None or args.json
    if args.into is not None and not args.fetch:
        raise CommandError("--into needs --fetch GLOB, which says what is to be written there")
    if args.into is not None and shown:
        raise CommandError(
            "--into is for one run without --json; with --cases and --json, files are in the answer"
        )
    if args.fetch and args.into is None and not shown:
        raise CommandError("--fetch needs --into DIRECTORY, where the files are to be written")
    if args.force and args.into is None:
        raise CommandError("--force is about files in the directory of --into, which is missing")
    if args.comparator and args.expected is None and args.cases is None:
        raise CommandError("--comparator needs --expected or --cases, which say what is compared")
    if args.stop_at_first_failure and args.cases is None:
        raise CommandError("--stop-at-first-failure is about --cases, which is missing")
    if args.into is not None and args.into.exists() and not args.into.is_dir():
        raise CommandError(f"{args.into}: is there already and is no directory")
    paths = [path for path, _local in args.files]
    for path in paths:
        if paths.count(path) > 1:
            raise CommandError(f"--file gives {path[:200]!r} twice")


class _Request:
    """What is sent, but for the cases; reads every file that is named."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._code = source_text(args.file)
        self._stdin = stdin_content(args.stdin, args.stdin_file)
        self._files = {path: read_bytes(local) for path, local in args.files}
        self.expected: wire.ExpectedStdout | None = None
        if args.expected is not None:
            self.expected = wire.ExpectedStdout(
                stdout=utf8_text(args.expected), comparator=args.comparator or "exact"
            )

    def send(self, client: Client, cases: Sequence[wire.Case] | None = None) -> wire.RunResponse:
        """One request. Raises what ``Client.run`` raises."""
        args = self._args
        return client.run(
            self._code,
            cases,
            arguments=args.words_after_dashes or None,
            stdin=self._stdin,
            files=self._files or None,
            fetch=args.fetch or None,
            language=args.language or _LANGUAGE_OF_SUFFIX.get(Path(args.file).suffix),
            expected=self.expected,
            stop_at_first_failure=args.stop_at_first_failure or None,
            limits=_limits(args),
            isolation=args.isolation,
            profile=args.profile,
        )


def _answered(request: _Request, client: Client) -> wire.RunResponse:
    try:
        return request.send(client)
    except (RequestError, ConfigError):
        raise
    except ExecboxError as error:
        raise CommandError(str(error), exit_code=ExitCode.NO_RUN) from error


def _file(text: str) -> tuple[str, str]:
    path, equals, local = text.partition("=")
    if not (path and equals and local):
        raise argparse.ArgumentTypeError(f"must be PATH=LOCAL, not {text!r}")
    return path, local


def _limits(args: argparse.Namespace) -> wire.ProgramLimits | None:
    limits = given_limits(args)
    given = {} if limits is None else limits.model_dump(exclude_unset=True)
    of_programs = {name: getattr(args, name) for name in _PROGRAM_LIMITS}
    given |= {name: value for name, value in of_programs.items() if value is not None}
    return wire.ProgramLimits.model_validate(given) if given else None


def _stdout(run: wire.ProgramRun) -> bytes:
    if run.stdout_base64 is not None:
        return binascii.a2b_base64(run.stdout_base64)
    return run.stdout.encode("utf-8", "surrogatepass")


def _tell(run: wire.ProgramRun, args: argparse.Namespace, terminal: Terminal) -> None:
    """On standard error: whatever the exit code and the program's own output do not say."""
    if run.status not in (wire.ProgramStatus.OK, wire.ProgramStatus.EXIT_NONZERO):
        why = [text for text in (run.limit, run.signal) if text]
        if run.status is wire.ProgramStatus.COMPILE_ERROR and run.error is not None:
            why = [] if run.error.message in run.stderr else [run.error.message]
        detail = f" ({', '.join(why)})" if why else ""
        terminal.error(f"{args.file}: ended as {run.status.value}{detail}")
    elif run.verdict is wire.ProgramVerdict.INCORRECT:
        terminal.error(f"{args.file}: did not print what is in {args.expected}")
    for stream in ("stdout", "stderr"):
        if getattr(run.truncated, stream):
            terminal.error(f"{args.file}: {stream} is cut off at the limit; see --stdout-bytes")
    for each in run.files_left_out:
        terminal.error(f"not fetched: {each.path or 'several files'}: {each.reason}")


def _exit_code(run: wire.ProgramRun) -> int:
    if run.status is wire.ProgramStatus.TIMEOUT:
        return ExitCode.RAN_OUT_OF_TIME
    if run.status is wire.ProgramStatus.MEMORY_EXCEEDED:
        return ExitCode.RAN_OUT_OF_MEMORY
    if run.status is wire.ProgramStatus.OK:
        return ExitCode.OK if run_passed(run) else ExitCode.NOT_OK
    number = getattr(signal, run.signal or "", None)
    if isinstance(number, signal.Signals):
        return 128 + number
    mirrored = (
        wire.ProgramStatus.EXIT_NONZERO,
        wire.ProgramStatus.INVALID_CODE,
        wire.ProgramStatus.COMPILE_ERROR,
    )
    return run.exit_code or ExitCode.NO_END if run.status in mirrored else ExitCode.NO_END
