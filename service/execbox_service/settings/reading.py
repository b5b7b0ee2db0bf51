"""Reading the settings from the environment, and telling what in it is no setting.

Nothing else of the service reads the environment.
"""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from .fields import Settings
from .values import ENV_PREFIX, ConfigurationError, shown

_SECRET_FIELDS = frozenset({"api_key_hashes"})
_READ_ELSEWHERE = frozenset(
    ENV_PREFIX + name
    for name in (
        *("URL", "API_KEY", "MIXED_NODES", "CONFIG", "MODEL_URL", "MODEL", "MODEL_API_KEY"),
        *("NO_INSTALL", "REQUIRE_DOCKER", "REQUIRE_BUBBLEWRAP", "DOCKERD_LOG", "BASE_IMAGE"),
        *("REQUIRE_BROWSER", "REQUIRE_SHELLS", "REQUIRE_STANDALONE", "ATTACK_SEED"),
        "PULL_TIMEOUT_S",
        *("PUBLISH_ADDRESS", "PUBLISH_PORT", "SERVICE_MEMORY", "FUZZ_EXAMPLES"),
    )
)
"""Variables of the client, of the Makefile, of compose and of the tests."""
_READ_IN_CONTAINERS = ENV_PREFIX + "CLOCK_"
_OF_KUBERNETES = re.compile(ENV_PREFIX + r"(?:SERVICE_(?:HOST|PORT.*)|PORT_\d+_(?:TCP|UDP).*)")
"""What Kubernetes sets in every pod beside a Service that is named execbox."""
_OF_DOCKER = ("HOST", "CONTEXT", "CONFIG", "TLS_VERIFY", "CERT_PATH")


@dataclass(frozen=True)
class DockerVariables:
    """What the environment tells the docker command about its daemon; None is unset or empty."""

    host: str | None
    context: str | None
    configuration_folder: str
    asks_for_tls: bool


def docker_variables() -> DockerVariables:
    """Docker's own variables, which count where ``EXECBOX_DOCKER_HOST`` is unset."""
    given = {name: os.environ.get(f"DOCKER_{name}") or None for name in _OF_DOCKER}
    return DockerVariables(
        host=given["HOST"],
        context=given["CONTEXT"],
        configuration_folder=given["CONFIG"] or os.path.expanduser("~/.docker"),
        asks_for_tls=given["TLS_VERIFY"] is not None or given["CERT_PATH"] is not None,
    )


def load_settings(overrides: Mapping[str, str]) -> Settings:
    """Settings from the environment, and over it ``overrides``, whose keys are field names.

    Raises ConfigurationError with one line that lists every problem.
    """
    unknown = sorted(set(overrides) - set(Settings.model_fields))
    if unknown:
        raise ConfigurationError(f"{shown(unknown[0])} is no setting of the service")
    values: dict[str, Any] = dict(overrides)
    try:
        return Settings(**values)
    except ValidationError as error:
        raise ConfigurationError("; ".join(_problems(error))) from error


def _problems(error: ValidationError) -> Iterator[str]:
    items = error.errors(include_url=False, include_context=False)
    fields = Counter(str(item["loc"][0]) if item["loc"] else None for item in items)
    for item in items:
        field = str(item["loc"][0]) if item["loc"] else None
        # A list without the entries that cannot be used may be too short, which nobody gave.
        if item["type"] != "too_short" or fields[field] == 1:
            yield _problem(field, value=item["input"], why=item["msg"])


def _problem(field: str | None, *, value: object, why: str) -> str:
    reason = why.removeprefix("Value error, ").removeprefix("Input ")
    if field is None:
        return reason
    variable = ENV_PREFIX + field.upper()
    if field in _SECRET_FIELDS:
        # The likeliest mistake is a key in the place of its hash.
        return f"{variable}: {reason}"
    return f"{variable}={shown(str(value))}: {reason}"


def unknown_variables() -> list[str]:
    """A sentence for each ``EXECBOX_`` variable that is set and that nothing of execbox reads.

    Their values are not repeated: a misspelt name may hide a secret.
    """
    fields = {ENV_PREFIX + name.upper() for name in Settings.model_fields}
    unread = sorted(
        name
        for name in map(str.upper, os.environ)
        if name.startswith(ENV_PREFIX)
        and name not in fields | _READ_ELSEWHERE
        and not name.startswith(_READ_IN_CONTAINERS)
        and not _OF_KUBERNETES.fullmatch(name)
    )
    return [_unread(name, known=fields | _READ_ELSEWHERE) for name in unread]


def _unread(name: str, *, known: set[str]) -> str:
    meant = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    words = set(name.removeprefix(ENV_PREFIX).split("_"))
    # EXECBOX_MAX_QUEUE_SIZE for EXECBOX_QUEUE_SIZE: the words are there, and others too.
    within = [each for each in known if set(each.removeprefix(ENV_PREFIX).split("_")) < words]
    if not meant and within:
        meant = [max(within, key=len)]
    advice = (
        f"do you mean {meant[0]}?" if meant else "docs/operations.md lists those that there are"
    )
    return f"{name} is set, and is no setting of execbox: {advice}"
