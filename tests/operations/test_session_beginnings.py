"""Sessions as they begin: named ones and their places, a container that is lost at the start."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from harness.bench import Bench, started_bench

from execbox.wire import CellRequest, SessionRequest
from execbox_service.engines.base import SandboxLost
from execbox_service.failures import CallerMistake, Overloaded, ServiceFailure
from execbox_service.operations.session_table import Session
from execbox_service.sandboxes.session_sandbox import SessionSandbox
from execbox_service.scheduling.caller import Caller

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

OWN = Caller("test")


async def test_named_session_that_was_used_longest_ago_makes_room_for_the_next() -> None:
    """Its caller is told that it is new when it is used again; one that has no name is never ended
    for another, nor is one in which a cell runs."""
    async with started_bench(key_session_count_max="2") as bench:
        sessions = bench.runtime.sessions

        async def named(name: str) -> tuple[str, bool]:
            return await sessions.named(name, SessionRequest(), caller=OWN)

        first, _new = await named("first")
        second, _new = await named("second")
        assert await named("first") == (first, False)
        third, new = await named("third")
        assert new
        assert await named("first") == (first, False)
        with pytest.raises(CallerMistake, match="a named session of its key took its place"):
            await sessions.info(second, caller=OWN)
        with pytest.raises(Overloaded):
            await sessions.open(SessionRequest(), caller=OWN)
        slow = CellRequest(code="import time\ntime.sleep(1.5)")
        running = [asyncio.create_task(sessions.run(first, slow, caller=OWN))]
        running.append(asyncio.create_task(sessions.run(third, slow, caller=OWN)))
        await asyncio.sleep(0.3)
        with pytest.raises(Overloaded, match="this key has 2 sessions"):
            await named("second")
        assert [cell.status for cell in await asyncio.gather(*running)] == ["ok", "ok"]


async def test_named_sessions_are_begun_side_by_side_and_each_name_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that waits for its slot and container holds up no other name."""
    sessions = bench.runtime.sessions
    starting, let_go = asyncio.Event(), asyncio.Event()
    start = sessions._start_sandbox

    async def slow_once(request: SessionRequest, *, principal: str) -> Any:
        if not starting.is_set():
            starting.set()
            await let_go.wait()
        return await start(request, principal=principal)

    monkeypatch.setattr(sessions, "_start_sandbox", slow_once)

    async def named(name: str) -> tuple[str, bool]:
        return await sessions.named(name, SessionRequest(), caller=OWN)

    first = asyncio.create_task(named("slow"))
    await starting.wait()
    again = asyncio.create_task(named("slow"))
    _id, new = await asyncio.wait_for(named("quick"), 60)
    assert new
    let_go.set()
    (first_id, first_new), (again_id, again_new) = await first, await again
    assert (first_id, first_new, again_new) == (again_id, True, False)
    for name in ("slow", "quick"):
        assert await sessions.close_named(name, caller=OWN)


async def test_container_lost_while_files_are_written_is_our_failure_and_leaves_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where it is lost before: to be sent again, and no bug."""

    async def lost(*_: object) -> bool:
        raise SandboxLost("its stream ended")

    monkeypatch.setattr(SessionSandbox, "put", lost)
    before = bench.runtime.sessions.count
    with pytest.raises(ServiceFailure, match="lost at its start") as caught:
        await bench.runtime.sessions.open(SessionRequest(files={"a": "1"}), caller=OWN)
    assert caught.value.code == "sandbox_lost"
    assert bench.runtime.sessions.count == before


async def test_session_whose_cell_waits_for_its_slot_is_not_idle() -> None:
    """How long that takes is the service's doing; its lifetime goes on."""
    session = Session(
        id="a",
        principal="test",
        request=SessionRequest(idle_time_s=30),
        sandbox=cast("SessionSandbox", None),
        ends_s=1000.0,
        idle_since_s=100.0,
    )
    assert session.ends_at_s() == 130.0
    async with session.lock:
        assert session.ends_at_s() == 1000.0
