"""How uvicorn is set up and ended, wherever it runs. What is served is in ``app.py``; sockets and
processes are the caller's.
"""

from __future__ import annotations

import contextlib
import logging
import math
import signal
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from execbox_service.api.connection import protocol_class
from execbox_service.settings import Settings

__all__ = ["address_taken", "ends_on_signals", "quiet_startup_failure", "uvicorn_config"]


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


def address_taken(settings: Settings, error: OSError | UnicodeError) -> str:
    """What to say where the service cannot bind its address, or cannot listen there."""
    reason = error.strerror if isinstance(error, OSError) else "no host can have that name"
    return (
        f"cannot listen on {settings.host} port {settings.port}: {reason}; "
        "choose a different address with EXECBOX_HOST and EXECBOX_PORT"
    )


@contextlib.contextmanager
def ends_on_signals(server: uvicorn.Server) -> Iterator[None]:
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
def quiet_startup_failure(app: FastAPI) -> Iterator[None]:
    """An expected failure to start is told in one line; uvicorn would print its traceback."""

    def wanted(_record: logging.LogRecord) -> bool:
        return app.state.startup_failure is None

    uvicorn_logger = logging.getLogger("uvicorn.error")
    uvicorn_logger.addFilter(wanted)
    try:
        yield
    finally:
        uvicorn_logger.removeFilter(wanted)
