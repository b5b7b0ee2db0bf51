"""``WorkerProcess``: one worker, as the front has it: the process, and what goes between the two.

What becomes of the whole when a worker dies, or says something, is decided in ``front``.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from asyncio.subprocess import Process
from collections.abc import Sequence
from typing import Any, Protocol, Self

from execbox_service.failures import Overloaded
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.reservations import KeyQueue
from execbox_service.workers.ledger import Ask, Ledger
from execbox_service.workers.link import Link, Message, open_link
from execbox_service.workers.session_calls import failure_values
from execbox_service.workers.silence import Silence

__all__ = ["WorkerProcess"]


class _Front(Protocol):
    """What a worker's words mean for the whole."""

    def ready(self, worker: WorkerProcess, *, engine: str, image: str) -> None: ...

    def state_changed(self) -> None: ...

    def answers_again(self, worker: WorkerProcess) -> None: ...

    def closed(self, worker: WorkerProcess, peer: str) -> None: ...

    async def exposition(self) -> str: ...

    def key_queues(self) -> list[KeyQueue]: ...


class WorkerProcess:
    """Made by ``start``."""

    def __init__(
        self, number: int, process: Process, *, intake: socket.socket, front: _Front, ledger: Ledger
    ) -> None:
        self.number = number
        self.serving = False
        """Whether it can be handed connections."""
        self.leaving = False
        """Whether it ends by itself, and finishes what it has."""
        self.has_served = False
        self.able = False
        """Whether it can execute."""
        self.reason = "starting"
        """Why not."""
        self.failure: str | None = None
        """Why it did not start, or may not serve."""
        self.is_over = False
        """Whether its process has ended, and what it had is being taken back."""
        self.silence = Silence()
        self._process = process
        self._intake = intake
        self._front = front
        self._lender = ledger.lender(granted=self._granted, refused=self._refused)
        self._link: Link | None = None
        self._families: dict[int, asyncio.Future[list[Any]]] = {}
        self._family_count = 0
        self._told: tuple[bool, str | None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        *,
        board_fd: int,
        hello: tuple[Any, int, int, str, str | None, str | None],
        front: _Front,
        ledger: Ledger,
    ) -> Self:
        """Start one, in a session of its own: what a terminal sends is the front's to pass on."""
        link_end, its_link_end = socket.socketpair()
        intake, its_intake = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fds = (its_link_end.fileno(), its_intake.fileno(), board_fd)
        with its_link_end, its_intake:
            process = await asyncio.create_subprocess_exec(
                *command,
                *map(str, fds),
                pass_fds=fds,
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        intake.setblocking(False)
        worker = cls(hello[1], process, intake=intake, front=front, ledger=ledger)
        worker._link = await open_link(link_end, worker._received, ended=worker._stop_serving)
        worker._link.send("hello", *hello)
        return worker

    async def wait(self) -> None:
        """Until the process has ended."""
        await self._process.wait()

    @property
    def exit_text(self) -> str:
        """How it ended, in words."""
        code = self._process.returncode
        if code is None or code >= 0:
            return f"exit code {code}"
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
        return f"signal {-code}"

    async def ended(self) -> None:
        """Take back what it had; once, after ``wait``."""
        self._stop_serving()
        self._intake.close()
        if self._link is not None:
            self._link.close()
        for said in self._families.values():
            said.cancel()
        for task in self._tasks:
            task.cancel()
        await self._lender.end()

    def serve(self) -> None:
        """It has started, and can be handed connections."""
        self.serving = self.able = self.has_served = True

    def refuse(self, why: str) -> None:
        """It has started, and is not one of this service's: it ends."""
        self.failure = why
        self.drain()

    def drain(self) -> None:
        """Have it finish what it has, and end."""
        if self._link is not None:
            self._link.send("drain")

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def hand_over(self, connection: socket.socket, *, peer: str) -> bool:
        """Give it a connection; false if it cannot take one now. Never blocks."""
        try:
            socket.send_fds(self._intake, [peer.encode()], [connection.fileno()])
        except OSError:
            return False
        return True

    def families(self) -> asyncio.Future[list[Any]]:
        """Its metrics, when it has said them; cancelled if it ends before."""
        said: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._family_count += 1
        self._families[self._family_count] = said
        self._send("families", self._family_count)
        return said

    def tell_whole(self, able: bool, reason: str | None) -> None:
        """How all workers are together; nothing where it knows that."""
        if (able, reason) != self._told:
            self._told = (able, reason)
            self._send("whole", able, reason)

    def _send(self, kind: str, *values: object) -> None:
        if self._link is not None:
            self._link.send(kind, *values)

    def _stop_serving(self) -> None:
        self.serving = self.able = self.leaving = False

    # What it says

    def _received(self, message: Message) -> None:
        kind, *values = message
        if self.silence.heard():
            self._front.answers_again(self)
        if kind == "ask":
            number, principal, lane, admitted, wait_max_s, alone, again = values
            caller = Caller(principal, lane=lane, admitted=admitted, wait_max_s=wait_max_s)
            self._lender.ask(number, Ask(caller, alone=alone, again=again))
        elif kind == "back":
            self._lender.give_back(*values)
        elif kind == "spare":
            number, principal, lane = values
            self._lender.ask_spare(number, Caller(principal, lane=lane, admitted=True))
        elif kind == "closed":
            self._front.closed(self, *values)
        elif kind == "exposition":
            self._spawn(self._expose(*values))
        elif kind == "families":
            number, families = values
            said = self._families.pop(number, None)
            if said is not None and not said.done():
                said.set_result(families)
        else:
            self._received_of_itself(kind, values)

    def _received_of_itself(self, kind: str, values: Sequence[Any]) -> None:
        """How it is."""
        if kind == "state":
            self.able, self.reason = values[0], values[1] or ""
        elif kind == "ready":
            engine, image = values
            self._front.ready(self, engine=engine, image=image)
        elif kind == "leaving":
            # A signal ends it, and not the front: hand it nothing, and say that nothing will come.
            self._stop_serving()
            self.leaving = True
            self.drain()
        elif kind == "failed":
            (self.failure,) = values
        else:  # That it is there, or has finished.
            return
        self._front.state_changed()

    async def _expose(self, number: int) -> None:
        text = await self._front.exposition()
        queues = [
            (each.key, each.waiting_count, each.running_count) for each in self._front.key_queues()
        ]
        self._send("exposed", number, text, queues)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # What it is answered

    def _granted(self, number: int) -> None:
        self._send("grant", number)

    def _refused(self, number: int, why: Overloaded | None) -> None:
        self._send("refuse", number, None if why is None else failure_values(why))
