"""``Front``: the process that owns the address, and the workers that answer behind it.

It accepts connections and hands them to workers in turn, gives out the machine's slots, adds up
what workers say of themselves, starts again one that dies, and ends all of them together. It reads
no request, and executes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import tempfile
import time
from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric

from execbox_service.api.logs import log_serving
from execbox_service.api.server import address_taken
from execbox_service.engines.docker.address import settled
from execbox_service.metrics import SlotState
from execbox_service.runtime import admission_of
from execbox_service.scheduling.reservations import KeyQueue
from execbox_service.settings import Settings
from execbox_service.workers.board import Board, board_keys
from execbox_service.workers.handing_out import HandingOut
from execbox_service.workers.ledger import Ledger
from execbox_service.workers.metric_sums import MetricSums, as_json, process_metrics
from execbox_service.workers.silence import LOOK_S
from execbox_service.workers.worker_process import WorkerProcess

__all__ = ["Front", "StartFailed"]

logger = logging.getLogger(__name__)

_BACKLOG: Final = 2048
_ACCEPTED_AT_ONCE: Final = 64
_ANSWER_S: Final = 2.0
_END_S: Final = 90.0
"""For a worker to end after the grace that its requests have: removing containers takes time."""
_BACKOFF_MIN_S: Final = 0.5
_BACKOFF_MAX_S: Final = 10.0
_LIVED_S: Final = 10.0
"""A worker that has lived for so long is started again at once."""


class StartFailed(Exception):
    """A worker could not start; the text says why."""


class Front:
    """Belongs to one event loop. ``run`` once."""

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        *,
        command: Sequence[str],
        look_s: float = LOOK_S,
    ) -> None:
        """``listener`` is bound and does not listen yet. ``command`` starts a worker; the numbers
        of its descriptors are added to it. ``look_s`` is how often to look for one that hangs."""
        self._settings = settings.model_copy(
            update={
                "instance": settings.instance_name,
                "docker_host": settled(settings.docker_host),
            }
        )
        self._listener = listener
        self._command = command
        self._look_s = look_s
        self._count = settings.worker_count
        self._keys = board_keys([name for name, _ in settings.api_key_hashes])
        self._board_fd = Board.create()
        self._board = Board(self._board_fd, keys=self._keys, worker_count=self._count)
        self._ledger = Ledger(admission_of(settings), show=self._board.show)
        self._handing_out = HandingOut()
        self._sums = MetricSums()
        self._own = CollectorRegistry()
        ProcessCollector(registry=self._own)
        self._workers: dict[int, WorkerProcess] = {}
        self._runs: tuple[str, str] | None = None
        """The engine and the image that the first worker began with, and all have."""
        self._failures: dict[int, str] = {}
        """Why workers could not be started again, by number."""
        self._restart_count = 0
        self._accepting = False
        self._ending = asyncio.Event()
        self._first_start: dict[int, asyncio.Future[None]] = {}

    async def run(self) -> None:
        """Serve until ``end``, or until a signal says so. Raises StartFailed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.end)
        with tempfile.TemporaryDirectory(prefix="execbox-", ignore_cleanup_errors=True) as folder:
            self._first_start = {
                number: loop.create_future() for number in range(1, self._count + 1)
            }
            keepers = [
                asyncio.create_task(self._keep(number, folder)) for number in self._first_start
            ]
            try:
                await self._all_started()
                if not self._ending.is_set():
                    self._listen()
                    await self._ending.wait()
            finally:
                self.end()
                await asyncio.gather(*keepers)

    def end(self) -> None:
        """Take no more connections, and let every worker finish."""
        self._ending.set()
        self._stop_accepting()
        self._listener.close()
        for worker in self._workers.values():
            worker.drain()

    @property
    def restart_count(self) -> int:
        """How often a worker was started again."""
        return self._restart_count

    # Workers

    async def _all_started(self) -> None:
        started = asyncio.gather(*self._first_start.values())
        ending = asyncio.create_task(self._ending.wait())
        try:
            await asyncio.wait((started, ending), return_when=asyncio.FIRST_COMPLETED)
            if started.done():
                started.result()
        finally:
            ending.cancel()
            started.cancel()
            with contextlib.suppress(asyncio.CancelledError, StartFailed):
                await started

    async def _keep(self, number: int, folder: str) -> None:
        """One worker after the other, of this number, until the end."""
        backoff_s = 0.0
        while not self._ending.is_set():
            began_s = time.monotonic()
            ended_with = await self._one_life(number, folder)
            if self._has_failed_to_start(number, ended_with) or self._ending.is_set():
                return
            self._restart_count += 1
            lived = time.monotonic() - began_s >= _LIVED_S
            backoff_s = 0.0 if lived else min(max(_BACKOFF_MIN_S, 2 * backoff_s), _BACKOFF_MAX_S)
            logger.error(
                "worker %d ended with %s and is started again in %g s",
                number,
                ended_with,
                backoff_s,
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), timeout=backoff_s or 0.01)

    async def _one_life(self, number: int, folder: str) -> str:
        """Start a worker and see to it until it has ended; how it did, in words."""
        engine, image = self._runs or (None, None)
        settings = self._settings.model_dump(mode="json")
        try:
            worker = await WorkerProcess.start(
                self._command,
                board_fd=self._board_fd,
                hello=(settings, number, self._count, folder, engine, image),
                front=self,
                ledger=self._ledger,
            )
        except OSError as error:
            return f"no process: {error.strerror}"
        self._workers[number] = worker
        if self._ending.is_set():
            worker.drain()
        await self._until_ended(worker)
        if worker.failure is not None:
            self._failures[number] = worker.failure
        await self._clear(worker)
        return worker.failure or worker.exit_text

    async def _until_ended(self, worker: WorkerProcess) -> None:
        ended = asyncio.create_task(worker.wait())
        ending = asyncio.create_task(self._ending.wait())
        watching = asyncio.create_task(self._watch(worker))
        await asyncio.wait((ended, ending), return_when=asyncio.FIRST_COMPLETED)
        watching.cancel()
        if not ended.done():
            within_s = self._settings.shutdown_grace_s + _END_S
            _done, late = await asyncio.wait((ended,), timeout=within_s)
            if late:
                logger.error("worker %d does not end and is killed", worker.number)
                worker.kill()
        await ended
        ending.cancel()

    async def _watch(self, worker: WorkerProcess) -> None:
        """Leave a worker out that says nothing any more, and end it if that lasts."""
        while True:
            await asyncio.sleep(self._look_s)
            if not worker.has_served:
                continue
            worker.silence.look()
            if worker.silence.has_just_begun:
                logger.error("worker %d does not respond and is left out", worker.number)
                self._tell_readiness()
            elif worker.silence.ends_it:
                logger.error("worker %d still does not respond and is killed", worker.number)
                worker.kill()
                return

    async def _clear(self, worker: WorkerProcess) -> None:
        """Take back all that a worker had that has ended."""
        number = worker.number
        # Before anything is waited for: what it says from now on is in neither sum.
        worker.is_over = True
        self._sums.ended(number)
        await worker.ended()
        self._board.forget(number)
        self._handing_out.forget(number)
        self._tell_readiness()

    def _has_failed_to_start(self, number: int, ended_with: str) -> bool:
        """Whether it is one of those that the whole start waits for."""
        first = self._first_start[number]
        if first.done():
            return False
        if self._ending.is_set():
            first.cancel()
        else:
            worker = self._workers.get(number)
            why = worker.failure if worker is not None else None
            first.set_exception(StartFailed(why or f"a process of it ended with {ended_with}"))
            self._ending.set()
        return True

    # What workers say

    def ready(self, worker: WorkerProcess, *, engine: str, image: str) -> None:
        """It can be handed connections from now on, if it runs functions with the same."""
        self._runs = self._runs or (engine, image)
        if self._runs != (engine, image):
            worker.refuse(
                "it would run functions with engine {} and image {}, and this service began with "
                "engine {} and image {}: restart the service".format(engine, image, *self._runs)
            )
            return
        worker.serve()
        self._failures.pop(worker.number, None)
        first = self._first_start[worker.number]
        if not first.done():
            first.set_result(None)
        else:
            logger.info("worker %d answers again", worker.number)
            self._accept_when_possible()

    def state_changed(self) -> None:
        """Of a worker: whether it can execute."""
        self._tell_readiness()

    def answers_again(self, worker: WorkerProcess) -> None:
        """One that was left out because it did not respond."""
        logger.info("worker %d responds again", worker.number)
        self._tell_readiness()
        self._accept_when_possible()

    def closed(self, worker: WorkerProcess, peer: str) -> None:
        """A connection of a worker's has ended."""
        self._handing_out.closed(worker.number, peer=peer)

    async def exposition(self) -> str:
        """The metrics of all, as far as workers answer in time."""
        # One that ends by itself goes on counting what it finishes.
        leaving = [each for each in self._workers.values() if each.leaving]
        asked = {each: each.families() for each in (*self._serving().values(), *leaving)}
        if asked:
            await asyncio.wait(asked.values(), timeout=_ANSWER_S)
        for worker, said in asked.items():
            # One that has ended meanwhile has been added to what those that ended had counted.
            if said.done() and not said.cancelled() and not worker.is_over:
                self._sums.keep(worker.number, said.result())
        self._sums.keep(0, as_json(self._own.collect()))
        return self._sums.exposition(self._of_the_whole()).decode()

    def key_queues(self) -> list[KeyQueue]:
        """The keys that wait for a slot or hold one."""
        return self._ledger.admission.key_queues

    def _of_the_whole(self) -> list[Metric]:
        own = process_metrics(ready_count=len(self._serving()), restart_count=self._restart_count)
        return [*SlotState(self._ledger.admission).collect(), *own]

    def _serving(self) -> dict[int, WorkerProcess]:
        return {
            number: each
            for number, each in self._workers.items()
            if each.serving and not each.silence.leaves_out
        }

    def _tell_readiness(self) -> None:
        """Tell all workers how the whole is, where that has changed."""
        serving = self._serving()
        troubled = [
            f"worker {number} of {self._count}: {self._trouble_of(number)}"
            for number in range(1, self._count + 1)
            if number not in serving or not serving[number].able
        ]
        able = any(worker.able for worker in serving.values())
        reason = troubled[0] if troubled else None
        if not able and len(serving) == self._count:
            reason = next(iter(serving.values())).reason
        for worker in serving.values():
            worker.tell_whole(able, reason)

    def _trouble_of(self, number: int) -> str:
        worker = self._workers.get(number)
        if worker is None or not worker.serving:
            why = self._failures.get(number)
            return "is being started again" + (f": {why}" if why else "")
        return "does not respond" if worker.silence.leaves_out else worker.reason

    # Connections

    def _listen(self) -> None:
        self._listener.setblocking(False)
        try:
            self._listener.listen(_BACKLOG)
        except OSError as error:
            # A service that was started at the same time was bound, too, and listened first.
            raise StartFailed(address_taken(self._settings, error)) from error
        self._accept_when_possible()
        engine, image = self._runs or ("", "")
        port = self._listener.getsockname()[1]
        log_serving(self._settings, port=port, engine=engine, image=image)

    def _accept_when_possible(self) -> None:
        if not self._accepting and not self._ending.is_set():
            self._accepting = True
            asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    def _stop_accepting(self) -> None:
        if self._accepting:
            self._accepting = False
            asyncio.get_running_loop().remove_reader(self._listener.fileno())

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            if not self._serving():
                # Those who connect wait until one is there again.
                self._stop_accepting()
                return
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                logger.warning("cannot accept connections: %s", error.strerror)
                self._stop_accepting()
                asyncio.get_running_loop().call_later(1.0, self._accept_when_possible)
                return
            with connection:
                self._hand_out(connection, peer=str(address[0]))

    def _hand_out(self, connection: socket.socket, *, peer: str) -> None:
        candidates = self._serving()
        able = {number: each for number, each in candidates.items() if each.able} or candidates
        while able:
            number = self._handing_out.next_of(able, peer=peer)
            if able[number].hand_over(connection, peer=peer):
                self._handing_out.opened(number, peer=peer)
                return
            # It does not take what it is handed: it is stuck, or ends.
            del able[number]
