"""Having the work of a run of chaos done: clients that are begun again until they are done, and the
faults meanwhile. What the faults are is in ``kinds``.
"""

from __future__ import annotations

import random
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from harness.measurement import say

from acceptance.chaos.kinds import KINDS, Kind
from acceptance.chaos.place import Place
from acceptance.chaos.work import Command, result_count

__all__ = ["Clients", "Done", "Recovery", "WorkFailed", "hurt"]

_REPOSITORY: Final = Path(__file__).resolve().parents[2]
_LOOK_S: Final = 0.05
_AGAIN_S: Final = 0.3
_TO_GO_ON: Final = frozenset({1, 3})
"""Exit codes of commands of which something is left: the service failed, or did so for some."""
_KILLED: Final = -9
_RECOVERED_S: Final = 90.0
_STDERR_CHARS: Final = 600


class WorkFailed(Exception):
    """A client ended in a way that no failure of a service may lead to, or nothing recovers."""


@dataclass
class _Client:
    command: Command
    process: subprocess.Popen[bytes] | None = None
    stderr: IO[bytes] = field(default_factory=tempfile.TemporaryFile)
    begun_count: int = 0
    killed_count: int = 0
    is_done: bool = False


class Clients:
    """The commands, each run again until it ends with 0; all at once, in a thread of their own."""

    def __init__(self, commands: Sequence[Command], folder: Path) -> None:
        self._folder = folder
        self._clients = [_Client(command) for command in commands]
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.failure: str | None = None

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Inside the block; whoever is not done when it is left is ended."""
        thread = threading.Thread(target=self._keep)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            for client in self._clients:
                if client.process is not None:
                    client.process.kill()
                    client.process.wait()
                client.stderr.close()

    @property
    def are_done(self) -> bool:
        """Raises ``WorkFailed`` where one cannot be."""
        if self.failure is not None:
            raise WorkFailed(self.failure)
        return all(client.is_done for client in self._clients)

    @property
    def begun_count(self) -> int:
        """How often any was begun."""
        return sum(client.begun_count for client in self._clients)

    def wait(self, *, within_s: float) -> None:
        """Until all are done. Raises ``WorkFailed``."""
        deadline_s = time.monotonic() + within_s
        while not self.are_done:
            if time.monotonic() > deadline_s:
                late = [each.command.name for each in self._clients if not each.is_done]
                raise WorkFailed(f"after {within_s:g} s not done: {', '.join(late)}")
            time.sleep(_LOOK_S)

    def kill_one(self, drawn: random.Random) -> None:
        """As a machine that is switched off; returns when the same command has written more."""
        with self._lock:
            at_work = [each for each in self._clients if each.process and not each.is_done]
            if not at_work:
                return
            client = drawn.choice(at_work)
            if client.process is not None:
                client.process.kill()
            client.killed_count += 1
        before = result_count(self._folder, outputs=client.command.outputs)
        deadline_s = time.monotonic() + _RECOVERED_S
        while result_count(self._folder, outputs=client.command.outputs) <= before:
            if client.is_done or self.are_done:
                return
            if time.monotonic() > deadline_s:
                raise WorkFailed(f"{client.command.name} does not go on after it was killed")
            time.sleep(_LOOK_S)

    def _keep(self) -> None:
        again_s: dict[str, float] = {}
        while not self._over.wait(_LOOK_S):
            for client in self._clients:
                if client.is_done or again_s.get(client.command.name, 0) > time.monotonic():
                    continue
                with self._lock:
                    if self._look_at(client):
                        again_s[client.command.name] = time.monotonic() + _AGAIN_S

    def _look_at(self, client: _Client) -> bool:
        """Begin it if it does not run; whether it has ended and is to be begun again later."""
        if client.process is None:
            client.process = subprocess.Popen(
                client.command.words,
                cwd=_REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=client.stderr,
            )
            client.begun_count += 1
            return False
        code = client.process.poll()
        if code is None:
            return False
        client.process = None
        client.is_done = code == 0
        if code not in _TO_GO_ON | {0} and not (code == _KILLED and client.killed_count):
            self.failure = f"{client.command.name} ended with {code}: {self._said(client)}"
        return True

    @staticmethod
    def _said(client: _Client) -> str:
        client.stderr.seek(0)
        return client.stderr.read().decode(errors="replace")[-_STDERR_CHARS:].strip()


@dataclass(frozen=True, slots=True)
class Recovery:
    """One fault: how long it was made to last, and when after its end a request was answered."""

    kind: str
    lasted_s: float
    recovered_s: float
    unanswered_count: int
    """Probes that were not answered before that."""


@dataclass
class Done:
    """What came of all faults."""

    recoveries: list[Recovery] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def hurt(
    place: Place, clients: Clients, done: Done, *, drawn: random.Random, kinds: list[Kind]
) -> None:
    """Do the next fault of ``kinds``, which is filled with all of them in a drawn order when it is
    empty, and wait until all is well. Raises ``WorkFailed``."""
    if not kinds:
        kinds += drawn.sample(KINDS, len(KINDS))
    kind = kinds.pop()
    began_s = time.monotonic()
    if kind.do is None:
        clients.kill_one(drawn)
        done.recoveries.append(Recovery(kind.name, 0.0, time.monotonic() - began_s, 0))
        return
    kind.do(place)
    over_s = time.monotonic()
    unanswered = 0
    while not _answers(place, done, n=drawn.randrange(10**6)):
        unanswered += 1
        if time.monotonic() - over_s > _RECOVERED_S:
            raise WorkFailed(
                f"no answer within {_RECOVERED_S:g} s after: {kind.name}\n{place.log_tail()}"
            )
        time.sleep(_LOOK_S)
    lasted_s, recovered_s = over_s - began_s, time.monotonic() - over_s
    done.recoveries.append(Recovery(kind.name, lasted_s, recovered_s, unanswered))
    say(f"{kind.name}: {lasted_s:.1f} s, answered again after {recovered_s:.2f} s")


def _answers(place: Place, done: Done, *, n: int) -> bool:
    try:
        return place.answers(n)
    except AssertionError as wrong:
        done.wrong.append(str(wrong))
        return True
