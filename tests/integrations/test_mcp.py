"""``execbox mcp`` under the MCP SDK's own client, over both transports; and its unknown."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from harness.local_service import free_port

from execbox import AsyncClient, ClientConfig, RetryPolicy
from tests.api.harness import wait_until
from tests.live_service import LiveService

mcp = pytest.importorskip("mcp", reason="mcp is not installed")

from mcp.client.stdio import StdioServerParameters  # noqa: E402

from execbox.integrations.mcp import execbox_server  # noqa: E402

pytestmark = pytest.mark.docker

PLOT = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nx * 2"


@pytest.fixture(params=["stdio", "http"])
def server(request: pytest.FixtureRequest, service: LiveService) -> Iterator[Any]:
    """What the SDK's client connects to: a process that it starts, or an address."""
    words = ["-m", "execbox", "mcp", "--url", service.url]
    if request.param == "stdio":
        yield StdioServerParameters(command=sys.executable, args=words)
        return
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, *words, "--http", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: _listens(port))
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


async def call(client: Any, tool: str, **arguments: Any) -> Any:
    return await client.call_tool(tool, arguments)


async def test_tools_run_code_over_each_transport(server: Any) -> None:
    """A program, a function, and a session with a figure."""
    async with mcp.Client(server) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        assert tools == {
            *("run_python", "call_function", "begin_session", "run_cell", "end_session"),
        }
        ran = await call(client, "run_python", code="print(int(input()) * 2)", stdin="21")
        assert (ran.structured_content["stdout"], ran.is_error) == ("42\n", False)
        failed = await call(client, "run_python", code="1 / 0")
        assert (failed.structured_content["status"], failed.is_error) == ("exit_nonzero", False)
        called = await call(
            client,
            "call_function",
            code="def f(a, b=1):\n    return [a + b]",
            entry_point="f",
            arguments={"a": 2},
        )
        assert called.structured_content["output"] == [3]
        session_id = (await call(client, "begin_session")).content[0].text
        await call(client, "run_cell", session_id=session_id, code="x = 21")
        cell = await call(client, "run_cell", session_id=session_id, code=PLOT)
        assert json.loads(cell.content[0].text)["value"] == "42"
        assert (cell.content[1].type, cell.content[1].mime_type) == ("image", "image/png")
        assert (await call(client, "end_session", session_id=session_id)).is_error is False
        gone = await call(client, "run_cell", session_id=session_id, code="x")
        assert (gone.is_error, "begin one" in gone.content[0].text) == (True, True)


@pytest.mark.parametrize("text", ["NaN", "[Infinity, -Infinity, 1]"])
async def test_value_that_is_not_finite_is_shown_as_text_and_not_as_null(text: str) -> None:
    """A function that returns None is a different function."""
    execution: dict[str, Any] = {
        "status": "ok",
        "output_text": text,
        "output_flags": ["non_finite"],
    }
    execution |= {"usage": {"cpu_time_s": 0, "wall_time_s": 0, "peak_memory_bytes": 0}}
    answer: dict[str, Any] = {"executions": [execution], "queue_time_s": 0.0}
    answer |= {"isolation": "process", "engine": "fake", "image": "i"}
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, json=answer))
    async with (
        AsyncClient("http://service.invalid", transport=transport) as service,
        execbox_server(service) as server,
        mcp.Client(server) as client,
    ):
        arguments = {"code": "def f(): ...", "entry_point": "f", "arguments": []}
        called = await client.call_tool("call_function", arguments)
    assert called.structured_content["status"] == "ok"
    assert called.structured_content["output"] == text


async def test_failure_of_the_service_is_unknown_and_a_mistake_is_refused() -> None:
    """The one says nothing about the code; the other says what to change."""
    config = ClientConfig(base_url=f"http://127.0.0.1:{free_port()}", retry=RetryPolicy.never())
    async with (
        AsyncClient(config=config) as lost,
        execbox_server(lost) as server,
        mcp.Client(server) as client,
    ):
        for tool, arguments in {
            "run_python": {"code": "1/0"},
            "call_function": {"code": "def f(): pass", "entry_point": "f", "arguments": []},
            "begin_session": {},
        }.items():
            answer = await client.call_tool(tool, arguments)
            assert answer.is_error, tool
            assert "unknown: the service failed" in answer.content[0].text
        refused = await client.call_tool("run_python", {"code": "\x00"})
        assert (refused.is_error, "refused: " in refused.content[0].text) == (True, True)


async def test_session_that_is_gone_is_unknown(service: LiveService) -> None:
    """Whoever calls the tool made no mistake: its container was lost, or it was idle for long."""
    config = ClientConfig(base_url=service.url)
    async with (
        AsyncClient(config=config) as inner,
        execbox_server(inner) as server,
        mcp.Client(server) as client,
    ):
        begun = await client.call_tool("begin_session", {})
        session_id = begun.content[0].text
        async with httpx.AsyncClient(base_url=service.url) as other:
            assert (await other.delete(f"/v1/sessions/{session_id}")).status_code == 204
        answer = await client.call_tool("run_cell", {"session_id": session_id, "code": "1"})
        assert answer.is_error
        assert "unknown: the session is gone" in answer.content[0].text


async def test_sessions_that_are_left_end_with_the_server(service: LiveService) -> None:
    """An agent that goes away leaves no container behind, nor a session of its key's few."""
    config = ClientConfig(base_url=service.url, retry=RetryPolicy.never())
    async with AsyncClient(config=config) as inner:
        async with execbox_server(inner) as server, mcp.Client(server) as client:
            last = await client.call_tool("begin_session", {})
            arguments = {"session_id": last.content[0].text, "code": "import os\nos._exit(0)"}
            ended = await client.call_tool("run_cell", arguments)
            assert "session_lost" in json.loads(ended.content[0].text)
            while not last.is_error:
                last = await client.call_tool("begin_session", {})
            assert "unknown: the service failed" in last.content[0].text
        async with inner.session() as session:
            assert (await session.run("1")).status == "ok"
