"""Programs in bash, on real containers: what they are given, how they end, what they cannot."""

from __future__ import annotations

import base64

import pytest

from tests.sandbox.languages import QUICK, Languages

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]


@pytest.mark.parametrize("level", ["container", "process"])
async def test_bash_program_gets_stdin_arguments_and_files(
    languages: Languages, level: str
) -> None:
    """As ``bash program.sh`` in its working directory has them, and its files come back."""
    run = await languages.one(
        "bash",
        'read -r word\necho "$0 $# $2 $word $(cat data/a) $PWD"\necho made > b; echo said >&2',
        stdin="in\n",
        arguments=["x", "y z"],
        files={"data/a": "given"},
        fetch=["**"],
        isolation=level,
    )
    assert (run.status, run.exit_code, run.error) == ("ok", 0, None), run
    assert (run.stdout, run.stderr) == ("program.sh 2 y z in given /tmp\n", "said\n")
    found = {path: base64.b64decode(file.base64) for path, file in run.files.items()}
    assert found == {"data/a": b"given", "b": b"made\n"}


@pytest.mark.parametrize(
    ("code", "status", "exit_code", "signal"),
    [
        ("exit 3", "exit_nonzero", 3, None),
        ("exit 200", "exit_nonzero", 200, None),
        ("nothing-of-that-name", "exit_nonzero", 127, None),
        ("if then", "exit_nonzero", 2, None),
        ("kill -SEGV $$", "no_result", None, "SIGSEGV"),
        ("(kill -SEGV $BASHPID)", "exit_nonzero", 139, "SIGSEGV"),
        ("yes | head -1", "ok", 0, None),
        ("set -o pipefail; yes | head -1", "exit_nonzero", 141, "SIGPIPE"),
    ],
)
async def test_bash_program_ends_as_in_a_shell(
    languages: Languages, code: str, status: str, exit_code: int | None, signal: str | None
) -> None:
    """An exit code beyond 128 that stands for a signal names it; it stays the exit code."""
    run = await languages.one("bash", code)
    assert (run.status, run.exit_code, run.signal) == (status, exit_code, signal), run


@pytest.mark.parametrize(
    ("code", "status", "limit"),
    [
        ("while :; do :; done", "timeout", "cpu_time"),
        ("(while :; do :; done) & (while :; do :; done) & wait", "timeout", "cpu_time"),
        ("sleep 60", "timeout", "wall_time"),
        ("head -c 1G /dev/zero | tail -c 1G > /dev/null", "memory_exceeded", None),
    ],
)
async def test_bash_program_is_ended_at_its_limits(
    languages: Languages, code: str, status: str, limit: str | None
) -> None:
    """Whatever it started counts as its own, and goes with it."""
    limits = QUICK | {"cpu_time_s": 0.5, "wall_time_s": 0.5 if limit == "wall_time" else 20}
    run = await languages.one("bash", f"echo begun\n{code}", limits=limits)
    assert (run.status, run.limit, run.stdout) == (status, limit, "begun\n"), run


async def test_bash_program_whose_output_is_cut_says_so(languages: Languages) -> None:
    """Two megabytes of it; a verdict is not given on a part."""
    run = await languages.one("bash", "head -c 2000000 /dev/zero", expected={"stdout": ""})
    assert (run.status, run.truncated.stdout) == ("ok", True)
    assert (len(run.stdout), run.verdict) == (65536, "output_too_large")


async def test_bash_cases_find_nothing_of_those_before_them(languages: Languages) -> None:
    """Files, processes and changes of the source: each case tries to leave all of them."""
    code = (
        "ls -A; ls -A /dev/shm; set -- /proc/[0-9]*; echo $#\n"
        "echo left > left; echo left > /dev/shm/left; echo 'echo changed' >> program.sh\n"
        "rm -f program.sh; mv program.sh away; trap '' TERM HUP\n"
        "sleep 100 & disown; setsid sleep 100 &\n"
    )
    found = await languages.runs("bash", code, cases=[{} for _ in range(4)])
    assert {run.status for run in found} == {"ok"}
    assert len({run.stdout for run in found}) == 1, [run.stdout for run in found]
    assert found[0].stdout.startswith("program.sh\n")


async def test_bash_program_writes_to_its_streams_by_their_names(languages: Languages) -> None:
    """As scripts do; none of its processes can read from them."""
    run = await languages.one(
        "bash",
        "echo out > /dev/stdout; echo err > /dev/stderr; bash -c 'echo more >> /dev/fd/2'\n"
        "read -r word < /dev/stdin; cat <(echo $word)\n"
        "head -c 1 /dev/fd/1",
        stdin="in",
    )
    assert (run.status, run.stdout) == ("exit_nonzero", "out\nin\n"), run
    assert run.stderr.startswith("err\nmore\nhead: cannot open '/dev/fd/1'"), run.stderr
    assert "Permission denied" in run.stderr


async def test_bash_cases_have_verdicts_of_their_own(languages: Languages) -> None:
    """As those of Python have, and the first failure ends it where that is asked for."""
    cases = [{"stdin": f"{n}\n", "expected": {"stdout": f"{2 * n}\n"}} for n in range(4)]
    cases[1]["expected"] = {"stdout": "x"}
    found = await languages.runs(
        "bash", "read -r n; echo $((n * 2))", cases=cases, stop_at_first_failure=True
    )
    assert [run.verdict for run in found] == ["correct", "incorrect", "not_run", "not_run"]


async def test_bash_program_may_have_a_file_of_pythons_name_for_a_script(
    languages: Languages,
) -> None:
    """And start it with the image's own interpreter, packages included."""
    run = await languages.one(
        "bash",
        "python3 main.py",
        files={"main.py": "import sys, numpy\nprint(sys.argv, numpy.arange(3).sum())"},
        limits={"cpu_time_s": 10, "wall_time_s": 20},
    )
    assert (run.status, run.stdout) == ("ok", "['main.py'] 3\n"), run
