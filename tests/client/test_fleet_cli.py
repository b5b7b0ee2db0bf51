"""The command line with the addresses of a fleet."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from execbox.cli import entry, main
from tests.client.fleet_node import FleetNode, fleet_of

CODE = "def main_solution(n): return 2 * n"


def findings(
    capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, list[dict[str, Any]]]:
    code = main(["doctor", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)["findings"]


def test_every_command_that_takes_an_address_takes_a_fleet() -> None:
    """With the option that allows nodes to differ."""
    (commands,) = (
        action
        for action in entry._parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    options = {
        name: set(parser._option_string_actions) & {"--url", "--mixed-nodes"}
        for name, parser in commands.choices.items()
    }
    with_address = {name for name, found in options.items() if "--url" in found}
    assert {"run", "exec", "repl", "generate", "certify", "verify", "doctor"} <= with_address
    assert {name for name, found in options.items() if len(found) == 2} == with_address


def test_run_with_two_addresses_goes_to_the_one_that_answers(
    dead_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `--url a,b`, and as a file of addresses."""
    program, nodes = tmp_path / "f.py", tmp_path / "nodes.txt"
    program.write_text(CODE)
    with FleetNode() as node:
        nodes.write_text(f"{dead_url}\n{node.url}\n")
        for url in (f"{dead_url},{node.url}", f"@{nodes}"):
            assert main(["run", str(program), "--input", '{"n": 21}', "--json", "--url", url]) == 0
            assert '"output":42' in capsys.readouterr().out.replace(" ", "")


def test_run_refuses_nodes_that_differ_unless_it_is_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the caller's mistake: nothing was run."""
    program = tmp_path / "f.py"
    program.write_text(CODE)
    with fleet_of(FleetNode(), FleetNode(image="sha256:two")) as urls:
        command = ["run", str(program), "--input", '{"n": 21}', "--url", ",".join(urls)]
        assert main(command) == 2
        message = capsys.readouterr().err
        for said in (*urls, "sha256:one", "sha256:two", "--mixed-nodes allow"):
            assert said in message
        assert main([*command, "--mixed-nodes", "allow"]) == 0


def test_run_without_any_node_names_each(
    dead_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a failure of the service."""
    program = tmp_path / "f.py"
    program.write_text(CODE)
    other = dead_url.replace("127.0.0.1", "127.0.0.2")
    command = ["run", str(program), "--input", '{"n": 21}', "--url", f"{dead_url},{other}"]
    assert main(command) == 3
    message = capsys.readouterr().err
    assert f"{dead_url}: could not connect" in message
    assert f"{other}: could not connect" in message


def test_doctor_looks_at_every_node(dead_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And says what is wrong with which."""
    nodes = (FleetNode(slots=2), FleetNode(slots=4, ready=False), FleetNode(key="secret"))
    with fleet_of(*nodes) as urls:
        code, found = findings(capsys, "--url", ",".join([*urls, dead_url]))
    assert code == 1
    told = [(each["name"], each["ok"], each["found"]) for each in found if each["needed"]][2:]
    assert told[0][:2] == (f"node {urls[0]}", True)
    assert "Python 3.11.2" in told[1][2]
    assert "image sha256:one" in told[1][2]
    assert told[2] == (f"node {urls[1]}", False, f"{urls[1]} is not ready: the engine is down")
    assert told[4][:2] == ("API key", False)
    assert told[4][2].startswith(f"{urls[2]}: ")
    assert told[5][:2] == (f"node {dead_url}", False)
    assert told[6] == ("fleet", True, "2 of 4 nodes answer, 6 executions at once")


def test_doctor_says_that_nodes_differ(capsys: pytest.CaptureFixture[str]) -> None:
    """By address, with the option; allowed, it is fine."""
    with fleet_of(FleetNode(), FleetNode(version="2")) as urls:
        url = ",".join(urls)
        code, found = findings(capsys, "--url", url)
        allowed, _ = findings(capsys, "--url", url, "--mixed-nodes", "allow")
    assert (code, allowed) == (1, 0)
    assert found[-1]["name"] == "fleet"
    assert f"{urls[1]} has image sha256:one, execbox 2" in found[-1]["found"]


def test_doctor_names_a_file_of_addresses_that_is_missing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As a fault of the configuration."""
    code, found = findings(capsys, "--url", f"@{tmp_path / 'none'}")
    assert code == 1
    assert found[-1]["name"] == "configuration"
    assert "cannot be read" in found[-1]["found"]
