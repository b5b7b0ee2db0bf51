"""Sessions over HTTP, through both clients and ``execbox repl``, on real containers."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from execbox import AsyncClient, Client, ClientMisused, InvalidRequest, SessionGone
from execbox.wire import CellLimits, CellOutput, SessionLimits
from tests.live_service import LiveService, live_service

pytestmark = pytest.mark.docker

HEARS_CTRL_C = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from execbox.cli import main; sys.exit(main())"
)
"""The command as a terminal starts it: a shell starts what runs in its background deaf to Ctrl-C,
and so were the tests' own children then."""


@pytest.fixture(scope="module")
def running(_no_settings_from_outside: None) -> Iterator[LiveService]:
    """One that permits few sessions."""
    with live_service({"pool_size": "2", "key_session_count_max": "3"}) as service:
        yield service


def test_session_keeps_variables_and_files_until_its_end(running: LiveService) -> None:
    """Through the blocking client; afterwards it is gone, and the object says how to use it."""
    with Client(running.url) as client:
        session = client.session(files={"a.txt": "1 2"}, limits=SessionLimits(memory_mb=128))
        with pytest.raises(ClientMisused, match="with statement"):
            session.run("1")
        with session:
            assert session.run("x = open('a.txt').read().split()").status == "ok"
            value = session.run("x").value
            assert value is not None
            assert value.json_value == ["1", "2"]
            session.put_file("d/b.bin", bytes(range(256)))
            session.put_file("line\nbreak", b"1")
            assert session.get_file("line\nbreak") == b"1"
            assert session.get_file("d/b.bin") == bytes(range(256))
            assert session.info().cells == 2
            ended = session.run("while True: x", limits=CellLimits(cpu_time_s=0.2))
            assert (ended.status, ended.session_lost) == ("timeout", False)
            address = f"{running.url}/v1/sessions/{session.id}"
        assert httpx.get(address).json()["error"]["code"] == "session_gone"


async def test_async_session_is_the_same(running: LiveService) -> None:
    """For asyncio."""
    async with AsyncClient(running.url) as client, client.session() as session:
        await session.run("n = 20")
        value = (await session.run("n + 1")).value
        assert value is not None
        assert value.repr == "21"
        await session.put_file("x", "text")
        assert await session.get_file("x") == b"text"
        assert (await session.info()).cells == 2


def test_session_that_a_cell_ended_is_gone_with_the_reason(running: LiveService) -> None:
    """Never an empty one in its place; leaving the with statement is no error."""
    with Client(running.url) as client, client.session() as session:
        ended = session.run("import os\nos._exit(1)")
        assert (ended.status, ended.session_lost) == ("no_result", True)
        with pytest.raises(SessionGone, match="ended the session's process"):
            session.run("1")


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a"])
def test_file_outside_of_the_session_is_refused_before_it_is_sent(
    running: LiveService, path: str
) -> None:
    """HTTP clients take .. out of an address, so the client says it."""
    with Client(running.url) as client, client.session() as session:
        with pytest.raises(InvalidRequest, match="no path of a session's file"):
            session.get_file(path)
        with pytest.raises(InvalidRequest, match="no path of a session's file"):
            session.put_file(path, b"")


def test_session_that_is_not_there_says_so_for_everything(running: LiveService) -> None:
    """410 with a code of its own, for an id of any form."""
    address = f"{running.url}/v1/sessions/nothing-of-this-id"
    headers = {"Content-Type": "application/octet-stream"}
    answers = [
        httpx.get(address),
        httpx.delete(address),
        httpx.post(f"{address}/run", json={"code": "1"}),
        httpx.get(f"{address}/files/a"),
        httpx.put(f"{address}/files/a", content=b"x", headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [410] * 5
    assert {answer.json()["error"]["code"] for answer in answers} == {"session_gone"}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"limits": {"job_time_s": 5}}, "limits.job_time_s"),
        ({"limits": {"memory_mb": 10**6}}, "limits.memory_mb"),
        ({"preload": ["nothing_of_this_name"]}, "not in the sandbox image"),
        ({"files": {"../x": ""}}, "stay in the working directory"),
        ({"idle_time_s": 0}, "idle_time_s"),
        ({"profile": "processes"}, "not permitted"),
        ({"isolation": "process"}, "isolation"),
    ],
)
def test_session_that_cannot_be_is_refused_with_the_field(
    running: LiveService, body: dict[str, object], says: str
) -> None:
    """A 422 that says what to change; no container is taken."""
    answer = httpx.post(f"{running.url}/v1/sessions", json=body, timeout=30)
    assert answer.status_code == 422
    assert says in answer.json()["error"]["message"]


