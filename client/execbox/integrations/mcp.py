"""MCP: a server whose tools run Python in the service, on the official SDK. ``execbox mcp`` is it.

Which transport it is served over is the caller's; here are the tools and their sessions.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Image
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel

from execbox import wire
from execbox._version import client_version
from execbox.client import AsyncClient
from execbox.errors import ExecboxError, RequestError, SessionGone
from execbox.session import AsyncSession

__all__ = ["FunctionResult", "ProgramResult", "execbox_server"]

_INSTRUCTIONS = (
    "Runs Python in throwaway containers without network, under CPU, memory and time limits. "
    "A result's status says what the code did. An error of a tool that begins with 'unknown:' is "
    "a failure of the service and says nothing about the code: the same call may succeed later."
)


class ProgramResult(BaseModel):
    """What a program did."""

    status: str
    stdout: str
    stderr: str
    exit_code: int | None
    truncated: bool


class FunctionResult(BaseModel):
    """What a call of a function returned, or how it ended."""

    status: str
    output: Any = None
    error: str | None = None
    stdout: str = ""


@asynccontextmanager
async def execbox_server(client: AsyncClient) -> AsyncIterator[MCPServer]:
    """A server with the tools ``run_python``, ``call_function``, ``begin_session``, ``run_cell``
    and ``end_session``; sessions that are left are ended with the block.

    >>> import asyncio
    >>> from execbox import AsyncClient
    >>> from execbox.integrations.mcp import execbox_server
    >>> from mcp import Client
    >>> async def main():
    ...     async with AsyncClient() as service, execbox_server(service) as server:
    ...         async with Client(server) as mcp:
    ...             ran = await mcp.call_tool("run_python", {"code": "print(6 * 7)"})
    ...             print(ran.structured_content["stdout"])
    >>> asyncio.run(main())
    42

    What the code did is a ``status`` in a result. Where it is unknown, because the service failed,
    the result has ``is_error`` and a text that begins with ``unknown:``.
    """
    server = MCPServer(
        "execbox", instructions=_INSTRUCTIONS, version=client_version(), log_level="WARNING"
    )
    async with _Sessions(client) as sessions:
        _add_runs(server, client)
        _add_sessions(server, sessions)
        yield server


def _add_runs(server: MCPServer, client: AsyncClient) -> None:
    @server.tool()
    async def run_python(code: str, stdin: str = "") -> ProgramResult:
        """Run a whole Python program and return what it printed and how it ended.

        Nothing is kept from one call to the next. print what you want to see.
        """
        try:
            (run,) = (await client.run(code, stdin=stdin)).runs
        except ExecboxError as error:
            raise _failure(error) from error
        return ProgramResult(
            status=run.status.value,
            stdout=run.stdout,
            stderr=run.stderr,
            exit_code=run.exit_code,
            truncated=run.truncated.stdout or run.truncated.stderr,
        )

    @server.tool()
    async def call_function(
        code: str, entry_point: str, arguments: dict[str, Any] | list[Any]
    ) -> FunctionResult:
        """Call one function of a Python source and return its value, which has to be JSON.

        A value with NaN or infinities in it comes as text, such as "[NaN, 1]".
        arguments is an object of keyword arguments or an array of positional ones; entry_point
        the function's name, or Class.method.
        """
        try:
            answer = await client.execute(code, [arguments], entry_point=entry_point)
        except ExecboxError as error:
            raise _failure(error) from error
        (execution,) = answer.executions
        if execution.status is wire.Status.NOT_RUN:
            raise ToolError("unknown: the call was not run; the same call may succeed later")
        return FunctionResult(
            status=execution.status.value,
            # JSON has no word for NaN and infinities: ``output`` is null where there is a text.
            output=execution.output if execution.output_text is None else execution.output_text,
            error=_described(execution.error),
            stdout=execution.stdout,
        )


def _add_sessions(server: MCPServer, sessions: _Sessions) -> None:
    @server.tool()
    async def begin_session() -> str:
        """Begin an interpreter that keeps its variables and files; returns its session_id.

        It ends after ten minutes without a cell, or with end_session.
        """
        try:
            return await sessions.begin()
        except ExecboxError as error:
            raise _failure(error) from error

    @server.tool(structured_output=False)
    async def run_cell(session_id: str, code: str) -> list[Any]:
        """Run code in a session and return, as JSON, what it printed, the value of its last
        expression and how it ended; and its matplotlib figures as images."""
        try:
            cell = await sessions.get(session_id).run(code)
        except ExecboxError as error:
            raise _failure(error) from error
        value = cell.value or wire.CellValue()
        shown = {
            "status": cell.status.value,
            "stdout": cell.stdout,
            "stderr": cell.stderr,
            "value": value.repr,
            "error": _described(cell.error),
        }
        if cell.session_lost:
            shown["session_lost"] = cell.lost_reason or "the session ended with this cell"
            sessions.forget(session_id)
        images = [Image(data=b64decode(each.base64), format="png") for each in value.media]
        return [json.dumps(shown, ensure_ascii=False), *images]

    @server.tool()
    async def end_session(session_id: str) -> str:
        """End a session; its variables and files are lost."""
        try:
            await sessions.end(session_id)
        except ExecboxError as error:
            raise _failure(error) from error
        return "ended"


class _Sessions:
    """Those begun through the server, by the service's ids, which a stranger cannot guess."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._by_id: dict[str, AsyncSession] = {}

    async def __aenter__(self) -> _Sessions:
        return self

    async def __aexit__(self, *_failure: object) -> None:
        left, self._by_id = list(self._by_id.values()), {}
        # The service ends by itself, later, what cannot be ended now.
        await asyncio.gather(*(session.aclose() for session in left), return_exceptions=True)

    async def begin(self) -> str:
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(self._client.session())
            self._by_id[session.id] = session
            stack.pop_all()
        return session.id

    def get(self, session_id: str) -> AsyncSession:
        try:
            return self._by_id[session_id]
        except KeyError:
            raise ToolError(
                f"there is no session {session_id[:100]!r}: begin one with begin_session"
            ) from None

    def forget(self, session_id: str) -> None:
        self._by_id.pop(session_id, None)

    async def end(self, session_id: str) -> None:
        session = self.get(session_id)
        self.forget(session_id)
        await session.aclose()


def _described(error: wire.ExecutionError | None) -> str | None:
    if error is None:
        return None
    return f"{error.traceback or ''}{error.type}: {error.message}"


def _failure(error: ExecboxError) -> ToolError:
    """The caller's mistake says what to change; everything else is no verdict about the code."""
    if isinstance(error, SessionGone):
        # It says itself what has become of the session, and that the service may be well.
        return ToolError(f"unknown: {error}")
    if isinstance(error, RequestError):
        return ToolError(f"refused: {error}")
    return ToolError(f"unknown: the service failed, which says nothing about the code: {error}")
