"""Which Docker daemon is meant: the docker command's own order, contexts among it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from harness.docker_daemon import daemon_url

from execbox_service.engines.base import Lacking
from execbox_service.engines.docker.address import DaemonAddress, daemon_address, settled
from execbox_service.engines.docker.connection import connect


def add_context(configuration: Path, name: str, *, host: str) -> None:
    """As ``docker context create`` lays it down."""
    folder = configuration / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    endpoints = {"docker": {"Host": host, "SkipTLSVerify": False}}
    text = json.dumps({"Name": name, "Metadata": {}, "Endpoints": endpoints})
    (folder / "meta.json").write_text(text, "utf-8")


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of the docker command with two contexts, of which one is in use."""
    for name in ("HOST", "CONTEXT", "TLS_VERIFY", "CERT_PATH"):
        monkeypatch.delenv(f"DOCKER_{name}", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    add_context(tmp_path, "desktop", host=f"unix://{tmp_path}/desktop.sock")
    add_context(tmp_path, "far", host="tcp://10.0.0.1:2375")
    (tmp_path / "config.json").write_text('{"currentContext": "desktop"}', "utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("setting", "variables", "url", "context"),
    [
        (None, {}, "unix://{}/desktop.sock", "desktop"),
        (None, {"DOCKER_CONTEXT": "far"}, "tcp://10.0.0.1:2375", "far"),
        (None, {"DOCKER_CONTEXT": "default"}, None, None),
        (None, {"DOCKER_HOST": "unix:///h", "DOCKER_CONTEXT": "far"}, "unix:///h", None),
        (None, {"DOCKER_HOST": "", "DOCKER_CONTEXT": ""}, "unix://{}/desktop.sock", "desktop"),
        ("unix:///s", {"DOCKER_HOST": "unix:///h"}, "unix:///s", None),
    ],
)
def test_daemon_is_the_one_that_the_docker_command_uses(
    configuration: Path,
    monkeypatch: pytest.MonkeyPatch,
    setting: str | None,
    variables: dict[str, str],
    url: str | None,
    context: str | None,
) -> None:
    """The image was built on one daemon and looked for on another."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    expected = None if url is None else url.format(configuration)
    assert daemon_address(setting) == DaemonAddress(expected, context=context)
    if setting is None:
        assert daemon_url() == (expected or "unix:///var/run/docker.sock")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"currentContext": ""}', '{"currentContext": 1}']
)
def test_configuration_without_a_context_means_the_default(configuration: Path, text: str) -> None:
    """As for the docker command, also where it cannot be read."""
    (configuration / "config.json").write_text(text, "utf-8")
    assert daemon_address(None) == DaemonAddress(None)


def test_context_that_is_not_there_is_named(
    configuration: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command refuses it, too; a different daemon is not taken in its place."""
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    with pytest.raises(Lacking, match=r"there is no Docker context gone.*docker context ls"):
        daemon_address(None)


def test_context_that_cannot_be_read_is_named(configuration: Path) -> None:
    """What is wrong is said, and how to go on without it."""
    metas = configuration.glob("contexts/meta/*/meta.json")
    (meta,) = [path for path in metas if "desktop" in path.read_text("utf-8")]
    meta.write_text("{}", "utf-8")
    with pytest.raises(Lacking, match=r"Docker context desktop cannot be read.*use default"):
        daemon_address(None)


def test_address_of_a_context_is_settled_for_all_processes_of_a_service(
    configuration: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which context is current may change before one of them is started again."""
    assert settled(None) == f"unix://{configuration}/desktop.sock"
    assert settled("unix:///own.sock") == "unix:///own.sock"
    add_context(configuration, "ssh", host="ssh://g")
    for name in ("default", "gone", "ssh"):
        monkeypatch.setenv("DOCKER_CONTEXT", name)
        assert settled(None) is None


@pytest.mark.parametrize("host", ["null", '""', "[1]"])
def test_context_without_an_address_is_named(configuration: Path, host: str) -> None:
    """And is not asked for as the word None."""
    for meta in configuration.glob("contexts/meta/*/meta.json"):
        meta.write_text(f'{{"Endpoints": {{"docker": {{"Host": {host}}}}}}}', "utf-8")
    with pytest.raises(Lacking, match="Docker context desktop cannot be read"):
        daemon_address(None)


def test_connect_asks_the_daemon_of_the_context_and_names_it(configuration: Path) -> None:
    """It asked /var/run/docker.sock, said there was no Docker, and offered to install it."""
    found = rf"{configuration}/desktop.sock \(of the Docker context desktop\)"
    with pytest.raises(Lacking, match=rf"no Docker daemon answers at {found}; start that daemon"):
        connect(None)


@pytest.mark.parametrize(
    ("variables", "way", "destination"),
    [
        ({"DOCKER_HOST": "ssh://ada@h:2222"}, "ssh", "-p 2222 ada@h"),
        ({"DOCKER_HOST": "ssh://h"}, "ssh", "h"),
        ({"DOCKER_HOST": "https://h:2376"}, "https", "h"),
        ({"DOCKER_HOST": "tcp://h:2376", "DOCKER_TLS_VERIFY": "1"}, "TLS", "h"),
        ({"DOCKER_HOST": "h:2376", "DOCKER_CERT_PATH": "/none"}, "TLS", "h"),
        ({"DOCKER_CONTEXT": "ssh"}, "ssh", "g"),
        ({"DOCKER_CONTEXT": "tls"}, "TLS", "h"),
    ],
)
def test_connect_by_ssh_or_tls_says_how_to_forward_the_socket(
    configuration: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    way: str,
    destination: str,
) -> None:
    """The SDK spoke of paramiko and of certificates instead, neither of which would have helped."""
    add_context(configuration, "ssh", host="ssh://g")
    add_context(configuration, "tls", host="tcp://h:2376")
    key = hashlib.sha256(b"tls").hexdigest()
    (configuration / "contexts" / "tls" / key / "docker").mkdir(parents=True)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Lacking, match=f"is reached by {way}, ") as raised:
        connect(None)
    assert f"docker.sock:/var/run/docker.sock {destination} and export" in raised.value.remedy


@pytest.mark.parametrize("url", ["unix:///run/docker.sock", None])
def test_socket_needs_no_forwarding_whatever_certificates_there_are(url: str | None) -> None:
    """DOCKER_TLS_VERIFY in a shell's start-up file is about a different daemon."""
    assert DaemonAddress(url, is_tls=True).in_the_way() is None
