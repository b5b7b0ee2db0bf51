from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from execbox.cli import main

if TYPE_CHECKING:
    from tests.client.conftest import ScriptedServer

CAPABILITIES = {
    "version": "1",
    "engine": "docker",
    "image": "sha256:abc",
    "python": "3.11.2",
    "packages": {"numpy": "1", "scipy": "1"},
    "isolation": ["container", "process"],
    "profiles": ["default"],
    "concurrency": 2,
    "limits_default": {},
    "limits_max": {},
    "weaker_than_docker": ["shares the kernel's keyrings"],
}


def with_service_extra(monkeypatch: pytest.MonkeyPatch, *checks: SimpleNamespace) -> None:
    monkeypatch.setattr("execbox.cli.doctor._SERVICE_MODULES", ("json",))
    module = SimpleNamespace(checks=lambda: list(checks))
    monkeypatch.setitem(sys.modules, "execbox_service.doctor", module)


def findings(url: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, Any]]]:
    code = main(["doctor", "--json", "--url", url])
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] == (code == 0)
    return code, {finding["name"]: finding for finding in report["findings"]}


def ready(server: ScriptedServer) -> ScriptedServer:
    return server.reply(200, {"ready": True}).reply(200, CAPABILITIES)


def test_doctor_service_ready_exits_0_and_says_what_it_runs(
    server: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """A client of a service elsewhere needs neither Docker nor the extra."""
    ready(server)
    assert main(["doctor", "--url", server.url]) == 0
    out = capsys.readouterr().out
    assert f"ok      service: {server.url} is ready\n" in out
    assert "engine: docker, image sha256:abc; weaker than Docker: shares the kernel's" in out
    assert "runs: Python 3.11.2 with 2 packages, 2 executions at once" in out
    assert "pip install 'execbox[service]'" in out
    assert "MISSING" not in out
    assert out.endswith("\nEverything needed is there.\n")


def test_doctor_service_not_there_exits_1_with_the_remedy(
    dead_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is missing is marked, and the next line says how to get it."""
    assert main(["doctor", "--url", dead_url]) == 1
    lines = capsys.readouterr().out.splitlines()
    index = next(i for i, line in enumerate(lines) if line.startswith("MISSING"))
    assert dead_url in lines[index]
    assert "execbox serve" in lines[index + 1]
    assert "EXECBOX_URL" in lines[index + 1]
    assert lines[-1] == "Something needed is missing."


def test_doctor_service_not_ready_exits_1_with_its_reason(
    server: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The service's own reason is shown, and what it can do all the same."""
    server.reply(503, {"ready": False, "reason": "no image"}).reply(200, CAPABILITIES)
    code, found = findings(server.url, capsys)
    assert code == 1
    assert found["service"]["found"] == f"{server.url} is not ready: no image"
    assert found["engine"]["ok"]


def test_doctor_rejected_key_exits_1_and_names_the_variable(
    server: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """A service that is there but refuses the key is told apart from none."""
    server.reply(200, {"ready": True}).fail(401, "unauthorized", retryable=False)
    code, found = findings(server.url, capsys)
    assert code == 1
    assert found["service"]["ok"]
    assert "EXECBOX_API_KEY" in found["API key"]["remedy"]


def test_doctor_service_failing_is_not_asked_again(
    server: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """A doctor tells what is at this moment, without waiting for better times."""
    server.fail(503, "engine_down", retryable=True)
    code, found = findings(server.url, capsys)
    assert (code, found["service"]["found"]) == (1, "engine_down happened")
    assert len(server.received) == 1


def test_doctor_unusable_url_exits_1_and_names_the_setting(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A wrong setting is one of the things a doctor finds, not a failure of the doctor."""
    code, found = findings("nonsense", capsys)
    assert code == 1
    assert "EXECBOX_URL" in found["configuration"]["found"]


def test_doctor_service_checks_are_shown_but_not_needed_by_a_client(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What serving from here lacks is told with its remedy, and does not decide the exit code."""
    docker = SimpleNamespace(
        name="docker daemon", ok=False, found="no answer", remedy="sudo systemctl start docker"
    )
    with_service_extra(monkeypatch, docker)
    code, found = findings(ready(server).url, capsys)
    assert code == 0
    assert found["service extra"]["ok"]
    assert (found["docker daemon"]["ok"], found["docker daemon"]["needed"]) == (False, False)
    assert found["docker daemon"]["remedy"] == "sudo systemctl start docker"


def test_doctor_service_extra_that_cannot_be_loaded_is_reported_missing(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An import error of the service's checks is a finding."""
    with_service_extra(monkeypatch)
    monkeypatch.setitem(sys.modules, "execbox_service.doctor", None)
    code, found = findings(ready(server).url, capsys)
    assert (code, found["service extra"]["ok"]) == (0, False)
    assert "pip install 'execbox[service]'" in found["service extra"]["remedy"]


def test_doctor_missing_packages_of_the_extra_are_named(
    server: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The user sees what exactly is not there."""
    _, found = findings(ready(server).url, capsys)
    assert found["service extra"]["found"] == "missing: no_such_package"
