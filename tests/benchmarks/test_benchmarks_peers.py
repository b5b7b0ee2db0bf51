"""Measuring other services: what they are asked, and what counts as a good answer."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator

import pytest
from benchmarks.peers import SANDBOX_FUSION, SNEKBOX, Peer, as_script, over_peer
from benchmarks.work import TRIVIAL_CODE, Check

CHECK = Check(TRIVIAL_CODE, "main_solution", {"n": 21})
ANSWERS: dict[str, dict[str, object]] = {
    "/eval": {"stdout": "42\n", "returncode": 0},
    "/run_code": {"status": "Success", "run_result": {"stdout": "42\n", "return_code": 0}},
}


class Scripted(http.server.BaseHTTPRequestHandler):
    """Answers as both services do, and keeps what it was asked."""

    protocol_version = "HTTP/1.1"
    asked: list[tuple[str, dict[str, str]]]
    answers: dict[str, dict[str, object]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.path, body))
        answer = json.dumps(self.answers[self.path]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_args: object) -> None:
        """Says nothing."""


@pytest.fixture
def scripted() -> Iterator[http.server.ThreadingHTTPServer]:
    """A server on loopback."""
    Scripted.asked, Scripted.answers = [], dict(ANSWERS)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Scripted) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("peer", "path", "field"), [(SNEKBOX, "/eval", "input"), (SANDBOX_FUSION, "/run_code", "code")]
)
def test_peer_is_asked_for_each_check_in_its_own_words(
    scripted: http.server.ThreadingHTTPServer, peer: Peer, path: str, field: str
) -> None:
    """The script in the field that this service reads, on its path; good answers are counted."""
    url = f"http://127.0.0.1:{scripted.server_port}"
    with over_peer(peer, url, concurrency=2) as way:
        runs = way.run([CHECK, CHECK], 3)
    assert (runs.ok_count, len(runs.latencies_s)) == (6, 6)
    assert {asked_path for asked_path, _body in Scripted.asked} == {path}
    assert {body[field] for _path, body in Scripted.asked} == {as_script(CHECK)}


@pytest.mark.parametrize(
    ("peer", "answer"),
    [
        (SNEKBOX, {"stdout": "", "returncode": 1}),
        (SNEKBOX, {"stdout": "", "returncode": None}),
        (SANDBOX_FUSION, {"status": "Failed"}),
        (SANDBOX_FUSION, {}),
    ],
)
def test_peer_that_failed_is_not_counted(peer: Peer, answer: dict[str, object]) -> None:
    """A script that ended badly is no check done."""
    assert not peer.ended_well(answer)


def test_script_of_a_check_prints_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    """Our own trivial function, so that it may run here."""
    exec(as_script(CHECK), {})
    assert capsys.readouterr().out == "42\n"
