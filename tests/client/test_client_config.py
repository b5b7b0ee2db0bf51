from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from execbox import AsyncClient, Client
from execbox.config import (
    ClientConfig,
    ModelConfig,
    RetryPolicy,
    config_from_env,
    is_loopback,
    terminal_wants_no_color,
)
from execbox.errors import ConfigError


def test_config_from_env_nothing_set_is_the_local_service() -> None:
    """Without settings it talks to the port `execbox serve` opens, without a key."""
    assert config_from_env() == ClientConfig(base_url="http://127.0.0.1:8080", api_key=None)


def test_config_from_env_variables_are_used_where_arguments_are_not_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Arguments win over the environment, the environment over the defaults."""
    monkeypatch.setenv("EXECBOX_URL", " https://box.example:9 ")
    monkeypatch.setenv("EXECBOX_API_KEY", "env-key")
    from_env = config_from_env()
    assert (from_env.base_url, from_env.api_key) == ("https://box.example:9", "env-key")
    given = config_from_env("http://other", api_key="given")
    assert (given.base_url, given.api_key) == ("http://other", "given")


def test_config_from_env_empty_variables_count_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files set variables to nothing."""
    monkeypatch.setenv("EXECBOX_URL", "")
    monkeypatch.setenv("EXECBOX_API_KEY", "")
    assert config_from_env() == ClientConfig()


def test_config_api_key_is_not_in_its_repr() -> None:
    """A key must not reach logs by way of a repr."""
    assert "s3cret" not in repr(ClientConfig(api_key="s3cret"))


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "127.0.0.1:8080",
        "ftp://host",
        "http://",
        "http://host:99999",
        "http://host:0",
        "http://host/?q=1",
        "http://host/#x",
        "http://[::1",
        "http://.svc:8080",
        "http://a..b",
        f"http://{'a' * 64}.example",
    ],
)
def test_config_base_url_that_cannot_work_is_refused_by_name(base_url: str) -> None:
    """The message names the setting and its variable."""
    with pytest.raises(ConfigError, match=r"base_url \(EXECBOX_URL\)"):
        ClientConfig(base_url=base_url)


@pytest.mark.parametrize("base_url", ["http://xn--a.b", "http://☃.example", "http://ü..b"])
def test_client_of_a_name_beyond_ascii_that_cannot_be_is_refused_by_name(base_url: str) -> None:
    """Which ones can be is httpx's to know; it is no bug of ours that they cannot."""
    with pytest.raises(ConfigError, match=r"base_url \(EXECBOX_URL\)"):
        Client(base_url)


@pytest.mark.parametrize("base_url", ["http://box.", "http://a_b", "http://[::1]", "http://bücher"])
def test_config_base_url_of_a_name_that_can_be_looked_up_is_taken(base_url: str) -> None:
    """Also what is unusual."""
    assert ClientConfig(base_url=base_url).base_url == base_url


def test_config_from_env_address_between_spaces_is_the_address() -> None:
    """As it is read from a file, a list and the environment."""
    assert config_from_env(" http://box:8080 ").base_url == "http://box:8080"


@pytest.mark.parametrize(
    "base_url", ["http://u:s3cret@host", "http://u:s3cret@host:x", "x://:s3cret@h"]
)
def test_config_credentials_in_the_url_are_refused_without_repeating_them(base_url: str) -> None:
    """A password in a URL would be logged with it."""
    with pytest.raises(ConfigError) as caught:
        ClientConfig(base_url=base_url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "two words", "new\nline", "schlüssel", "tab\t"])
def test_config_api_key_no_header_can_carry_is_refused_without_repeating_it(key: str) -> None:
    """A key that cannot be sent is a mistake found before sending."""
    with pytest.raises(ConfigError, match=r"api_key \(EXECBOX_API_KEY\)") as caught:
        ClientConfig(api_key=key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"connect_timeout_s": 0.0},
        {"read_timeout_s": -1.0},
        {"queue_allowance_s": float("nan")},
        {"connections_max": 0},
    ],
)
def test_config_quantity_out_of_range_is_refused_by_name(settings: dict[str, float]) -> None:
    """Zero, negative and not-a-number timeouts are mistakes."""
    with pytest.raises(ConfigError, match=next(iter(settings))):
        ClientConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("config", [ClientConfig, RetryPolicy, ModelConfig])
def test_config_text_in_the_place_of_a_number_is_refused_by_name(config: type[Any]) -> None:
    """What comes out of a file or the environment is text; every field that is a number."""
    needed = {"base_url": "http://a", "model": "m"} if config is ModelConfig else {}
    names = [each.name for each in fields(config) if type(each.default) in (int, float)]
    for name in [*names, *(["read_timeout_s"] if config is ClientConfig else [])]:
        with pytest.raises(ConfigError, match=rf"\b{name} must be a number, not '5'"):
            config(**needed, **{name: "5"})


def test_config_count_or_policy_of_a_wrong_kind_is_refused_by_name() -> None:
    """Half a connection would be any number of them."""
    with pytest.raises(ConfigError, match="connections_max must be a whole number"):
        ClientConfig(connections_max=0.5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="retry must be a RetryPolicy, not 3"):
        ClientConfig(retry=3)  # type: ignore[arg-type]


def test_retry_policy_negative_quantity_is_refused_by_name() -> None:
    """A policy is checked like the rest."""
    with pytest.raises(ConfigError, match=r"RetryPolicy\.backoff_s"):
        RetryPolicy(backoff_s=-1.0)


def test_retry_policy_none_is_refused_where_there_is_no_such_choice() -> None:
    """Busy answers may be bounded by the window alone, and nothing else may."""
    assert RetryPolicy(busy_retries_max=None).busy_retries_max is None
    with pytest.raises(ConfigError, match=r"RetryPolicy\.window_s must be 0 or more, not None"):
        RetryPolicy(window_s=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("base_url", "loopback"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://localhost", True),
        ("http://[::1]:1", True),
        ("http://127.9.9.9", True),
        ("http://10.0.0.1", False),
        ("http://localhost.example.org", False),
    ],
)
def test_is_loopback_only_for_this_machine(base_url: str, *, loopback: bool) -> None:
    """Only for these is a proxy from the environment left aside."""
    assert is_loopback(base_url) is loopback


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_client_config_next_to_a_url_is_refused(client: type[Client] | type[AsyncClient]) -> None:
    """Two sources for one setting would leave one silently unused."""
    with pytest.raises(ConfigError, match="not both"):
        client("http://host", config=ClientConfig())


@pytest.mark.parametrize(
    ("variables", "no_color"),
    [
        ({}, False),
        ({"NO_COLOR": ""}, False),
        ({"NO_COLOR": "1"}, True),
        ({"NO_COLOR": "0"}, True),
        ({"TERM": "dumb"}, True),
        ({"TERM": "xterm"}, False),
    ],
)
def test_terminal_wants_no_color_as_the_convention_says(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, *, no_color: bool
) -> None:
    """Any value of NO_COLOR but the empty one forbids colour."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert terminal_wants_no_color() is no_color
