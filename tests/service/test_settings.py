from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

import execbox
from execbox_service.settings import (
    COMPAT_CONTRACTS,
    ENV_PREFIX,
    ConfigurationError,
    Settings,
    hash_api_key,
    load_settings,
    unknown_variables,
)

HASH = hash_api_key("key")


def test_load_settings_without_anything_set_is_safe() -> None:
    """The defaults listen on loopback only, with one slot for each core that may be used."""
    settings = load_settings({})
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert settings.bound_to_loopback
    assert settings.slot_count == len(os.sched_getaffinity(0))
    assert settings.profiles_allowed == ("default",)
    assert settings.hosts_answered == ("localhost", "127.0.0.1", "[::1]", "127.0.0.1")


def test_load_settings_where_there_is_no_linux_counts_all_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only Linux says which a process may use, and has the file that several workers share."""
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    settings = load_settings({})
    assert (settings.slot_count, settings.worker_count) == (12, 1)


def test_load_settings_environment_and_overrides_the_overrides_win(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the command line says is over what the environment says."""
    monkeypatch.setenv("EXECBOX_PORT", "9000")
    monkeypatch.setenv("EXECBOX_QUEUE_SIZE", "7")
    settings = load_settings({"port": "9001"})
    assert (settings.port, settings.queue_size) == (9001, 7)


def test_load_settings_empty_variables_count_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files set variables to nothing."""
    monkeypatch.setenv("EXECBOX_PORT", "")
    monkeypatch.setenv("EXECBOX_API_KEY_HASHES", "")
    monkeypatch.setenv("EXECBOX_OCI_RUNTIME", "")
    settings = load_settings({})
    assert (settings.port, settings.api_key_hashes, settings.oci_runtime) == (8080, (), None)


def test_load_settings_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """No JSON in environment variables."""
    monkeypatch.setenv("EXECBOX_API_KEY_HASHES", f"a:{HASH}, b.c:{HASH.upper()}")
    monkeypatch.setenv("EXECBOX_ISOLATION_ALLOWED", "process,container")
    monkeypatch.setenv("EXECBOX_ALLOWED_HOSTS", "Box.Example")
    settings = load_settings({})
    assert settings.api_key_hashes == (("a", HASH), ("b.c", HASH))
    assert settings.isolation_allowed == ("process", "container")
    assert settings.hosts_answered == ("box.example",)


@pytest.mark.parametrize(
    "name",
    [
        *("http://box.example", "box.example/", "box.example:8080", "*.example", "[::1]:8080"),
        *("::1", "a b", "bücher.example", "-box", "**"),
    ],
)
def test_load_settings_host_that_no_header_can_match_is_refused(name: str) -> None:
    """It would lock out everyone who uses the name that was meant."""
    with pytest.raises(ConfigurationError, match="without scheme, port, path") as caught:
        load_settings({"allowed_hosts": f"box.example,{name}"})
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("name", ["box", "Box.example", "192.0.2.1", "[::1]", "a_b-c.d", "*"])
def test_load_settings_host_that_a_header_can_have_is_taken(name: str) -> None:
    """As it is, but for its case."""
    assert load_settings({"allowed_hosts": f" {name} ,"}).hosts_answered == (name.lower(),)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "box.example"])
def test_load_settings_listening_beyond_loopback_without_keys_is_refused(host: str) -> None:
    """Whoever can connect could run code."""
    with pytest.raises(ConfigurationError, match="EXECBOX_API_KEY_HASHES") as caught:
        load_settings({"host": host})
    assert host in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_load_settings_loopback_without_keys_is_accepted(host: str) -> None:
    """Only this machine can connect."""
    assert load_settings({"host": host}).bound_to_loopback


def test_load_settings_listening_beyond_loopback_with_keys_answers_any_host() -> None:
    """With keys required, a web page cannot misuse its visitor's service."""
    settings = load_settings({"host": "0.0.0.0", "api_key_hashes": f"a:{HASH}"})
    assert settings.hosts_answered == ("*",)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("port", "99999", "65535"),
        ("port", "http", "integer"),
        ("engine", "podman", "'auto'"),
        ("slot_count", "0", "1"),
        ("cpu_time_s_max", "61", "60"),
        ("memory_mb_max", "8", "16"),
        ("body_bytes_max", str(17 * 1024 * 1024), "16777216"),
        ("isolation_allowed", "container,none", "'process'"),
        ("isolation_allowed", ",", "at least 1 item"),
        ("log_format", "xml", "'json'"),
        ("compat", "sandboxfusion,judge0", "sandboxfusion"),
        ("compat", "none,sandboxfusion", "by itself"),
        ("container_cpu_count", "nan", "number"),
        ("receive_timeout_s", "inf", "3600"),
    ],
)
def test_load_settings_value_out_of_range_is_named_with_what_is_allowed(
    field: str, value: str, allowed: str
) -> None:
    """One line tells an operator which variable to set to what."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings({field: value})
    message = str(caught.value)
    assert message.startswith(f"{ENV_PREFIX}{field.upper()}=")
    assert allowed in message
    assert "\n" not in message


@pytest.mark.parametrize("field", ["isolation_allowed", "profiles_allowed"])
def test_load_settings_list_of_nothing_usable_is_not_called_too_short(field: str) -> None:
    """It has an entry, and what is wrong with that has been said."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings({field: "both"})
    assert str(caught.value).startswith(f"{ENV_PREFIX}{field.upper()}='both': ")
    assert "at least" not in str(caught.value)
    assert str(caught.value).count(ENV_PREFIX) == 1


