"""`execbox.toml`: where it is found, what comes before it, and where keys are not sent."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from execbox.cli import main
from execbox.cli.config_file import read_settings
from execbox.cli.outcomes import CommandError
from execbox.config import config_from_env, model_config_from_env
from execbox.errors import ConfigError
from tests.client.cli_harness import response

if TYPE_CHECKING:
    from tests.client.conftest import ScriptedServer

FAR = "https://far.example"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, two below the place of the file."""
    below = tmp_path / "project" / "deep" / "er"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    return tmp_path / "project"


def write(folder: Path, text: str) -> Path:
    path = folder / "execbox.toml"
    path.write_text(text)
    return path


def test_file_above_the_working_directory_gives_address_key_and_limits(
    folder: Path, server: ScriptedServer, source: str
) -> None:
    """A path in it is meant from where the file is."""
    (folder / "key").write_text("s3cret\n")
    write(
        folder,
        f'url = "{server.url}"\napi_key_file = "key"\n[limits]\nmemory_mb = 64\ncpu_time_s=2',
    )
    server.reply(200, response({}))
    assert main(["run", source, "--input", "{}", "--cpu-time-s", "3"]) == 0
    (received,) = server.received
    assert received.headers["Authorization"] == "Bearer s3cret"
    assert received.json["limits"] == {"cpu_time_s": 3.0, "memory_mb": 64}


def test_option_comes_before_environment_before_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this order, each by itself."""
    write(folder, f'url = "{FAR}"\nmixed_nodes = "allow"\n[model]\nurl = "{FAR}/v1"\nname = "m"\n')
    settings = read_settings(None)
    found = config_from_env(fallback=settings.service)
    assert (found.base_url, found.mixed_nodes) == (FAR, "allow")
    asked = model_config_from_env(fallback=settings.model)
    assert (asked.base_url, asked.model) == (f"{FAR}/v1", "m")
    monkeypatch.setenv("EXECBOX_URL", "http://env")
    monkeypatch.setenv("EXECBOX_MIXED_NODES", "refuse")
    monkeypatch.setenv("EXECBOX_MODEL", "of-env")
    found = config_from_env(fallback=settings.service)
    assert (found.base_url, found.mixed_nodes) == ("http://env", "refuse")
    assert model_config_from_env(fallback=settings.model).model == "of-env"
    assert config_from_env("http://given", fallback=settings.service).base_url == "http://given"
    assert model_config_from_env(model="given", fallback=settings.model).model == "given"


def test_file_that_is_named_is_taken_instead_of_one_that_is_found(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By option before variable; an empty file says nothing."""
    write(folder, 'url = "http://found"')
    named, variable = tmp_path / "named.toml", tmp_path / "variable.toml"
    named.write_text('url = "http://named"')
    variable.write_text("")
    assert read_settings(None).service.url == "http://found"
    monkeypatch.setenv("EXECBOX_CONFIG", str(variable))
    assert read_settings(None).service.url is None
    assert read_settings(str(named)).service.url == "http://named"


