"""One cell's answer in lines, while the cell runs: what it writes, and at last what it did.

A failure before the first line is an ordinary error response; after it, it is the last line.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from typing import Final

from starlette.types import Send

from execbox.wire import CellOutput, CellResponse
from execbox_service.api.error_responses import error_bytes, internal_error
from execbox_service.api.request_guard import Record, stack_of
from execbox_service.api.routes import written
from execbox_service.api.streams import stream_headers
from execbox_service.failures import RequestFailed, ServiceFailure
from execbox_service.scheduling.memory import Hold
from execbox_service.settings import Settings

__all__ = ["NDJSON", "CellStream"]

NDJSON: Final = "application/x-ndjson"

logger = logging.getLogger(__name__)


class CellStream:
    """Writes the lines of one answer, each when the client has taken most of those before."""

    def __init__(self, send: Send, *, hold: Hold, record: Record, settings: Settings) -> None:
        self._send = send
        self._hold = hold
        self._record = record
        self._settings = settings
        self._begun = False

    async def write(self, lines: AsyncGenerator[CellOutput | CellResponse, None]) -> None:
        """Raises RequestFailed where nothing has been written; closes ``lines`` in any case."""
        try:
            async with aclosing(lines):
                async for line in lines:
                    await self._write_line(line)
        except RequestFailed as failure:
            if not self._begun:
                raise
            await self._fail(failure)
        except Exception as error:  # the outermost edge of an answer that has begun
            if not self._begun:
                raise
            logger.error(  # noqa: TRY400 - logging.exception repeats messages; see stack_of
                "unhandled %s\n%s", type(error).__name__, stack_of(error)
            )
            await self._fail(internal_error(self._record.request_id))
        await self._write(b"", more=False)

    async def _write_line(self, line: CellOutput | CellResponse) -> None:
        if isinstance(line, CellOutput):
            await self._write(line.model_dump_json(exclude_none=True).encode() + b"\n")
            return
        self._record.count([line])
        pieces = await written(line, hold=self._hold, settings=self._settings, repeatable=False)
        for piece in pieces:
            await self._write(piece)
        await self._write(b"\n")

    async def _fail(self, failure: RequestFailed) -> None:
        if isinstance(failure, ServiceFailure):
            logger.warning("%s: %s", failure.code, failure.message)
        await self._write(error_bytes(failure) + b"\n")

    async def _write(self, text: bytes, *, more: bool = True) -> None:
        if not self._begun:
            self._begun = True
            headers = stream_headers(NDJSON)
            start = {"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers}
            await self._send(start)
        await self._send({"type": "http.response.body", "body": text, "more_body": more})
