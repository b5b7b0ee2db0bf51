"""Running the service as a process: its sockets, signals, limits and exit codes.

Everything about HTTP is in ``api``, everything about running code in ``runtime.py`` and below it;
configuration is read in ``settings.py``.
"""

from __future__ import annotations

import contextlib
import logging
import math
import resource
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from typing import Final

import uvicorn
from fastapi import FastAPI

from execbox.strict_json import DIGITS_MAX
from execbox_service.api.app import create_app
from execbox_service.api.connection import protocol_class
from execbox_service.api.logs import configure_logging
from execbox_service.api.runtime_protocol import ExecutionRuntime
from execbox_service.scheduling.offload import leave_collecting_to_us
from execbox_service.settings import (
    ConfigurationError,
    Settings,
    load_settings,
    unknown_variables,
)

__all__ = ["EXIT_CONFIGURATION", "EXIT_FAILURE", "serve", "serve_runtime", "uvicorn_config"]

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
    from execbox_service.runtime import Runtime

    return serve_runtime(settings, Runtime(settings))


def serve_runtime(settings: Settings, runtime: ExecutionRuntime) -> int:
    """``serve`` with a runtime and settings that exist already."""
    configure_logging(settings)
    for sentence in unknown_variables():
        logger.warning(sentence)
    sys.set_int_max_str_digits(DIGITS_MAX)
    _raise_descriptor_limit(settings)
    try:
        listener = _bound_socket(settings)
    except OSError as error:
        sys.stderr.write(
            f"execbox: cannot listen on {settings.host} port {settings.port}: {error.strerror}; "
            f"choose a different address with EXECBOX_HOST and EXECBOX_PORT\n"
        )
        return EXIT_FAILURE
    app = create_app(settings, runtime)
    server = _Server(uvicorn_config(app, settings), settings=settings, runtime=runtime)
    # uvicorn raises SystemExit if the lifespan did not start; it has been logged there.
    quietly = contextlib.suppress(SystemExit)
    with listener, _ends_on_signals(server), _quiet_startup_failure(app), quietly:
        server.run(sockets=[listener])
    return 0 if server.started else _report_startup_failure(app)


class _Server(uvicorn.Server):
    """Says once, when requests are answered, where and with what."""

    def __init__(
        self, config: uvicorn.Config, *, settings: Settings, runtime: ExecutionRuntime
    ) -> None:
        super().__init__(config)
        self._settings = settings
        self._runtime = runtime

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        leave_collecting_to_us()
        port = sockets[0].getsockname()[1] if sockets else self._settings.port
        host = self._settings.host
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        able = self._runtime.capabilities()
        fields = {
            "url": url,
            "engine": able.engine,
            "image": able.image,
            "keys": "yes" if self._settings.api_key_hashes else "no",
            "slots": self._settings.slot_count,
        }
        logger.info("execbox is serving", extra={"fields": fields})


def uvicorn_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """Without sockets: those are passed to the server."""
    return uvicorn.Config(
        app,
        http=protocol_class(settings),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=math.ceil(settings.keep_alive_s),
        timeout_graceful_shutdown=math.ceil(settings.shutdown_grace_s),
    )


def _bound_socket(settings: Settings) -> socket.socket:
    """Bound before containers are made, so that a port in use is told at once; not listening
    yet, so that no caller waits for an answer meanwhile."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        settings.host.strip("[]"),
        settings.port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE,
    )[0]
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


@contextlib.contextmanager
def _ends_on_signals(server: uvicorn.Server) -> Iterator[None]:
    """uvicorn raises a signal again once it has ended because of it, which would kill the process
    instead of letting it return 0; and one that comes before uvicorn listens must count too."""

    def end(_number: int, _frame: object) -> None:
        server.should_exit = True

    previous = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _quiet_startup_failure(app: FastAPI) -> Iterator[None]:
    """An expected failure to start is told in one line; uvicorn would print its traceback."""

    def wanted(_record: logging.LogRecord) -> bool:
        return app.state.startup_failure is None

    uvicorn_logger = logging.getLogger("uvicorn.error")
    uvicorn_logger.addFilter(wanted)
    try:
        yield
    finally:
        uvicorn_logger.removeFilter(wanted)


def _report_startup_failure(app: FastAPI) -> int:
    failure = app.state.startup_failure
    if failure is not None:
        sys.stderr.write(f"execbox: cannot start: {failure.message}\n")
    return EXIT_FAILURE