def test_fleet_is_a_list_or_a_file_beside_it(folder: Path) -> None:
    """As ``--url`` takes both."""
    write(folder, 'url = ["http://a:1", "http://b:2"]')
    assert config_from_env(fallback=read_settings(None).service).nodes == (
        "http://a:1",
        "http://b:2",
    )
    write(folder, 'url = "@nodes.txt"')
    nodes = config_from_env(fallback=read_settings(None).service).nodes
    assert nodes == folder / "nodes.txt"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('ulr = "http://a"', "unknown setting ulr; did you mean url?"),
        ("[limits]\ncpu_time = 1", "unknown setting limits.cpu_time; did you mean limits.cpu_time"),
        ("memory_mb = 64", "unknown setting memory_mb; did you mean limits.memory_mb?"),
        ('[modle]\nname = "m"', "unknown setting modle.name; did you mean model.name?"),
        ("zzz = 1", "unknown setting zzz; known are url, mixed_nodes, "),
        ("[limits]\nmemory_mb = 1", "limits.memory_mb must be a whole number from 16 to 4096, not"),
        ("[limits]\nmemory_mb = 64.5", "limits.memory_mb must be a whole number"),
        ("[limits]\nmemory_mb = true", "limits.memory_mb must be a whole number"),
        ("[limits]\ncpu_time_s = nan", "limits.cpu_time_s must be a number from 0.01 to 60, not"),
        ("url = 8080", "url must be text, not 8080"),
        ("url = []", "url must be text, not []"),
        ("limits = 3", "unknown setting limits"),
        ('mixed_nodes = "maybe"', "mixed_nodes must be refuse or allow, not 'maybe'"),
        ("url = ", "is no TOML: "),
        ("\xff", "is no TOML: "),
    ],
)
def test_setting_that_cannot_be_is_named_with_what_it_must_be(
    folder: Path, source: str, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    """One line that names the file, exit code 2, nothing sent."""
    path = write(folder, text)
    assert main(["run", source, "--input", "{}"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"execbox: {path}: ")
    assert message in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize("text", ['api_key = "s3cret"', '[model]\napi_key = "s3cret"'])
def test_key_in_the_file_itself_is_refused_and_not_shown(
    folder: Path, source: str, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """Such a file is committed."""
    write(folder, text)
    assert main(["run", source, "--input", "{}"]) == 2
    shown = capsys.readouterr().err
    assert 'api_key_file = "PATH"' in shown
    assert "s3cret" not in shown


def test_command_that_asks_no_service_does_not_read_the_file(folder: Path, tmp_path: Path) -> None:
    """A broken one above does not keep it from its work."""
    write(folder, "= broken")
    (tmp_path / "f.jsonl").write_text("{}\n")
    assert main(["revise", str(tmp_path / "f.jsonl"), "-o", str(tmp_path / "o.jsonl")]) == 1


def test_named_file_that_is_missing_is_the_callers_mistake(
    source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A typing error in a name must not run without its limits."""
    assert main(["run", source, "--input", "{}", "--config", "/no/such.toml"]) == 2
    assert "/no/such.toml: cannot be read: No such file" in capsys.readouterr().err


def test_found_file_of_a_different_user_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write to a directory above would say where code is sent; named, it is taken."""
    path = write(folder, f'url = "{FAR}"')
    monkeypatch.setattr(os, "getuid", lambda: path.stat().st_uid + 7)
    if path.stat().st_uid == 0:
        os.chown(path, 12345, -1)
    with pytest.raises(CommandError, match=f"belongs to a different user.*--config {path}"):
        read_settings(None)
    assert read_settings(str(path)).service.url == FAR


KEYS = {
    "of the environment": (True, None),
    "elsewhere": (False, "../key"),
    "through a link": (False, "link"),
}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("asked", ["service", "model"])
def test_key_from_elsewhere_is_not_sent_to_an_address_of_a_found_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str, asked: str
) -> None:
    """A cloned repository could name an address of its own, and a file of yours as the key."""
    in_environment, key_file = KEYS[kind]
    (folder.parent / "key").write_text("s3cret")
    (folder / "link").symlink_to(folder.parent / "key")
    lines = [f'url = "{FAR}"', f'api_key_file = "{key_file}"' if key_file else ""]
    table = "\n".join([*lines, 'name = "m"'])
    path = write(folder, "\n".join(lines) if asked == "service" else f"[model]\n{table}")
    if in_environment:
        monkeypatch.setenv("EXECBOX_API_KEY", "s3cret")
        monkeypatch.setenv("EXECBOX_MODEL_API_KEY", "s3cret")

    def configured(named: str | None) -> str | None:
        settings = read_settings(named)
        if asked == "service":
            return config_from_env(fallback=settings.service).api_key
        return model_config_from_env(fallback=settings.model).api_key

    with pytest.raises(ConfigError, match=f"is not sent to {FAR}") as refused:
        configured(None)
    assert "s3cret" not in str(refused.value)
    assert configured(str(path)) == "s3cret"
    monkeypatch.setenv("EXECBOX_URL", FAR)
    monkeypatch.setenv("EXECBOX_MODEL_URL", FAR)
    assert configured(None) == "s3cret"


def test_key_beside_a_found_file_or_for_loopback_is_sent(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is as much the directory's as the address; the second leaves no machine."""
    (folder / "key").write_text("own")
    write(folder, f'url = "{FAR}"\napi_key_file = "key"')
    assert config_from_env(fallback=read_settings(None).service).api_key == "own"
    write(folder, 'url = ["http://127.0.0.1:1", "http://localhost:2"]')
    monkeypatch.setenv("EXECBOX_API_KEY", "mine")
    assert config_from_env(fallback=read_settings(None).service).api_key == "mine"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        (b"two words", "must be printable ASCII"),
        (b"s3cr\xe9t", "is not ASCII"),
        (b"s" * 5000, "is longer than 4096 characters"),
        (b"", "must be printable ASCII"),
    ],
)
def test_key_file_that_holds_no_key_is_named_without_its_content(
    folder: Path, content: bytes | None, message: str
) -> None:
    """As a fault of the configuration."""
    write(folder, 'api_key_file = "key"')
    if content is not None:
        (folder / "key").write_bytes(content)
    with pytest.raises(ConfigError, match=message) as refused:
        config_from_env(fallback=read_settings(None).service)
    assert str(folder / "key") in str(refused.value)
    assert "s3cr" not in str(refused.value)
    assert "two" not in str(refused.value)


def test_documented_file_is_read(folder: Path) -> None:
    """As the page shows it."""
    page = Path(__file__).parents[2] / "docs" / "command-line.md"
    write(folder, page.read_text("utf-8").split("```toml\n")[1].split("```")[0])
    settings = read_settings(None)
    assert {"url", "api_key_file", "model.name", "limits.memory_mb"} <= set(settings.names)


def test_doctor_names_the_file_and_what_it_sets(
    folder: Path, dead_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names only, for a value may be private."""
    path = write(folder, f'url = "{dead_url}"\n[limits]\nmemory_mb = 64\n')
    assert main(["doctor", "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    (found,) = [each for each in findings if each["name"] == "settings"]
    assert found["found"] == f"{path} sets url, limits.memory_mb"
