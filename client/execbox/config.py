"""How a client is set up, and the only place in the client that reads the environment.

Sending and retrying are elsewhere; here are only the values they obey. ``EXECBOX_URL`` and
``EXECBOX_API_KEY`` fill in what is not given, ``EXECBOX_MODEL_URL``, ``EXECBOX_MODEL`` and
``EXECBOX_MODEL_API_KEY`` do so for a model endpoint, ``EXECBOX_CONFIG`` names the command line's
file of settings; proxies and certificates are named by the
variables that other programs use too; ``NO_COLOR`` and ``TERM`` are read for the command line.
"""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TypeAlias, cast

from execbox._addresses import (
    Addresses,
    NodeSource,
    check_base_url,
    check_node_source,
    is_loopback,
    parsed_addresses,
)
from execbox._fallback import NO_FALLBACK, Fallback, MixedNodesRule, check_api_key
from execbox.errors import ConfigError, ExecboxError

__all__ = [
    "ClientConfig",
    "Fallback",
    "MixedNodesRule",
    "ModelConfig",
    "RetryPolicy",
    "WaitListener",
    "Waiting",
    "config_from_env",
    "is_loopback",
    "model_config_from_env",
    "named_config_file",
    "network_environment",
    "terminal_is_dumb",
    "terminal_wants_no_color",
]

DEFAULT_BASE_URL = "http://127.0.0.1:8080"


def _check_quantity(name: str, value: object, *, zero_allowed: bool = False) -> None:
    """Raises ``ConfigError`` for what is no finite number in its range; text is none either."""
    wanted = "0 or more" if zero_allowed else "more than 0"
    if isinstance(value, numbers.Real):
        number = cast(float, value)
        if (number > 0 or (zero_allowed and number == 0)) and number < math.inf:
            return
    elif value is not None:
        wanted = "a number"
    raise ConfigError(f"{name} must be {wanted}, not {value!r:.100}")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a request is tried again; every pause is drawn with full jitter.

    ``window_s`` counts from the first attempt: no retry begins after it. It is all that bounds
    waiting for a service that has no room (429), unless ``busy_retries_max`` is a number.
    ``unavailable_retries_max`` bounds answers of 503 that say they are retryable, a proxy's own 502
    and 503, and connections that could not be made to a service that has answered before: it is
    being started again. ``connect_retries_max`` bounds those to one that never has, and
    ``broken_retries_max`` connections that broke after something was sent, and a proxy's own 504.
    ``RetryPolicy.never()`` retries nothing.
    """

    busy_retries_max: int | None = None
    connect_retries_max: int = 2
    broken_retries_max: int = 1
    backoff_s: float = 0.25
    backoff_max_s: float = 10.0
    window_s: float = 600.0
    unavailable_retries_max: int = 8

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            if value is not None or setting.default is not None:
                _check_quantity(f"RetryPolicy.{setting.name}", value, zero_allowed=True)

    @classmethod
    def never(cls) -> RetryPolicy:
        """A policy under which every failure is raised at once."""
        return cls(
            busy_retries_max=0,
            unavailable_retries_max=0,
            connect_retries_max=0,
            broken_retries_max=0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A request that is going to be sent again: what failed last, how long ago it was sent first,
    for how long it waits now at most (a fleet may have a different node, which is asked at once),
    and how long it may go on so altogether."""

    failure: ExecboxError
    elapsed_s: float
    pause_s: float
    window_s: float


