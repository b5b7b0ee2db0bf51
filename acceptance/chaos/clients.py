"""The clients of a run of chaos: commands that are begun again until they are done, and what can be
done to them. When it is done is in ``driving``.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from acceptance.chaos.work import Command, result_count

__all__ = ["Clients", "Disk", "WorkFailed"]

_REPOSITORY: Final = Path(__file__).resolve().parents[2]
_LOOK_S: Final = 0.05
_AGAIN_S: Final = 0.3
_TO_GO_ON: Final = frozenset({1, 3})
"""Exit codes of commands of which something is left: the service failed, or did so for some."""
_MISTAKE: Final = 2
_KILLED: Final = -9
_STILL_S: Final = 3.0
_GOES_ON_S: Final = 90.0
_FULL_S: Final = 20.0
_TRIES: Final = 20
_STDERR_CHARS: Final = 600
_NO_ROOM: Final = "No space left on device"


class WorkFailed(Exception):
    """A client ended in a way that no failure of a service may lead to, or nothing recovers."""


class Disk:
    """A file system of its own, in memory, which can be made full without taking memory: it is
    made as small as what is in it."""

    def __init__(self, folder: Path, *, room_mb: int) -> None:
        self.folder = folder
        self._room_mb = room_mb
        folder.mkdir()
        self._mount("-t", "tmpfs", "-o", f"size={room_mb}m", "tmpfs")

    def fill(self) -> None:
        """No room is left."""
        for tries_left in reversed(range(_TRIES)):
            found = os.statvfs(self.folder)
            used_bytes = (found.f_blocks - found.f_bfree) * found.f_frsize
            try:
                self._mount("-o", f"remount,size={max(used_bytes, found.f_frsize)}")
            except subprocess.CalledProcessError:
                # More has been written since.
                if not tries_left:
                    raise
            else:
                return

    def clear(self) -> None:
        """There is room again."""
        self._mount("-o", f"remount,size={self._room_mb}m")

    def remove(self) -> None:
        """With all that is on it."""
        subprocess.run(["umount", "--lazy", self.folder], check=True)
        shutil.rmtree(self.folder)

    def _mount(self, *words: str) -> None:
        subprocess.run(["mount", *words, self.folder], check=True, capture_output=True)


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

    def __init__(
        self,
        commands: Sequence[Command],
        folder: Path,
        *,
        disk: Disk | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._disk = disk
        self._environment = dict(os.environ) | dict(environment or {})
        self._full_count = 0
        self._clients = [_Client(command) for command in commands]
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.failure: str | None = None

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Run inside the block; clients that have not finished at its end are ended."""
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

        def kill(client: _Client, process: subprocess.Popen[bytes]) -> None:
            process.kill()
            client.killed_count += 1

        self._hurt_one(drawn, kill)

    def stop_one(self, drawn: random.Random) -> None:
        """As a laptop that is closed for a while; returns when it has written more."""
        hurt = self._hurt_one(drawn, lambda _, process: process.send_signal(signal.SIGSTOP), 0)
        if hurt is None:
            return
        client, process = hurt
        time.sleep(_STILL_S)
        before = self._results_of(client)
        process.send_signal(signal.SIGCONT)
        self._see_going_on(client, before)

    def fill_disk(self, _drawn: random.Random) -> None:
        """Until a command has ended for want of room, or for a while in which none writes; returns
        when there is room and something has been written."""
        if self._disk is None or self.are_done:
            return
        ended_before = self._full_count
        deadline_s = time.monotonic() + _FULL_S
        self._disk.fill()
        try:
            while self._full_count == ended_before and time.monotonic() < deadline_s:
                if self.are_done:
                    break
                time.sleep(_LOOK_S)
        finally:
            before = sum(map(self._results_of, self._clients))
            self._disk.clear()
        deadline_s = time.monotonic() + _GOES_ON_S
        while sum(map(self._results_of, self._clients)) <= before and not self.are_done:
            if time.monotonic() > deadline_s:
                raise WorkFailed("nothing goes on after the disk was full")
            time.sleep(_LOOK_S)

    def _hurt_one(
        self,
        drawn: random.Random,
        hurt: Callable[[_Client, subprocess.Popen[bytes]], None],
        wait_s: float = _GOES_ON_S,
    ) -> tuple[_Client, subprocess.Popen[bytes]] | None:
        """One that is at work, if any is; waits for so long at most until it has written more."""
        with self._lock:
            at_work = [each for each in self._clients if each.process and not each.is_done]
            if not at_work:
                return None
            client = drawn.choice(at_work)
            process = client.process
            if process is None or process.poll() is not None:
                return None
            hurt(client, process)
        if wait_s:
            self._see_going_on(client, self._results_of(client))
        return client, process

    def _results_of(self, client: _Client) -> int:
        return result_count(self._folder, outputs=client.command.outputs)

    def _see_going_on(self, client: _Client, before: int) -> None:
        deadline_s = time.monotonic() + _GOES_ON_S
        while self._results_of(client) <= before:
            if client.is_done or self.are_done:
                return
            if time.monotonic() > deadline_s:
                raise WorkFailed(f"{client.command.name} does not go on after it was hurt")
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
            client.stderr.seek(0)
            client.stderr.truncate()
            client.process = subprocess.Popen(
                client.command.words,
                cwd=_REPOSITORY,
                env=self._environment,
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
        if code == _MISTAKE and self._disk is not None and _NO_ROOM in self._said(client):
            self._full_count += 1
        elif code not in _TO_GO_ON | {0} and not (code == _KILLED and client.killed_count):
            self.failure = f"{client.command.name} ended with {code}: {self._said(client)}"
        return True

    @staticmethod
    def _said(client: _Client) -> str:
        client.stderr.seek(0)
        return client.stderr.read().decode(errors="replace")[-_STDERR_CHARS:].strip()
