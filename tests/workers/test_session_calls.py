"""What one worker asks of a different one's sessions, over a real socket: what is told where the
other cannot be reached, fails, or ends. The sessions are a script's."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import resource
import socket
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any, cast

import pytest

from execbox.wire import CellOutput, CellRequest, CellResponse, ErrorCode
from execbox_service.api.logs import request_id
from execbox_service.failures import CallerMistake, RequestFailed, ServiceFailure
from execbox_service.operations.sessions import Sessions
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.memory import Memory
from execbox_service.workers.session_calls import RemoteSessions, SessionServer

OWN = Caller("test")
CELL = CellRequest(code="secret_of_the_caller")
BURST_COUNT = 200
"""Twice as many as wait to be accepted where nobody says how many may."""


class ScriptedSessions:
    """Waits where it is told to, then raises or answers."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def close(self, session_id: str, *, caller: Caller) -> None:
        self.begun.set()
        await self.may_end.wait()
        if self.error is not None:
            raise self.error

    async def stream(
        self, session_id: str, request: CellRequest, *, caller: Caller
    ) -> AsyncGenerator[CellOutput | CellResponse, None]:
        yield CellOutput(stdout="begun")
        await self.close(session_id, caller=caller)


@pytest.fixture
def path() -> Iterator[str]:
    """Of a socket; short, as the kernel wants it."""
    with tempfile.TemporaryDirectory(prefix="execbox-") as folder:
        yield f"{folder}/1"


@contextlib.asynccontextmanager
async def serving(sessions: ScriptedSessions, path: str) -> AsyncIterator[SessionServer]:
    """Ended afterwards, without patience."""
    memory = Memory(bytes_max=2**20, several_keys=False)
    server = SessionServer(cast(Sessions, sessions), memory)
    await server.start(path)
    try:
        yield server
    finally:
        await server.stop(within_s=0)


async def failure_of(work: Any) -> RequestFailed:
    """What a call raises."""
    with pytest.raises(RequestFailed) as raised:
        await work
    return raised.value


# Not reached


async def test_session_of_a_worker_that_has_ended_is_gone(path: str) -> None:
    """Whether its socket is there no more, or nobody listens on it."""
    there = RemoteSessions(path)
    without_file = await failure_of(there.close("1-x", caller=OWN))
    with socket.socket(socket.AF_UNIX) as nobodys:
        nobodys.bind(path)
    without_listener = await failure_of(there.close("1-x", caller=OWN))
    for failure in (without_file, without_listener):
        assert isinstance(failure, CallerMistake)
        assert failure.code is ErrorCode.SESSION_GONE


async def test_session_of_a_worker_that_has_ended_with_the_service_is_told_as_its_end(
    path: str,
) -> None:
    """All workers end, and one is quicker: its sessions did not end by a failure."""
    there = RemoteSessions(path, is_ending=lambda: True)
    failure = await failure_of(there.named("x", cast(Any, CELL), caller=OWN))
    assert failure.code is ErrorCode.SHUTTING_DOWN


