"""What tells the containers of one service from those of others on the same daemon."""

from __future__ import annotations

import os
import socket

import pytest

from execbox_service.engines.container_spec import container_spec
from execbox_service.settings import ConfigurationError, load_settings

KEYS = {"api_key_hashes": "a:" + "0" * 64}
MACHINE = socket.gethostname()


@pytest.mark.parametrize(
    ("values", "instance"),
    [
        ({}, "127.0.0.1:8080"),
        ({"port": "9000"}, "127.0.0.1:9000"),
        ({"host": "192.0.2.7"}, "192.0.2.7:8080"),
        ({"host": "::1"}, "::1:8080"),
        pytest.param({"port": "0"}, f"127.0.0.1:0:{os.getpid()}", id="any port"),
        # In a container every service listens there, on the same port.
        ({"host": "0.0.0.0"}, f"{MACHINE}:8080"),
        ({"host": "::"}, f"{MACHINE}:8080"),
        ({"host": "[::]", "port": "9000"}, f"{MACHINE}:9000"),
        ({"host": "0.0.0.0", "instance": "blue"}, "blue"),
        ({"instance": ""}, "127.0.0.1:8080"),
        ({"instance": "compose:127.0.0.1:8080"}, "compose:127.0.0.1:8080"),
    ],
)
def test_instance_is_what_the_operator_says_or_what_can_be_there_once(
    values: dict[str, str], instance: str
) -> None:
    """By default address and port, which one service of a machine has, and never an address
    that means all."""
    settings = load_settings(KEYS | values)
    assert settings.instance_name == instance
    assert container_spec(settings).instance == instance


@pytest.mark.parametrize("instance", [" ", "a b", "=a", "a,b", "a\n", "x" * 129, "ü"])
def test_instance_that_is_no_plain_word_is_refused(instance: str) -> None:
    """It goes into a filter of the daemon, so it is letters, digits and a few signs."""
    with pytest.raises(ConfigurationError, match="EXECBOX_INSTANCE"):
        load_settings({"instance": instance})
