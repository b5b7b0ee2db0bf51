"""Log records: one line each, as JSON or text, with the id of the request they belong to.

What a record says is decided where it is made; nothing here knows about requests' contents.
"""

from __future__ import annotations

import functools
import json
import logging
import math
import re
import sys
import time
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Final

from execbox_service.settings import Settings

__all__ = ["ACCESS_LOGGER", "configure_logging", "log_serving", "request_id"]

ACCESS_LOGGER: Final = "execbox_service.access"
request_id: ContextVar[str | None] = ContextVar("execbox_request_id", default=None)
"""Set for the time of one request; None outside of any."""

_EXTRA: Final = "fields"
# With a default, json.dumps makes an encoder at each call.
_json = json.JSONEncoder(default=str).encode
# What needs no quotes: a word or a path.
_BARE: Final = re.compile(r"[/_]*[A-Za-z0-9][A-Za-z0-9/_]*")

logger = logging.getLogger(__name__)


def configure_logging(settings: Settings, *, worker: int | None = None) -> None:
    """Send all records to stderr, once for the process; replaces what was set up before.

    ``worker`` is its number where there are several, which every line then says.
    """
    handler = logging.StreamHandler(sys.stderr)
    if worker is not None:
        handler.addFilter(functools.partial(_say_worker, worker=worker))
    handler.setFormatter(_JSONFormatter() if settings.log_format == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    # What no line of ours has need not be found out for each.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # Strangers cause uvicorn's warnings (one for each malformed request) and could flood the log.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    for chatty in ("httpx", "urllib3", "docker", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def log_serving(settings: Settings, *, port: int, engine: str, image: str) -> None:
    """The one line that says where the service answers, and with what."""
    host = settings.host
    fields = {
        "url": f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}",
        "engine": engine,
        "image": image,
        "keys": "yes" if settings.api_key_hashes else "no",
        "slots": settings.slot_count,
    }
    if settings.worker_count > 1:
        fields["workers"] = settings.worker_count
    logger.info("execbox is serving", extra={_EXTRA: fields})


def _say_worker(record: logging.LogRecord, *, worker: int) -> bool:
    setattr(record, _EXTRA, {**getattr(record, _EXTRA, {}), "worker": worker})
    return True


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = dict(getattr(record, _EXTRA, {}))
    if (current := request_id.get()) is not None:
        fields.setdefault("request_id", current)
    return fields


class _JSONFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _json(line)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        # JSON-quoted where a stranger had a say, so that no caller can forge a line.
        fields = " ".join([f"{name}={_plain(value)}" for name, value in _fields(record).items()])
        message = record.getMessage().replace("\n", "\\n").replace("\r", "\\r")
        line = f"{_timestamp(record)} {record.levelname:7} {message}"
        line = f"{line} {fields}" if fields else line
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return line


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value if _BARE.fullmatch(value) else _json(value)
    if value is None:
        return "null"
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return repr(value)
    return _json(value)


def _timestamp(record: logging.LogRecord) -> str:
    return f"{_second(int(record.created))}.{int(record.msecs):03d}Z"


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