WaitListener: TypeAlias = Callable[[Waiting], None]


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """Where the service is and how patient to be with it. Raises ``ConfigError`` when unusable.

    ``read_timeout_s`` None, the default, computes for each request the longest its own limits
    permit, plus ``queue_allowance_s`` for waiting until a slot is free. A number replaces that
    computation; where it is shorter than the work, a good request fails.
    ``connections_max`` bounds the sockets of one client to one service; further requests wait for
    one.

    ``nodes`` are the addresses of a fleet, in the place of ``base_url``: a tuple of them, a file
    with one a line that is read again when it changes, or a callable that returns them and is
    asked again every few seconds. All nodes get the same ``api_key``. ``mixed_nodes`` "allow" lets
    the nodes differ in image or version, which is refused otherwise.

    ``on_wait`` is told before each pause after which a request is sent again, in the thread or the
    event loop that sends it; what it raises ends the request.
    """

    base_url: str = DEFAULT_BASE_URL
    api_key: str | None = field(default=None, repr=False)
    connect_timeout_s: float = 5.0
    read_timeout_s: float | None = None
    queue_allowance_s: float = 120.0
    connections_max: int = 100
    retry: RetryPolicy = RetryPolicy()
    nodes: NodeSource | None = None
    mixed_nodes: MixedNodesRule = "refuse"
    on_wait: WaitListener | None = None

    def __post_init__(self) -> None:
        check_base_url(self.base_url)
        if self.nodes is not None:
            check_node_source(self.nodes)
        if self.mixed_nodes not in ("refuse", "allow"):
            raise ConfigError(
                f"mixed_nodes (EXECBOX_MIXED_NODES) must be refuse or allow, not "
                f"{self.mixed_nodes!r:.100}"
            )
        check_api_key(self.api_key)
        if not isinstance(self.retry, RetryPolicy):
            raise ConfigError(f"retry must be a RetryPolicy, not {self.retry!r:.100}")
        _check_quantity("connect_timeout_s", self.connect_timeout_s)
        _check_quantity("queue_allowance_s", self.queue_allowance_s)
        _check_quantity("connections_max", self.connections_max)
        if not isinstance(self.connections_max, numbers.Integral):
            raise ConfigError(
                f"connections_max must be a whole number, not {self.connections_max!r}"
            )
        if self.read_timeout_s is not None:
            _check_quantity("read_timeout_s", self.read_timeout_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Which model answers, where, and how patient to be. Raises ``ConfigError`` when unusable.

    ``base_url`` is what ``/chat/completions`` is appended to, usually ending in ``/v1``.
    ``failure_retries_max`` bounds, per prompt, answers of 5xx, broken connections, timeouts and
    answers that are none; ``busy_retries_max`` answers of 429. Pauses grow from ``backoff_s`` to
    ``backoff_max_s``, with full jitter, on top of what the endpoint asks for; one that asks for
    more than ``pause_max_s`` ends the run instead. ``answer_timeout_s`` is for one whole answer.
    """

    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    connect_timeout_s: float = 10.0
    answer_timeout_s: float = 600.0
    failure_retries_max: int = 5
    busy_retries_max: int = 40
    backoff_s: float = 1.0
    backoff_max_s: float = 30.0
    pause_max_s: float = 900.0

    def __post_init__(self) -> None:
        check_base_url(self.base_url, setting="model URL (EXECBOX_MODEL_URL)")
        check_api_key(self.api_key, setting="model API key (EXECBOX_MODEL_API_KEY)")
        if not self.model:
            raise ConfigError("model (EXECBOX_MODEL) must not be empty")
        for name in ("connect_timeout_s", "answer_timeout_s", "pause_max_s"):
            _check_quantity(name, getattr(self, name))
        for name in ("failure_retries_max", "busy_retries_max", "backoff_s", "backoff_max_s"):
            _check_quantity(name, getattr(self, name), zero_allowed=True)


def named_config_file() -> str | None:
    """The file that ``EXECBOX_CONFIG`` names; None if it is not set."""
    return os.environ.get("EXECBOX_CONFIG", "").strip() or None


def config_from_env(
    base_url: Addresses | None = None,
    *,
    api_key: str | None = None,
    mixed_nodes: MixedNodesRule | None = None,
    fallback: Fallback = NO_FALLBACK,
) -> ClientConfig:
    """The defaults, with ``EXECBOX_URL``, ``EXECBOX_API_KEY`` and ``EXECBOX_MIXED_NODES`` where an
    argument is None.

    ``base_url`` may name a fleet (``Addresses``), and ``EXECBOX_URL`` too: addresses separated by
    commas, ``@FILE``, or ``dns:NAME:PORT``. An empty variable counts as not set. The key goes to
    whichever address is used, so give ``api_key`` too when talking to another service than the
    environment's. What neither says, ``fallback`` may. Raises ``ConfigError`` also where it may not
    have the key.
    """
    env_url = os.environ.get("EXECBOX_URL", "").strip()
    env_key = os.environ.get("EXECBOX_API_KEY", "").strip() or None
    env_rule = os.environ.get("EXECBOX_MIXED_NODES", "").strip()
    named = env_url if base_url is None else base_url
    is_named = base_url is not None or bool(env_url)
    where = parsed_addresses(named if is_named else fallback.url or DEFAULT_BASE_URL)
    fallback_rule = env_rule or fallback.mixed_nodes or "refuse"
    given_key = env_key if api_key is None else api_key
    key = fallback.key() if given_key is None else given_key
    config = ClientConfig(
        base_url=where if isinstance(where, str) else DEFAULT_BASE_URL,
        api_key=key,
        nodes=None if isinstance(where, str) else where,
        mixed_nodes=cast(MixedNodesRule, fallback_rule) if mixed_nodes is None else mixed_nodes,
    )
    if not is_named and key is not None:
        fallback.refuse_foreign_key("EXECBOX_API_KEY", is_given=given_key is not None)
    return config


def model_config_from_env(
    base_url: str | None = None,
    *,
    model: str | None = None,
    api_key: str | None = None,
    answer_timeout_s: float = 600.0,
    fallback: Fallback = NO_FALLBACK,
) -> ModelConfig:
    """``EXECBOX_MODEL_URL``, ``EXECBOX_MODEL`` and ``EXECBOX_MODEL_API_KEY`` where None is given,
    and ``fallback`` where these are not set.

    No other program's variables are read, so that no key is sent where it does not belong.
    Raises ``ConfigError`` where there is no URL or no model, or it may not have the key.
    """
    named = base_url or os.environ.get("EXECBOX_MODEL_URL", "").strip()
    url = named or fallback.url
    name = model or os.environ.get("EXECBOX_MODEL", "").strip() or fallback.model
    if not url or not name:
        missing = "URL: set EXECBOX_MODEL_URL" if not url else "model: set EXECBOX_MODEL"
        raise ConfigError(f"the model endpoint needs a {missing}, or give it as an option")
    env_key = os.environ.get("EXECBOX_MODEL_API_KEY", "").strip() or None
    given_key = env_key if api_key is None else api_key
    key = fallback.key() if given_key is None else given_key
    config = ModelConfig(base_url=url, model=name, api_key=key, answer_timeout_s=answer_timeout_s)
    if not named and key is not None:
        fallback.refuse_foreign_key("EXECBOX_MODEL_API_KEY", is_given=given_key is not None)
    return config


def network_environment() -> dict[str, str]:
    """The variables that say which proxies and certificates to use, in either case.

    Of a CGI program ``HTTP_PROXY`` is left out: there it is a header that the caller sent.
    """
    names = [f"{scheme}_proxy" for scheme in ("http", "https", "all", "no")]
    names += [name.upper() for name in names] + ["SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"]
    if "REQUEST_METHOD" in os.environ:
        names.remove("HTTP_PROXY")
    return {name: os.environ[name] for name in names if name in os.environ}


def terminal_wants_no_color() -> bool:
    """True if ``NO_COLOR`` is set to anything but nothing (no-color.org), or TERM is dumb."""
    return bool(os.environ.get("NO_COLOR")) or terminal_is_dumb()


def terminal_is_dumb() -> bool:
    """True if ``TERM`` says that lines cannot be rewritten."""
    return os.environ.get("TERM") in ("dumb", "unknown")
