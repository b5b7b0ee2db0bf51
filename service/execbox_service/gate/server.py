"""The gate's socket: accepting, deadlines, number of connections; answers come from ``verbs``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from http import HTTPStatus
from pathlib import Path
from typing import Final

from execbox_service.gate import http1
from execbox_service.gate.daemon import STREAM_BYTES, DaemonSaidNo, DaemonTrouble, Stream
from execbox_service.gate.http1 import Refused
from execbox_service.gate.relay import relay
from execbox_service.gate.verbs import Verbs

logger = logging.getLogger(__name__)

_RECEIVE_S: Final = 10.0
_SEND_S: Final = 30.0
_SOCKET_MODE: Final = 0o660


class GateServer:
    """Serves ``verbs`` at a unix socket between ``start`` and ``stop``."""

    def __init__(self, verbs: Verbs, *, socket_path: Path, connection_count_max: int) -> None:
        self._verbs = verbs
        self._socket_path = socket_path
        self._connection_count_max = connection_count_max
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen, in the place of a socket that an earlier gate left. Raises OSError."""
        self._server = await asyncio.start_unix_server(
            self._accept, self._socket_path, limit=STREAM_BYTES
        )
        self._socket_path.chmod(_SOCKET_MODE)

    async def stop(self) -> None:
        """Break every connection; containers end by themselves when their stream does."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._socket_path.unlink(missing_ok=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= self._connection_count_max:
            logger.warning("refused: more than %d connections", self._connection_count_max)
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(Stream(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: Stream) -> None:
        try:
            await self._one_request(client)
        except OSError:
            logger.debug("a connection broke")
        except Exception:
            logger.exception("a request failed")
        finally:
            client.writer.transport.abort()

    async def _one_request(self, client: Stream) -> None:
        try:
            async with asyncio.timeout(_RECEIVE_S):
                request = await http1.read_request(client.reader)
            if request is None:
                return
            found = await self._verbs.answer(request)
        except TimeoutError:
            found = http1.error_answer(
                HTTPStatus.REQUEST_TIMEOUT, f"the request was not complete after {_RECEIVE_S:g} s"
            )
        except Refused as refused:
            logger.warning("refused (%d): %a", refused.status, str(refused))
            found = http1.error_answer(refused.status, f"execbox gate: {refused}")
        except DaemonSaidNo as no:
            found = http1.error_answer(no.status, str(no))
        except DaemonTrouble as trouble:
            logger.warning("%s", trouble)
            found = http1.error_answer(HTTPStatus.BAD_GATEWAY, f"execbox gate: {trouble}")
        if isinstance(found, Stream):
            await self._relay(client, found)
        else:
            await _send(client, found)

    async def _relay(self, client: Stream, container: Stream) -> None:
        try:
            client.writer.write(http1.UPGRADED)
            await relay(client, container)
        finally:
            container.writer.transport.abort()


async def _send(client: Stream, answer: bytes) -> None:
    """Send all of it, to a client that takes it within some time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_SEND_S):
            client.writer.write(answer)
            client.writer.close()
            await client.writer.wait_closed()