def test_sessions_beyond_a_keys_are_refused_until_one_ends(running: LiveService) -> None:
    """With the number, and a time to wait."""
    with Client(running.url) as client:
        held = [client.session() for _ in range(3)]
        for session in held:
            session.__enter__()
        try:
            answer = httpx.post(f"{running.url}/v1/sessions", json={}, timeout=30)
            assert (answer.status_code, answer.json()["error"]["code"]) == (
                429,
                "sessions_too_many",
            )
            assert "3 sessions" in answer.json()["error"]["message"]
            assert int(answer.headers["retry-after"]) >= 1
        finally:
            for session in held:
                session.close()
        with client.session() as after:
            assert after.run("1").status == "ok"


def test_session_whose_beginner_goes_away_is_not_held(running: LiveService) -> None:
    """Nobody knows its id: it would count against its key until it had been idle for long."""
    head = (
        "POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: 2\r\n\r\n{}"
    )
    for wait_s in (0.0, 0.01, 0.03, 0.06, 0.1, 0.15):
        with running.connect() as connection:
            connection.sendall(head.encode())
            time.sleep(wait_s)
            connection.setblocking(False)
            with suppress(BlockingIOError):
                # One that was begun, and answered, before its beginner went is the beginner's.
                begun_id = re.search(rb'"id":"([^"]+)"', connection.recv(65536))
                assert begun_id is not None
                httpx.delete(f"{running.url}/v1/sessions/{begun_id[1].decode()}")
    with Client(running.url) as client, ExitStack() as stack:
        begun = [stack.enter_context(client.session()) for _ in range(2)]
        assert [session.run("1").status for session in begun] == ["ok", "ok"]


def test_raw_path_with_dots_reaches_no_file(running: LiveService) -> None:
    """A client that sends .. as it is gets a 4xx, and never a file of the container."""
    with Client(running.url) as client, client.session() as session:
        for path in ("..%2f..%2fetc%2fpasswd", "a%2f..%2f..%2fx", "%2fetc%2fpasswd", "a%00b"):
            answer = httpx.get(f"{running.url}/v1/sessions/{session.id}/files/{path}")
            assert answer.status_code in (404, 422), path
            assert answer.json()["error"]["code"] in ("session_file_refused", "not_found")


def test_output_comes_in_lines_while_the_cell_runs(running: LiveService) -> None:
    """NDJSON over HTTP, which anything can read; the last line is the answer without ``stream``."""
    code = "import time\nprint('a')\ntime.sleep(0.3)\nprint('b')\n[1]"
    with Client(running.url) as client, client.session() as session:
        address = f"{running.url}/v1/sessions/{session.id}/run"
        came: list[tuple[float, dict[str, object]]] = []
        with httpx.stream("POST", address, json={"code": code, "stream": True}) as answer:
            assert answer.headers["content-type"] == "application/x-ndjson"
            came.extend((time.monotonic(), json.loads(line)) for line in answer.iter_lines())
        plain = session.run(code).model_dump(mode="json", by_alias=True)
    (first_s, first), (_, second), (last_s, last) = came
    assert (first, second) == ({"stdout": "a\n"}, {"stdout": "b\n"})
    assert last_s - first_s > 0.2
    assert last.keys() == plain.keys()
    assert {**last, "usage": 0, "cell": 0} == {**plain, "usage": 0, "cell": 0}


