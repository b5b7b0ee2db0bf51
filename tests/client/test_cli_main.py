"""The `execbox` command as a whole: usage, exit codes at the edge, streams that are closed."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from execbox import Client, SessionGone
from execbox.cli import main
from tests.client.cli_harness import command, response, usage_error

if TYPE_CHECKING:
    from tests.client.conftest import ScriptedServer


def test_main_interrupted_exits_130_in_silence(
    source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C is a wish, not an error."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "execute", interrupted)
    assert main(["run", source, "--input", "{}"]) == 130
    assert capsys.readouterr() == ("", "")


def test_main_session_that_is_gone_exits_3(
    source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its container was lost, or the service was started anew: no mistake of the caller's, and the
    same command goes on."""

    def gone(*_: object, **__: object) -> None:
        raise SessionGone("the session is gone")

    monkeypatch.setattr(Client, "execute", gone)
    assert main(["run", source, "--input", "{}"]) == 3
    assert capsys.readouterr().err == "execbox: the session is gone\n"


def test_main_bug_of_ours_is_one_line_and_exits_70(
    source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even then no traceback, but the place, so that it can be reported."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(Client, "execute", broken)
    assert main(["run", source, "--input", "{}"]) == 70
    err = capsys.readouterr().err
    assert err.startswith("execbox: this is a bug in execbox: ZeroDivisionError: oh (")
    assert err.count("\n") == 1


@pytest.mark.parametrize("argv", [[], ["no-such-command"], ["run"]])
def test_main_without_what_it_needs_is_a_usage_error(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Usage errors are argparse's: exit code 2 and the usage on stderr."""
    assert "usage: execbox" in usage_error(argv, capsys)


@pytest.mark.parametrize("argv", [["--help"], ["run", "--help"], ["serve", "-h"], ["doctor", "-h"]])
def test_main_help_has_examples(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Every help text shows how the command is used, within 100 columns."""
    with pytest.raises(SystemExit) as caught:
        main(argv)
    out = capsys.readouterr().out
    assert caught.value.code == 0
    assert "examples:\n  " in out
    assert max(map(len, out.splitlines())) <= 100


def test_command_in_a_process_of_its_own_runs_a_file(server: ScriptedServer, source: str) -> None:
    """The whole way from the command line to the answer, in a bare environment."""
    server.reply(200, response({"output": 42}))
    argv, environment = command("run", source, "--input", '{"n": 42}', EXECBOX_URL=server.url)
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "output: 42\n" in done.stdout


@pytest.mark.parametrize("closing", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize(("argument", "code"), [("--version", 0), ("--wrong", 2)])
def test_command_without_a_standard_stream_ends_as_with_it(
    closing: str, argument: str, code: int
) -> None:
    """What is written to a stream that is closed goes nowhere."""
    argv, environment = command(argument)
    shell = ["sh", "-c", f'exec "$@" {closing}', "sh", *argv]
    done = subprocess.run(shell, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)


def test_command_with_a_closed_pipe_ends_in_silence(server: ScriptedServer, source: str) -> None:
    """`execbox run ... | head -0` prints no complaint."""
    server.reply(200, response({"output": 42}))
    argv, environment = command("run", source, "--input", "{}", EXECBOX_URL=server.url)
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        argv, env=environment, stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
