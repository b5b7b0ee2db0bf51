"""Every setting: its range, its default, and whether it goes together with the others.

What a setting does is decided where it is used.
"""

from __future__ import annotations

import ipaddress
import math
import os
import socket
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from execbox.wire import BODY_BYTES_MAX, CALLS_MAX, Isolation, Profile, ProgramLimits

from .values import (
    COMPAT_CONTRACTS,
    ENV_PREFIX,
    ApiKeyHash,
    CommaSeparated,
    Contract,
    Contracts,
    HostNames,
    KeyHashes,
    OptionalText,
    shown,
)

_ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - looked for, not listened on
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_CONTAINERS_PER_SLOT: Final = 10
"""Four idle ones, two in use by a job whose runs are compared, and as many of each of two jobs that
let others pass and keep theirs."""
_CONTAINERS_BESIDE: Final = 64
"""Being made or removed, and those whose network is shared."""
_GATE_CONTAINERS_MIN: Final = 256
_SLOTS_PER_WORKER: Final = 4
"""What one process can keep busy with executions of a few milliseconds."""
_WORKERS_MAX_UNSET: Final = 16


def _usable_cores() -> int:
    # Only Linux says which ones this process may use.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Settings(BaseSettings):
    """One frozen object, made once at start and passed to what needs it."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, frozen=True, extra="forbid", env_ignore_empty=True
    )

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address to listen on; of a name, its first of version 4 if it has one.",
    )
    port: int = Field(default=8080, ge=0, le=65535, description="Port; 0 takes a free one.")
    allowed_hosts: Annotated[tuple[str, ...], *HostNames] = Field(
        default=(),
        description="Host header values answered, without port; * for any. By default loopback "
        "names when bound to loopback (a web page cannot then reach the service through a "
        "name of its own), else any. /healthz and /readyz are answered whatever it is.",
    )
    api_key_hashes: Annotated[tuple[ApiKeyHash, ...], *KeyHashes] = Field(
        default=(),
        description="name:sha256hex of each API key, separated by commas. Required unless "
        "bound to loopback; once set, every caller needs a key.",
    )
    docs_enabled: bool = Field(default=True, description="Serve /docs and /openapi.json.")
    page_enabled: bool = Field(
        default=True, description="Serve the page at / to browsers (docs/page.md)."
    )
    live_keys: Annotated[tuple[str, ...], *CommaSeparated] = Field(
        default=(),
        description="Names of API keys that see the queue of every key on the page, separated by "
        "commas; * for all. Each sees its own.",
    )

    compat: Annotated[tuple[Contract, ...], *Contracts] = Field(
        default=COMPAT_CONTRACTS,
        description="Other projects' HTTP contracts that are answered, separated by commas; none "
        "for none of them (docs/integrations.md).",
    )

    engine: Literal["auto", "docker", "bubblewrap"] = Field(
        default="auto",
        description="What makes containers; auto takes Docker if its daemon answers and has the "
        "image, else bubblewrap.",
    )
    image: str = Field(default="execbox-sandbox:local", min_length=1, description="Sandbox image.")
    docker_host: OptionalText = Field(
        default=None,
        description="Address of the Docker daemon; unset means the docker command's own, which "
        "DOCKER_HOST or a Docker context names.",
    )
    instance: OptionalText = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:@/-]{0,127}$",
        description="Names this service among those that use one daemon: containers carry it as "
        "a label, and it removes those of its name that it does not use. Unset: address and "
        "port, with the machine's name for an address that means all. A gate needs the same.",
    )
    gate_socket: str = Field(
        default="/run/execbox/engine.sock",
        min_length=1,
        description="Where python -m execbox_service.gate listens.",
    )
    gate_container_count_max: int | None = Field(
        default=None,
        ge=1,
        le=65_536,
        description="Containers the gate lets be there at once. Unset: 256, or more where a "
        "service of so many slots, warm containers and sessions can have more.",
    )
    oci_runtime: OptionalText = Field(
        default=None, description="OCI runtime such as runsc; unset means the daemon's default."
    )

    shared_network: bool = Field(
        default=False,
        description="Docker only: containers join one empty network namespace, which makes more "
        "of them a second; no more than one API key. Sockets are denied all the same, but jobs "
        "can count each other's socket pairs.",
    )

    workers: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Processes that answer requests, on one address. Unset: one for each 4 slots, "
        "16 at most, so 1 on small machines.",
    )
    slot_count: int = Field(
        default_factory=_usable_cores,
        ge=1,
        le=1024,
        description="Executions that run at once. More than there are cores help functions of "
        "milliseconds only.",
    )
    pool_size: int = Field(default=4, ge=0, le=256, description="Warm containers kept ready.")
    pool_size_max: int = Field(
        default=12,
        ge=0,
        le=256,
        description="Warm containers kept ready after bursts in which some had to be waited for.",
    )
    container_cpu_count: float = Field(
        default=1.0, gt=0, le=64, allow_inf_nan=False, description="CPUs one container may use."
    )
    runner_allowance_mb: int = Field(
        default=128, ge=16, le=4096, description="Memory for the runner on top of memory_mb."
    )
    tmp_mb: int = Field(default=64, ge=1, le=4096, description="Size of a container's /tmp.")
    tmp_inode_count: int = Field(default=4096, ge=64, le=10**6, description="Files in it.")
    pid_count: int = Field(default=128, ge=16, le=4096, description="Processes and threads.")
    open_file_count: int = Field(default=256, ge=32, le=65536, description="Descriptors.")
    container_age_max_s: float = Field(
        default=600, ge=1, le=86400, description="A shared container is replaced after this."
    )
    sweep_interval_s: float = Field(
        default=30, ge=1, le=3600, description="Between searches for orphaned containers."
    )

    queue_size: int = Field(
        default=256,
        ge=0,
        le=100_000,
        description="Requests that may wait for a slot; then 429. Those of other projects' "
        "contracts wait as long as their clients do, however many.",
    )
    queue_wait_max_s: float = Field(
        default=30,
        ge=0.1,
        le=3600,
        description="Longest wait for a slot, but in other projects' contracts; then 429.",
    )
    key_concurrency_max: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="POST requests of one API key under way at once; then 429. Unset: three "
        "quarters of slots and queue together where there are several keys, so that none can "
        "fill the queue, else no limit.",
    )
    key_rate_per_s: float = Field(
        default=0,
        ge=0,
        le=1e6,
        allow_inf_nan=False,
        description="POST requests one API key may send a second on average; then 429. 0: any.",
    )
    key_burst_count: int | None = Field(
        default=None,
        ge=1,
        le=10**6,
        description="Requests a key may send at once after a pause, where there is a rate. "
        "Unset: those of one second.",
    )

    isolation_allowed: Annotated[tuple[Isolation, ...], *CommaSeparated] = Field(
        default=("container", "process"),
        min_length=1,
        description="Isolation levels a request may ask for; the first is used if it asks none.",
    )
    profiles_allowed: Annotated[tuple[Profile, ...], *CommaSeparated] = Field(
        default=("default",),
        min_length=1,
        description="Profiles a request may ask for; the first is used if it asks none.",
    )
    cpu_time_s_max: float = Field(default=60, ge=0.01, le=60, description="Highest cpu_time_s.")
    wall_time_s_max: float = Field(default=120, ge=0.05, le=120, description="Highest wall_time_s.")
    memory_mb_max: int = Field(default=4096, ge=16, le=4096, description="Highest memory_mb.")
    output_bytes_max: int = Field(
        default=16 * 1024 * 1024, ge=1, le=16 * 1024 * 1024, description="Highest output_bytes."
    )
    stdout_bytes_max: int = Field(
        default=1024 * 1024, ge=0, le=1024 * 1024, description="Highest stdout_bytes."
    )
    session_count_max: int = Field(
        default=32,
        ge=0,
        le=10_000,
        description="Sessions at once, each a container that holds memory; 0 permits none.",
    )
    key_session_count_max: int = Field(
        default=16, ge=0, le=10_000, description="Sessions of one API key at once."
    )
    files_bytes_max: int = Field(
        default=16 * 1024 * 1024, ge=0, le=16 * 1024 * 1024, description="Highest files_bytes."
    )
    compile_time_s_max: float = Field(
        default=60, ge=0.1, le=60, description="Highest compile_time_s."
    )
    job_time_s_max: float = Field(default=3600, ge=1, le=3600, description="Highest job_time_s.")
    calls_max: int = Field(default=CALLS_MAX, ge=1, le=CALLS_MAX, description="Calls in one job.")

    body_bytes_max: int = Field(
        default=BODY_BYTES_MAX, ge=1024, le=BODY_BYTES_MAX, description="Largest request body."
    )
    bodies_bytes_max: int = Field(
        default=384 * 1024 * 1024,
        ge=1024,
        le=2**40,
        description="Memory for what requests to one process hold: bodies, the values read from "
        "them, results and answers; then 429, or 413 for what never fits. Several keys share it: "
        "none holds more than it leaves for the others.",
    )
    answer_bytes_max: int = Field(
        default=64 * 1024 * 1024,
        ge=16 * 1024 * 1024,
        le=2**30,
        description="Largest answer to one request or line; then 413, or in a verify answer the "
        "error of the items that are too many.",
    )
    header_bytes_max: int = Field(
        default=32768, ge=1024, le=1024 * 1024, description="Request line and headers together."
    )
    header_timeout_s: float = Field(
        default=10, ge=0.1, le=3600, description="To receive a request's headers, from connecting."
    )
    receive_timeout_s: float = Field(
        default=30, ge=0.1, le=3600, description="To receive headers and body, from the first byte."
    )
    send_timeout_s: float = Field(
        default=60, ge=0.1, le=3600, description="For a client to take the answer it asked for."
    )
    keep_alive_s: float = Field(
        default=20, ge=0.1, le=3600, description="An idle connection is kept for this."
    )
    connection_count_max: int = Field(
        default=4096,
        ge=8,
        le=100_000,
        description="Connections open at once; then the oldest that shows no valid key gives way.",
    )
    shutdown_grace_s: float = Field(
        default=5, ge=0, le=600, description="For running requests after SIGTERM; then 503."
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe record to write."
    )
    log_format: Literal["json", "text"] = Field(default="text", description="Form of log lines.")

    @model_validator(mode="after")
    def _names_unique(self) -> Self:
        names = [name for name, _ in self.api_key_hashes]
        if len(names) != len(set(names)):
            raise ValueError("two API keys have the same name; give each a name of its own")
        return self

    @model_validator(mode="after")
    def _live_keys_known(self) -> Self:
        names = {name for name, _ in self.api_key_hashes} | {"*"}
        for name in self.live_keys:
            if name not in names:
                raise ValueError(
                    f"{ENV_PREFIX}LIVE_KEYS names the key {shown(name)}, which "
                    f"{ENV_PREFIX}API_KEY_HASHES does not have; add it there, or leave it out"
                )
        return self

    @model_validator(mode="after")
    def _keys_unless_loopback(self) -> Self:
        if not self.bound_to_loopback and not self.api_key_hashes:
            raise ValueError(
                f"{ENV_PREFIX}HOST={shown(self.host)} is not a loopback address and there are no "
                f"API keys, so anyone who reaches it could run code; set "
                f"{ENV_PREFIX}API_KEY_HASHES=name:sha256hex, or listen on 127.0.0.1"
            )
        return self

    @model_validator(mode="after")
    def _network_shared_by_one_key(self) -> Self:
        if self.shared_network and len(self.api_key_hashes) > 1:
            raise ValueError(
                f"{ENV_PREFIX}SHARED_NETWORK lets the containers of all API keys share a network "
                f"namespace, and there are {len(self.api_key_hashes)} keys; unset it, or run a "
                f"service for each key"
            )
        return self

    @property
    def bound_to_loopback(self) -> bool:
        """Whether only this machine can connect; a name other than localhost counts as no."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def worker_count(self) -> int:
        """``workers``, or the default that goes with the slots."""
        if self.workers is not None:
            return self.workers
        if not hasattr(os, "memfd_create"):
            # What they share is a file that only Linux has.
            return 1
        return min(max(1, self.slot_count // _SLOTS_PER_WORKER), _WORKERS_MAX_UNSET)

    @property
    def instance_name(self) -> str:
        """``instance``, or the default. Differs between any two services of one machine, and
        between containers, all of which may listen on the same port of their own."""
        if self.instance is not None:
            return self.instance
        host = socket.gethostname() if self.host.strip("[]") in _ANY_ADDRESS else self.host
        return f"{host}:{self.port}" if self.port else f"{host}:0:{os.getpid()}"

    @cached_property
    def hosts_answered(self) -> tuple[str, ...]:
        """``allowed_hosts``, or the default that goes with the address it listens on."""
        if self.allowed_hosts:
            return tuple(host.lower() for host in self.allowed_hosts)
        return (*_LOOPBACK_NAMES, self.host.lower()) if self.bound_to_loopback else ("*",)

    @cached_property
    def limits_max(self) -> Mapping[str, float]:
        """The highest value of each limit that a request may ask for."""
        return {name: getattr(self, f"{name}_max") for name in ProgramLimits.model_fields}

    @property
    def key_concurrency_limit(self) -> int | None:
        """``key_concurrency_max``, or the default that goes with the keys; None for no limit."""
        if self.key_concurrency_max is not None or len(self.api_key_hashes) < 2:
            return self.key_concurrency_max
        return max(1, (self.slot_count + self.queue_size) * 3 // 4)

    @property
    def gate_container_limit_count(self) -> int:
        """``gate_container_count_max``, or the default that goes with slots and warm containers."""
        if self.gate_container_count_max is not None:
            return self.gate_container_count_max
        warm_count = max(self.pool_size, self.pool_size_max)
        needed_count = _CONTAINERS_PER_SLOT * self.slot_count + warm_count + _CONTAINERS_BESIDE
        needed_count += self.session_count_max
        return max(_GATE_CONTAINERS_MIN, needed_count)

    @property
    def key_burst_limit_count(self) -> int:
        """``key_burst_count``, or the default that goes with the rate."""
        return self.key_burst_count or max(1, math.ceil(self.key_rate_per_s))