def test_client_gives_output_as_it_comes_and_the_cell_at_last(running: LiveService) -> None:
    """What the callback raises interrupts the cell and comes out as it is, httpx's own included."""
    code = "import time\nfor n in range(3):\n    print(n)\n    time.sleep(0.1)\nn"
    with Client(running.url) as client, client.session() as session:
        pieces: list[CellOutput] = []
        cell = session.run(code, on_output=pieces.append)
        assert [piece.stdout for piece in pieces] == ["0\n", "1\n", "2\n"]
        assert (cell.stdout, cell.value.repr if cell.value else None) == ("0\n1\n2\n", "2")

        def fail(_piece: CellOutput) -> None:
            raise httpx.ReadError("of the caller's own")

        began_s = time.monotonic()
        with pytest.raises(httpx.ReadError, match="of the caller's own"):
            session.run("while True: print(flush=True)", on_output=fail)
        again = session.run("n")
        assert again.value is not None
        assert (again.value.repr, again.cell) == ("2", 3)
        assert time.monotonic() - began_s < 3
        with pytest.raises(InvalidRequest, match="cpu_time_s"):
            session.run("1", limits=CellLimits(cpu_time_s=50), on_output=fail)
        session.run("import os\nos._exit(1)", on_output=pieces.append)
        with pytest.raises(SessionGone, match="ended the session's process"):
            session.run("1", on_output=pieces.append)


async def test_async_client_gives_output_as_it_comes(running: LiveService) -> None:
    """To a function or a coroutine function, which is awaited; cancelling interrupts the cell."""
    async with AsyncClient(running.url) as client, client.session() as session:
        seen: list[str | None] = []
        came = asyncio.Event()

        async def slowly(piece: CellOutput) -> None:
            await asyncio.sleep(0.01)
            seen.append(piece.stderr)
            came.set()

        await session.run("import sys\nprint('e', file=sys.stderr)", on_output=slowly)
        assert seen == ["e\n"]
        came.clear()
        forever = session.run("while True: print('e', file=sys.stderr)", on_output=slowly)
        task = asyncio.create_task(forever)
        await came.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        began_s = time.monotonic()
        assert (await session.run("1")).status == "ok"
        assert time.monotonic() - began_s < 3