def test_load_settings_several_problems_are_all_reported() -> None:
    """Nobody should have to start the service once for each mistake."""
    with pytest.raises(ConfigurationError, match=r"EXECBOX_PORT=.*EXECBOX_TMP_MB="):
        load_settings({"port": "x", "tmp_mb": "y"})


def test_load_settings_key_in_the_place_of_its_hash_is_not_repeated() -> None:
    """The message goes to logs, where no key may be."""
    with pytest.raises(ConfigurationError, match="sha256") as caught:
        load_settings({"api_key_hashes": "alice:my-secret-key"})
    assert "my-secret-key" not in str(caught.value)


def test_load_settings_same_key_name_twice_is_refused() -> None:
    """Names are all that logs and queues have to tell keys apart."""
    with pytest.raises(ConfigurationError, match="same name"):
        load_settings({"api_key_hashes": f"a:{HASH},a:{HASH}"})


def test_load_settings_with_the_hash_of_nothing_is_refused() -> None:
    """It is what an empty variable gives, and would lock everybody out without a word."""
    nothing = hashlib.sha256(b"").hexdigest()
    with pytest.raises(ConfigurationError, match=r"API_KEY_HASHES.*key a .*was empty"):
        load_settings({"api_key_hashes": f"b:{HASH},a:{nothing}"})


def test_load_settings_unknown_override_is_refused() -> None:
    """A misspelt option must not be ignored."""
    with pytest.raises(ConfigurationError, match="'prot'"):
        load_settings({"prot": "1"})


def test_settings_are_frozen() -> None:
    """Nobody changes the configuration of a running service."""
    with pytest.raises(ValidationError):
        load_settings({}).port = 1  # type: ignore[misc]


def test_settings_fields_have_descriptions_and_quantities_units() -> None:
    """The settings are documentation, and no number is without its unit."""
    unit = re.compile(r"_(s|mb|bytes|count|size|max)$")
    for name, field in Settings.model_fields.items():
        assert field.description, name
        if field.annotation in (int, float) and name != "port":
            assert unit.search(name), name


@pytest.mark.parametrize("key", ["", "with space", "line\n", "schlüssel"])
def test_hash_api_key_of_a_key_no_request_can_show_is_refused(key: str) -> None:
    """Such a key would be refused with 401 for ever, and nobody could see why."""
    with pytest.raises(ConfigurationError):
        hash_api_key(key)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("EXECBOX_POOLSIZE", "do you mean EXECBOX_POOL_SIZE?"),
        ("EXECBOX_PROT", "do you mean EXECBOX_PORT?"),
        ("EXECBOX_API_KEYS_HASHES", "do you mean EXECBOX_API_KEY_HASHES?"),
        ("execbox_queue_sise", "do you mean EXECBOX_QUEUE_SIZE?"),
        ("EXECBOX_MAX_QUEUE_SIZE", "do you mean EXECBOX_QUEUE_SIZE?"),
        ("EXECBOX_BREAKFAST", "docs/operations.md lists"),
    ],
)
def test_unknown_variable_is_named_with_what_may_be_meant(
    name: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt setting would silently not hold; its value may be a secret."""
    monkeypatch.setenv(name, "s3cret")
    (sentence,) = [each for each in unknown_variables() if each.startswith(name.upper())]
    assert says in sentence
    assert "s3cret" not in sentence


def test_variables_that_execbox_or_kubernetes_reads_are_not_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every setting, the client's variables, and what a pod finds beside a Service `execbox`."""
    before = unknown_variables()
    for field in Settings.model_fields:
        monkeypatch.setenv(ENV_PREFIX + field.upper(), "1")
    for name in ("URL", "API_KEY", "MODEL_URL", "SERVICE_HOST", "PORT_8080_TCP_ADDR", "NO_INSTALL"):
        monkeypatch.setenv(ENV_PREFIX + name, "1")
    assert unknown_variables() == before


def test_variables_that_the_client_reads_are_not_unknown_to_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a developer's machine both have one environment. The names are those in its code."""
    sources = Path(execbox.__file__).parent.rglob("*.py")
    names = {
        name
        for source in sources
        for name in re.findall(r'environ\.get\(\s*"(EXECBOX_[A-Z_]+)"', source.read_text("utf-8"))
    }
    assert {"EXECBOX_URL", "EXECBOX_CONFIG", "EXECBOX_MIXED_NODES"} <= names
    before = unknown_variables()
    for name in names:
        monkeypatch.setenv(name, "1")
    assert unknown_variables() == before


@pytest.mark.parametrize(
    ("given", "contracts"),
    [
        ("none", ()),
        ("all", COMPAT_CONTRACTS),
        ("", COMPAT_CONTRACTS),
        ("sandboxfusion", ("sandboxfusion",)),
        (" SandboxFusion, sandbox-fusion,sandbox_fusion ", ("sandboxfusion",)),
    ],
)
def test_load_settings_contracts_are_known_in_any_spelling(
    given: str, contracts: tuple[str, ...]
) -> None:
    """Each once, as their projects write them."""
    assert load_settings({"compat": given} if given else {}).compat == contracts
