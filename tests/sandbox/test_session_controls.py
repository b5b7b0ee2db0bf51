"""Sessions without one of their protections: what then happens is what the protection is for."""

from __future__ import annotations

import asyncio

import pytest

from execbox.wire import CellRequest, SessionLimits, SessionRequest
from execbox_service.failures import CallerMistake
from execbox_service.operations.session_room import OwnSessionRoom
from execbox_service.operations.sessions import Sessions
from execbox_service.scheduling.caller import Caller
from tests.weakened import Edits, Weakened, weakened

pytestmark = pytest.mark.docker

OWN = Caller("test")
JOB, WATCH = "job.py", "session_watch.py"
COUNT = (
    "import threading\nn = 0\ndef count():\n    global n\n    while True: n += 1\n"
    "threading.Thread(target=count, daemon=True).start()\n"
)


async def shown(sessions: Sessions, session_id: str, code: str) -> str | None:
    """What the last expression of a cell shows."""
    ended = await sessions.run(session_id, CellRequest(code=code), caller=OWN)
    return ended.value.repr if ended.value is not None else None


async def counted_between_cells(sandboxes: Weakened) -> int:
    """How far a thread of a session counts while no cell runs."""
    sessions = Sessions(sandboxes.backend, OwnSessionRoom(count_max=1, key_count_max=1))
    session_id = (await sessions.open(SessionRequest(), caller=OWN)).id
    try:
        await shown(sessions, session_id, f"{COUNT}before = None")
        await shown(sessions, session_id, "before = n")
        await asyncio.sleep(0.5)
        return int(await shown(sessions, session_id, "n - before") or 0)
    finally:
        await sessions.close(session_id, caller=OWN)


async def test_threads_of_a_session_count_on_where_nothing_stops_it() -> None:
    """With the signal that stops a session between cells they do not; without it they do."""
    async with weakened() as whole:
        stopped = await counted_between_cells(whole)
    edits: Edits = {WATCH: (("            self._signal(signal.SIGSTOP)", "            pass"),)}
    async with weakened(edits=edits) as sandboxes:
        running = await counted_between_cells(sandboxes)
    assert running > 10 * max(stopped, 1)


async def test_session_that_cannot_be_confined_is_our_failure() -> None:
    """Nothing is run in it, and no cell is told that it ended its session."""
    confined = "    confinement.enter(terms, fds, surroundings=surroundings)\n    if"
    not_confined = "    if function_bytes.startswith(_SESSION_BEGINS): os.chdir('/nowhere')\n"
    edits: Edits = {JOB: ((confined, not_confined + confined),)}
    async with weakened(edits=edits) as sandboxes:
        sessions = Sessions(sandboxes.backend, OwnSessionRoom(count_max=1, key_count_max=1))
        info = await sessions.open(SessionRequest(), caller=OWN)
        with pytest.raises(CallerMistake, match="a failure of the service"):
            await sessions.run(info.id, CellRequest(code="1"), caller=OWN)


async def test_cell_that_waits_for_the_machine_is_no_timeout() -> None:
    """Time in which other work keeps a cell from running counts for no limit, however long it is:
    here all the time that passes is taken for such."""
    delay = "meters.run_queue_delay_ns(self.pid) - self._delay_before_ns,"
    edits: Edits = {WATCH: ((delay, "elapsed_ns,"),)}
    async with weakened(edits=edits) as sandboxes:
        sessions = Sessions(sandboxes.backend, OwnSessionRoom(count_max=1, key_count_max=1))
        limits = SessionLimits(wall_time_s=0.2)
        info = await sessions.open(SessionRequest(limits=limits), caller=OWN)
        sleeps = CellRequest(code="import time\ntime.sleep(1.2)")
        ended = await sessions.run(info.id, sleeps, caller=OWN)
        await sessions.close(info.id, caller=OWN)
    assert (ended.status, ended.session_lost) == ("ok", False)
