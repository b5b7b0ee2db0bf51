"""`execbox serve`: what it hands to the service, and what it says without its extra."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from execbox.cli import main
from tests.client.cli_harness import usage_error


def serving(monkeypatch: pytest.MonkeyPatch, service: Any) -> None:
    monkeypatch.setitem(sys.modules, "execbox_service.main", service)


def test_serve_options_are_handed_to_the_service_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what was given overrides; the service's exit code is the command's."""
    seen: list[dict[str, str]] = []

    def serve(overrides: dict[str, str]) -> int:
        seen.append(overrides)
        return 7

    serving(monkeypatch, SimpleNamespace(serve=serve))
    argv = ["--host", "::1", "--port", "9000", "--engine", "docker", "--pool-size", "0"]
    assert main(["serve", *argv]) == 7
    assert main(["serve"]) == 7
    given = {"host": "::1", "port": "9000", "engine": "docker", "pool_size": "0"}
    assert seen == [given, {}]


def test_serve_without_the_extra_prints_the_install_line_and_exits_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line can be copied as it is."""
    serving(monkeypatch, None)  # What makes Python's import fail.
    assert main(["serve"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "    pip install 'execbox[service]'\n" in shown.err


def test_serve_engine_package_missing_prints_the_install_line_and_exits_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Packages the service loads late are no different from those it loads first."""

    def serve(_: dict[str, str]) -> int:
        raise ModuleNotFoundError("No module named 'docker'")

    serving(monkeypatch, SimpleNamespace(serve=serve))
    assert main(["serve"]) == 1
    err = capsys.readouterr().err
    assert "No module named 'docker'" in err
    assert "    pip install 'execbox[service]'\n" in err


@pytest.mark.parametrize("argv", [["--port", "65536"], ["--port", "x"], ["--pool-size", "-1"]])
def test_serve_impossible_number_is_a_usage_error(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The option is named."""
    assert f"argument {argv[0]}: " in usage_error(["serve", *argv], capsys)