@contextmanager
def repl_that_has_begun(
    running: LiveService, cells: str, *options: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, with standard input still open, and the first line that it has shown."""
    command = [sys.executable, "-c", HEARS_CTRL_C, "repl", "--url", running.url, *options]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(cells)
        process.stdin.flush()
        yield process, process.stdout.readline()


def test_repl_shows_output_as_it_comes_and_interrupts_a_cell(running: LiveService) -> None:
    """Ctrl-C ends the cell and not the session."""
    cells = "n = 5\nimport time\nprint('begun'); time.sleep(60)\n"
    with repl_that_has_begun(running, cells) as (process, shown):
        assert shown == "begun\n"
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate("n\n", timeout=20)
    assert (process.returncode, rest, errors) == (0, "\nKeyboardInterrupt\n5\n", "")


def test_repl_that_writes_json_interrupts_a_cell_too(running: LiveService) -> None:
    """The next cell is answered at once, and standard output has a line for each that ended."""
    cells = "n = 5\nimport time; time.sleep(9); n = 6\n"
    with repl_that_has_begun(running, cells, "--json") as (process, shown):
        assert json.loads(shown)["cell"] == 1
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate("n\n", timeout=30)
    assert json.loads(rest)["value"]["repr"] == "5"
    assert (process.returncode, errors) == (0, "execbox: interrupted\n")


def repl(running: LiveService, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    """The command with this standard input."""
    command = [sys.executable, "-m", "execbox", "repl", "--url", running.url, *options]
    return subprocess.run(
        command, input=text, capture_output=True, text=True, check=False, timeout=60
    )


def test_repl_runs_statements_as_they_become_whole(running: LiveService) -> None:
    """Blocks end with an empty line; what is wrong is said and ends nothing."""
    text = "x = 20\nfor n in range(2):\n    print(n)\n\nx + 1\n1 / 0\n1 +\nawait_ = 1\nx\n"
    ended = repl(running, text)
    assert (ended.returncode, ended.stdout) == (0, "0\n1\n21\n20\n")
    assert "ZeroDivisionError: division by zero" in ended.stderr
    assert "SyntaxError: invalid syntax" in ended.stderr


def test_repl_takes_files_and_writes_figures(running: LiveService, tmp_path: Path) -> None:
    """Into a directory that is there, replacing nothing."""
    (tmp_path / "local.txt").write_text("5", "utf-8")
    (tmp_path / "out").mkdir()
    text = "import matplotlib.pyplot as plt\nplt.plot([1, int(open('given').read())])\n"
    options = (
        *("--file", f"given={tmp_path / 'local.txt'}", "--preload", "matplotlib"),
        *("--media", str(tmp_path / "out"), "--cpu-time-s", "10"),
    )
    ended = repl(running, text, *options)
    assert ended.returncode == 0, ended.stderr
    (image,) = (tmp_path / "out").iterdir()
    assert image.read_bytes().startswith(b"\x89PNG")
    assert str(image) in ended.stdout
    before = image.read_bytes()
    again = repl(running, text, *options)
    assert (again.returncode, again.stderr) == (0, "")
    assert f"{image.with_suffix('')}~2.png" in again.stdout
    assert image.read_bytes() == before


def test_repl_figure_that_cannot_be_written_costs_no_variables(
    running: LiveService, tmp_path: Path
) -> None:
    """The disk is full, or the directory was removed: said, and the session goes on."""
    out = tmp_path / "out"
    out.mkdir()
    cells = "n = 5; print('begun')\n"
    with repl_that_has_begun(running, cells, "--media", str(out)) as (process, shown):
        assert shown == "begun\n"
        out.rmdir()
        plot = "import matplotlib.pyplot as p\nx = p.plot([1])\nn\n"
        rest, errors = process.communicate(plot, timeout=60)
    assert (process.returncode, rest) == (0, "5\n")
    assert "a figure cannot be written" in errors


def test_repl_cell_that_is_refused_ends_no_conversation(running: LiveService) -> None:
    """Who types it can change it. In a pipe nobody can: what comes after may need it."""
    command = [sys.executable, "-m", "execbox", "repl", "--url", running.url]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        os.close(theirs)
        os.write(ours, b"n = 5\nx = '\xed\xa0\x80'\nn\n\x04")
        shown, errors = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 0
    assert "5\n" in shown
    assert "execbox: " in errors
    piped = repl(running, "n = 5\nx = '\0'\nn\n")
    assert (piped.returncode, piped.stdout) == (2, "")


def test_repl_cell_that_nests_deeper_than_the_command_reads_is_the_sessions(
    running: LiveService,
) -> None:
    """Which says what is wrong with it, and goes on."""
    ended = repl(running, "n = 5\n" + "-" * 100_000 + "1\nn\n")
    assert (ended.returncode, ended.stdout) == (0, "5\n")


def test_repl_whose_session_ends_says_why(running: LiveService) -> None:
    """And leaves with a code of its own."""
    ended = repl(running, "import os\nos._exit(3)\nprint('never')\n")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "the session is gone: the cell ended the session's process" in ended.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--file", "x"), "must be PATH=LOCAL"),
        (("--file", "a=/nothing/there"), "/nothing/there"),
        (("--media", "/nothing/there"), "is no directory"),
        (("--memory-mb", "1"), "--memory-mb must be"),
        (("--preload", "nothing_of_this_name"), "not in the sandbox image"),
    ],
)
def test_repl_with_what_cannot_be_says_so(
    running: LiveService, options: tuple[str, ...], says: str
) -> None:
    """The caller's mistake, in one line."""
    ended = repl(running, "1\n", *options)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr
