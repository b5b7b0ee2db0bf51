"""What the service's half of `execbox doctor` finds."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from execbox_service.doctor import checks

ENGINES = {
    "docker engine",
    "bubblewrap",
    "bubblewrap: Python",
    "bubblewrap: this container",
    "bubblewrap: control groups",
    "bubblewrap: user namespaces",
}


def test_checks_cover_both_engines_and_always_say_what_to_do() -> None:
    """One entry for each thing an engine needs; what is missing has a remedy."""
    found = checks()
    assert {check.name for check in found} == ENGINES
    assert all(check.found for check in found)
    assert all(check.ok or check.remedy for check in found)


@pytest.mark.parametrize(
    ("name", "value", "found", "remedy"),
    [
        ("EXECBOX_DOCKER_HOST", "tcp://127.0.0.1:1", "daemon", "start that daemon"),
        (
            *("EXECBOX_DOCKER_HOST", "ssh://ada@h:2222", "is reached by ssh"),
            "ssh -fnNT -L ~/execbox-docker.sock:/var/run/docker.sock -p 2222 ada@h and export",
        ),
        pytest.param(
            *("EXECBOX_IMAGE", "execbox-no-such-image:local", "no image", "make image"),
            marks=pytest.mark.docker,
        ),
        pytest.param(
            *("EXECBOX_OCI_RUNTIME", "no-such-runtime", "no OCI runtime", "runsc install"),
            marks=pytest.mark.docker,
        ),
    ],
)
def test_docker_that_cannot_be_used_is_said_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, found: str, remedy: str
) -> None:
    """The settings decide where it looks."""
    monkeypatch.setenv(name, value)
    (check,) = [check for check in checks() if check.name == "docker engine"]
    assert not check.ok
    assert found in check.found
    assert remedy in str(check.remedy)


@pytest.mark.parametrize(
    ("code", "words", "found", "remedy"),
    [
        (500, "shutting down", "shutting down", "sudo journalctl -u docker"),
        (400, "Client sent an HTTP request to an HTTPS server.", "by TLS", "ssh -fnNT -L"),
    ],
)
def test_daemon_that_answers_with_an_error_is_not_said_to_be_missing(
    monkeypatch: pytest.MonkeyPatch, code: int, words: str, found: str, remedy: str
) -> None:
    """One was told to install Docker, or to start a daemon that runs."""

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.end_headers()
            self.wfile.write(words.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), Refusing) as daemon:
        Thread(target=daemon.serve_forever, daemon=True).start()
        monkeypatch.setenv("EXECBOX_DOCKER_HOST", f"tcp://127.0.0.1:{daemon.server_port}")
        (check,) = [check for check in checks() if check.name == "docker engine"]
        daemon.shutdown()
    assert found in check.found
    assert remedy in str(check.remedy)


def test_checks_where_there_is_no_linux_name_bubblewrap_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rest is read of files that only Linux has, and the doctor ended with a traceback."""
    monkeypatch.setattr(sys, "platform", "darwin")
    docker, bubblewrap = checks()
    assert (docker.name, bubblewrap.name) == ("docker engine", "bubblewrap")
    assert "is for Linux" in bubblewrap.found


def test_settings_that_cannot_be_used_are_the_only_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be said about engines without them."""
    monkeypatch.setenv("EXECBOX_POOL_SIZE", "many")
    (check,) = checks()
    assert (check.name, check.ok) == ("settings", False)
    assert "EXECBOX_POOL_SIZE" in check.found
