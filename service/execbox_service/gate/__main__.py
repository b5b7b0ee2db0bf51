"""``python -m execbox_service.gate``: the gate as a process, from settings to a clean end."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import sys
from pathlib import Path
from typing import Final

from execbox_service.engines.container_spec import EXTRA_MEMORY_MB, container_spec
from execbox_service.gate.daemon import Daemon
from execbox_service.gate.judgement import MemoryRange
from execbox_service.gate.server import GateServer
from execbox_service.gate.verbs import GateLimits, Verbs
from execbox_service.settings import ConfigurationError, Settings, load_settings

logger = logging.getLogger(__name__)

_EXIT_FAILURE: Final = 1
_EXIT_CONFIGURATION: Final = 2
_DAEMON_URL: Final = "unix:///var/run/docker.sock"
_SPARE_CONNECTIONS: Final = 64


def main() -> int:
    """Serve until SIGTERM or SIGINT: 0 then, 1 if it could not start, 2 for wrong settings."""
    try:
        settings = load_settings({})
        server = gate_server(settings)
    except ConfigurationError as error:
        sys.stderr.write(f"execbox gate: {error}\n")
        return _EXIT_CONFIGURATION
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)-7s %(message)s"
    )
    _raise_descriptor_limit(2 * (settings.gate_container_limit_count + _SPARE_CONNECTIONS))
    try:
        asyncio.run(_serve(server, settings))
    except OSError as error:
        sys.stderr.write(f"execbox gate: cannot listen at {settings.gate_socket}: {error}\n")
        return _EXIT_FAILURE
    return 0


def gate_server(settings: Settings) -> GateServer:
    """A gate for a service with these settings, not started. Raises ConfigurationError."""
    spec = container_spec(settings)
    scheme, _, daemon_path = (settings.docker_host or _DAEMON_URL).partition("://")
    if scheme != "unix":
        raise ConfigurationError(
            f"EXECBOX_DOCKER_HOST={settings.docker_host!r}: the gate speaks to a unix socket only, "
            f"such as {_DAEMON_URL}"
        )
    limits = GateLimits(
        container_count_max=settings.gate_container_limit_count,
        memory=MemoryRange(
            spec.memory_bytes(1), spec.memory_bytes(settings.memory_mb_max + EXTRA_MEMORY_MB)
        ),
    )
    return GateServer(
        Verbs(Daemon(daemon_path), spec, limits),
        socket_path=Path(settings.gate_socket),
        # One stream for each container, and the requests beside them.
        connection_count_max=limits.container_count_max + _SPARE_CONNECTIONS,
    )


def _raise_descriptor_limit(connection_count: int) -> None:
    """A container's stream is two connections, and the usual soft limit is 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connection_count + _SPARE_CONNECTIONS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        ceiling = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling, hard))


async def _serve(server: GateServer, settings: Settings) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await server.start()
    logger.info("the gate for %s answers at %s", settings.instance_name, settings.gate_socket)
    try:
        await ended.wait()
    finally:
        await server.stop()


if __name__ == "__main__":
    sys.exit(main())
