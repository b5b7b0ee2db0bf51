"""Running the service as a process: its sockets, signals, limits and exit codes.

Everything about HTTP is in ``api``, everything about running code in ``runtime.py`` and below it;
configuration is read in ``settings/``.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import resource
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import uvicorn
from fastapi import FastAPI

from execbox.strict_json import DIGITS_MAX
from execbox_service.api.app import create_app
from execbox_service.api.logs import configure_logging, log_serving
from execbox_service.api.runtime_protocol import ExecutionRuntime
from execbox_service.api.server import (
    address_taken,
    ends_on_signals,
    quiet_startup_failure,
    uvicorn_config,
)
from execbox_service.engines.bubblewrap.cgroup_roots import NoCgroups, find_roots
from execbox_service.scheduling.offload import leave_collecting_to_us
from execbox_service.settings import (
    ConfigurationError,
    Settings,
    load_settings,
    unknown_variables,
)
from execbox_service.workers.silence import LOOK_S

__all__ = [
    "EXIT_CONFIGURATION",
    "EXIT_FAILURE",
    "serve",
    "serve_runtime",
    "serve_workers",
    "uvicorn_config",
]

EXIT_FAILURE: Final = 1
EXIT_CONFIGURATION: Final = 2
_SPARE_DESCRIPTORS: Final = 1024

logger = logging.getLogger(__name__)


def serve(overrides: Mapping[str, str]) -> int:
    """Serve until SIGTERM or SIGINT; returns the process's exit code.

    0 after a clean end, 1 if it could not start, 2 if the configuration cannot be used.
    """
    try:
        settings = load_settings(overrides)
    except ConfigurationError as error:
        sys.stderr.write(f"execbox: {error}\n")
        return EXIT_CONFIGURATION
    # Imported here so that a wrong configuration is reported without loading an engine.
    if settings.worker_count > 1:
        return serve_workers(settings, [sys.executable, "-m", "execbox_service.workers"])
    from execbox_service.runtime import Runtime

    return serve_runtime(settings, Runtime(settings))


def serve_runtime(settings: Settings, runtime: ExecutionRuntime) -> int:
    """``serve`` with a runtime and settings that exist already."""
    listener = _prepared(settings)
    if listener is None:
        return EXIT_FAILURE
    app = create_app(settings, runtime)
    server = _Server(uvicorn_config(app, settings), settings=settings, runtime=runtime)
    # uvicorn raises SystemExit if the lifespan did not start; it has been logged there.
    quietly = contextlib.suppress(SystemExit)
    with listener, ends_on_signals(server), quiet_startup_failure(app), quietly:
        server.run(sockets=[listener])
    return 0 if server.started else _report_startup_failure(app)


def serve_workers(settings: Settings, command: Sequence[str], *, look_s: float = LOOK_S) -> int:
    """``serve`` with several processes, each of which ``command`` starts, and each of which is
    looked at every ``look_s`` seconds for whether it still says something."""
    from execbox_service.workers.front import Front, StartFailed

    listener = _prepared(settings)
    if listener is None:
        return EXIT_FAILURE
    if settings.engine != "docker":
        # While this process is alone in its group: workers can make groups beside the one it makes.
        with contextlib.suppress(NoCgroups):
            find_roots()
    try:
        asyncio.run(Front(settings, listener, command=command, look_s=look_s).run())
    except StartFailed as failure:
        sys.stderr.write(f"execbox: cannot start: {failure}\n")
        return EXIT_FAILURE
    return 0


def _prepared(settings: Settings) -> socket.socket | None:
    """Logging, limits, and the bound socket; None, and said why, where the address is taken."""
    configure_logging(settings)
    for sentence in unknown_variables():
        logger.warning(sentence)
    sys.set_int_max_str_digits(DIGITS_MAX)
    _raise_descriptor_limit(settings)
    try:
        return _bound_socket(settings)
    except (OSError, UnicodeError) as error:
        # UnicodeError: a name with an empty label, or a label of more than 63 characters.
        sys.stderr.write(f"execbox: {address_taken(settings, error)}\n")
        return None


class _Server(uvicorn.Server):
    """Says once, when requests are answered, where and with what."""

    def __init__(
        self, config: uvicorn.Config, *, settings: Settings, runtime: ExecutionRuntime
    ) -> None:
        super().__init__(config)
        self._settings = settings
        self._runtime = runtime

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        failure: OSError | None = None
        try:
            await super().startup(sockets)
        except OSError as error:
            failure = error
        if sockets and sockets[0].fileno() < 0:
            # uvloop closes a socket that it cannot listen on, and says nothing.
            failure = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        if failure is not None:
            # A service that was started at the same time was bound, too, and listened first.
            self.started = False
            await self.lifespan.shutdown()
            sys.stderr.write(f"execbox: {address_taken(self._settings, failure)}\n")
            raise SystemExit(EXIT_FAILURE) from failure
        if not self.started:
            return
        leave_collecting_to_us()
        port = sockets[0].getsockname()[1] if sockets else self._settings.port
        able = self._runtime.capabilities()
        log_serving(self._settings, port=port, engine=able.engine, image=able.image)


def _bound_socket(settings: Settings) -> socket.socket:
    """Bound before containers are made, so that a port in use is told at once; not listening
    yet, so that no caller waits for an answer meanwhile."""
    resolved = socket.getaddrinfo(
        settings.host.strip("[]"),
        settings.port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE,
    )
    # localhost is ::1 as well on many machines, and who asks 127.0.0.1 tries nothing else.
    of_version_4 = [each for each in resolved if each[0] == socket.AF_INET]
    family, kind, protocol, _, address = (of_version_4 or resolved)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def _raise_descriptor_limit(settings: Settings) -> None:
    """A connection is a descriptor, and the usual soft limit is below ``connection_count_max``."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.connection_count_max + _SPARE_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        ceiling = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling, hard))


def _report_startup_failure(app: FastAPI) -> int:
    failure = app.state.startup_failure
    if failure is not None:
        sys.stderr.write(f"execbox: cannot start: {failure.message}\n")
    return EXIT_FAILURE
