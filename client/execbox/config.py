"""How a client is set up, and the only place in the client that reads the environment.

Sending and retrying are elsewhere; here are only the values they obey. ``EXECBOX_URL`` and
``EXECBOX_API_KEY`` fill in what is not given; ``NO_COLOR`` and ``TERM`` are read for the command
line.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, fields
from urllib.parse import urlsplit

from execbox.errors import ConfigError

__all__ = ["ClientConfig", "RetryPolicy", "config_from_env", "terminal_wants_no_color"]

DEFAULT_BASE_URL = "http://127.0.0.1:8080"
_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a request is tried again; every pause is drawn with full jitter.

    ``busy_retries_max`` bounds answers of 429 and 503 that say they are retryable,
    ``connect_retries_max`` connections that could not be made, and ``broken_retries_max``
    connections that broke after something was sent. ``window_s`` counts from the first
    attempt: no retry begins after it. ``RetryPolicy.never()`` retries nothing.
    """

    busy_retries_max: int = 8
    connect_retries_max: int = 2
    broken_retries_max: int = 1
    backoff_s: float = 0.25
    backoff_max_s: float = 10.0
    window_s: float = 120.0

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            if not value >= 0 or math.isinf(value):
                raise ConfigError(f"RetryPolicy.{setting.name} must be 0 or more, not {value!r}")

    @classmethod
    def never(cls) -> RetryPolicy:
        """A policy under which every failure is raised at once."""
        return cls(busy_retries_max=0, connect_retries_max=0, broken_retries_max=0)


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """Where the service is and how patient to be with it. Raises ``ConfigError`` when unusable.

    ``read_timeout_s`` None, the default, computes for each request the longest its own limits
    permit, plus ``queue_allowance_s`` for waiting until a slot is free. A number replaces that
    computation; where it is shorter than the work, a good request fails.
    ``connections_max`` bounds the sockets of one client; further requests wait for one.
    """

    base_url: str = DEFAULT_BASE_URL
    api_key: str | None = field(default=None, repr=False)
    connect_timeout_s: float = 5.0
    read_timeout_s: float | None = None
    queue_allowance_s: float = 120.0
    connections_max: int = 100
    retry: RetryPolicy = RetryPolicy()

    def __post_init__(self) -> None:
        _check_base_url(self.base_url)
        _check_api_key(self.api_key)
        for name in ("connect_timeout_s", "read_timeout_s", "queue_allowance_s", "connections_max"):
            value = getattr(self, name)
            if value is not None and (not value > 0 or math.isinf(value)):
                raise ConfigError(f"{name} must be more than 0, not {value!r}")

    @property
    def is_loopback(self) -> bool:
        """Whether the service is on this machine, where no proxy can reach it."""
        return urlsplit(self.base_url).hostname in _LOOPBACK_HOSTS


def config_from_env(base_url: str | None = None, *, api_key: str | None = None) -> ClientConfig:
    """The defaults, with ``EXECBOX_URL`` and ``EXECBOX_API_KEY`` where an argument is None.

    An empty variable counts as not set. The key goes to whichever URL is used, so give
    ``api_key`` too when talking to another service than the environment's.
    """
    env_url = os.environ.get("EXECBOX_URL", "").strip() or DEFAULT_BASE_URL
    env_key = os.environ.get("EXECBOX_API_KEY", "").strip() or None
    return ClientConfig(
        base_url=env_url if base_url is None else base_url,
        api_key=env_key if api_key is None else api_key,
    )


def terminal_wants_no_color() -> bool:
    """True if ``NO_COLOR`` is set to anything but nothing (no-color.org), or TERM is dumb."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def _check_base_url(base_url: str) -> None:
    try:
        parts = urlsplit(base_url)
        port = parts.port  # Raises where it is not a number from 0 to 65535.
    except ValueError as error:
        raise ConfigError(f"base_url (EXECBOX_URL) is not a URL: {error}") from error
    if parts.username is not None or parts.password is not None:
        # The URL is not repeated here: it would put the password into a log.
        raise ConfigError("base_url (EXECBOX_URL) must hold no credentials; use EXECBOX_API_KEY")
    if parts.scheme not in ("http", "https"):
        problem = "it must begin with http:// or https://"
    elif not parts.hostname or port == 0:
        problem = "it names no host or no port"
    elif parts.query or parts.fragment:
        problem = "it must end with its path, without ? or #"
    else:
        return
    raise ConfigError(f"base_url (EXECBOX_URL) {base_url!r} cannot be used: {problem}")


def _check_api_key(api_key: str | None) -> None:
    # The key itself is never repeated: messages end up in logs.
    if api_key is None:
        return
    if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise ConfigError("api_key (EXECBOX_API_KEY) must be printable ASCII without spaces")