@contextlib.contextmanager
def no_file_can_be_opened() -> Iterator[None]:
    """Of this process, for as long as it lasts."""
    lowest_free = os.dup(0)
    os.close(lowest_free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_session_is_not_gone_where_the_asker_has_too_many_open_files(path: str) -> None:
    """It lives: the asker is told what happened, and may send it again."""
    async with serving(ScriptedSessions(), path):
        there = RemoteSessions(path)
        with no_file_can_be_opened():
            failure = await failure_of(there.close("1-x", caller=OWN))
        assert failure.code is ErrorCode.TOO_MANY_CONNECTIONS
        assert failure.retryable
        assert os.strerror(errno.EMFILE) in failure.message
        await there.close("1-x", caller=OWN)


async def test_session_is_not_gone_where_too_many_calls_wait_for_its_worker(path: str) -> None:
    """The kernel refuses one more; nothing of it was run."""
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as waiting:
        listener.bind(path)
        listener.listen(0)
        refused = 0
        while not refused:
            one = waiting.enter_context(socket.socket(socket.AF_UNIX))
            one.setblocking(False)
            refused = one.connect_ex(path)
        assert refused == errno.EAGAIN
        failure = await failure_of(RemoteSessions(path).close("1-x", caller=OWN))
    assert failure.code is ErrorCode.TOO_MANY_CONNECTIONS
    assert failure.retryable


async def test_burst_of_calls_to_one_worker_is_answered(path: str) -> None:
    """All come before it accepts the first."""
    async with serving(ScriptedSessions(), path):
        there = RemoteSessions(path)
        await asyncio.gather(*(there.close("1-x", caller=OWN) for _ in range(BURST_COUNT)))


# Bugs


async def test_bug_of_a_different_worker_is_told_and_logged_as_one(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A 503 with the request's id, under which the log has the stack, without what was sent."""
    token = request_id.set("of-the-request")
    async with serving(ScriptedSessions(ConnectionError("secret_of_the_caller")), path):
        failure = await failure_of(RemoteSessions(path).close("1-x", caller=OWN))
    request_id.reset(token)
    assert isinstance(failure, ServiceFailure)
    assert failure.code is ErrorCode.INTERNAL_ERROR
    assert failure.detail == {"request_id": "of-the-request"}
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.getMessage().startswith("unhandled ConnectionError\n")
    assert "raise self.error" in record.getMessage()
    assert "secret_of_the_caller" not in record.getMessage()


async def test_bug_in_the_middle_of_a_cells_stream_is_told_after_what_it_wrote(path: str) -> None:
    """Not as a session that is gone."""
    async with serving(ScriptedSessions(RuntimeError()), path):
        lines = RemoteSessions(path).stream("1-x", CELL, caller=OWN)
        assert await anext(lines) == CellOutput(stdout="begun")
        failure = await failure_of(anext(lines))
    assert failure.code is ErrorCode.INTERNAL_ERROR


async def test_asker_that_goes_away_is_no_bug(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """What was asked for is cancelled, and nothing is logged."""
    sessions = ScriptedSessions()
    sessions.may_end.clear()
    async with serving(sessions, path) as server:
        asked = asyncio.create_task(RemoteSessions(path).close("1-x", caller=OWN))
        await sessions.begun.wait()
        asked.cancel()
        await asyncio.wait((asked,))
        # Its own patience is longer than any test's.
        await server.stop(within_s=3600)
    assert caplog.records == []


# The end


async def test_call_under_way_is_answered_before_the_worker_ends(path: str) -> None:
    """While it is waited for, new ones are refused as the service's end."""
    sessions = ScriptedSessions()
    sessions.may_end.clear()
    async with serving(sessions, path) as server:
        there = RemoteSessions(path)
        under_way = asyncio.create_task(there.close("1-x", caller=OWN))
        await sessions.begun.wait()
        ending = asyncio.create_task(server.stop(within_s=3600))
        refused = await failure_of(there.close("1-x", caller=OWN))
        assert refused.code is ErrorCode.SHUTTING_DOWN
        assert not ending.done()
        sessions.may_end.set()
        await under_way
        await ending
        assert (await failure_of(there.close("1-x", caller=OWN))).code is ErrorCode.SESSION_GONE


async def test_call_that_is_not_done_within_the_grace_is_told_so(path: str) -> None:
    """Its caller is owed an answer."""
    sessions = ScriptedSessions()
    sessions.may_end.clear()
    async with serving(sessions, path) as server:
        under_way = asyncio.create_task(RemoteSessions(path).close("1-x", caller=OWN))
        await sessions.begun.wait()
        await server.stop(within_s=0)
        assert (await failure_of(under_way)).code is ErrorCode.SHUTTING_DOWN
