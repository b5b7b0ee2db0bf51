"""What runs the blocks of one conversation: each as a program of its own, or as a session's cells.

What a block gave is told as text for the model. Which blocks there are is not known here.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from execbox import wire
from execbox._retry import Retrying
from execbox.config import RetryPolicy
from execbox.dataset.files.json_lines import Value
from execbox.dataset.steps.services import CellsOfSession, InterpretService
from execbox.errors import ExecboxError, InvalidRequest, ServiceError

__all__ = ["BlockRun", "Interpreter", "ProgramInterpreter", "SessionInterpreter", "told"]

_REFUSED = "refused"
_LIFETIME_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRun:
    """What one block gave: a status of ``/v1/run`` or of a cell, or ``refused``."""

    status: str
    stdout: str = ""
    stderr: str = ""
    value: str | None = None
    error: str | None = None
    truncated: bool = False
    remark: str | None = None
    """What the model must know besides."""

    def as_json(self) -> Value:
        """For the transcript; what there is none of is left out."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in fields.items() if value or name == "status"}


class Interpreter(Protocol):
    """Runs blocks, one after the other; a context around one conversation."""

    async def run(self, code: str) -> BlockRun:
        """Run one block. Raises ``ExecboxError`` where it was not run, which is never its fault."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


@dataclass(slots=True)
class ProgramInterpreter:
    """Each block is a program: it knows nothing of the blocks before."""

    service: InterpretService
    limits: wire.ProgramLimits
    isolation: wire.Isolation | None = None

    async def run(self, code: str) -> BlockRun:
        try:
            program = wire.Program(code=code)
        except InvalidRequest as error:
            return _refused(error)
        answer = await self.service.run(program, limits=self.limits, isolation=self.isolation)
        (ran,) = answer.runs
        return BlockRun(
            status=ran.status.value,
            stdout=ran.stdout,
            stderr=ran.stderr,
            error=_stop(ran.status.value, ran.limit, ran.signal, ran.exit_code),
            truncated=ran.truncated.stdout or ran.truncated.stderr,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


@dataclass(slots=True)
class SessionInterpreter:
    """Each block is a cell: it has the variables of the blocks before. The session begins with the
    first block; where a block ends it, the next one has a new session and is told so.

    ``idle_time_s`` is what the model's next answer may take, no more: for so long the sessions that
    a killed run has left count as the key's.
    """

    service: InterpretService
    limits: wire.SessionLimits
    idle_time_s: float
    _session: CellsOfSession | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def run(self, code: str) -> BlockRun:
        try:
            wire.CellRequest(code=code)
        except InvalidRequest as error:
            return _refused(error)
        if self._session is None:
            self._session = await self._begun()
        cell = await self._session.run(code)
        remark = None
        if cell.session_lost:
            self._session = None
            remark = f"All variables are lost, because {cell.lost_reason}."
        raised = cell.error
        return BlockRun(
            status=cell.status.value,
            stdout=cell.stdout,
            stderr=cell.stderr,
            value=cell.value.repr if cell.value is not None else None,
            error=_stop(cell.status.value, cell.limit, cell.signal, cell.exit_code)
            or (None if raised is None else raised.traceback or f"{raised.type}: {raised.message}"),
            truncated=cell.truncated.stdout or cell.truncated.stderr,
            remark=remark,
        )

    async def _begun(self) -> CellsOfSession:
        """A new session, waited for while the key has as many as it may: they are of a run that
        was killed, or of conversations that end. Nothing is held meanwhile."""
        pacing = Retrying(_until_room(self.idle_time_s))
        while True:
            session = self.service.session(
                limits=self.limits, idle_time_s=self.idle_time_s, lifetime_s=_LIFETIME_S
            )
            try:
                return await self._stack.enter_async_context(session)
            except ServiceError as failure:
                is_full = failure.code == wire.ErrorCode.SESSIONS_TOO_MANY
                pause_s = pacing.pause_s(failure) if is_full else None
                if pause_s is None:
                    raise
            await asyncio.sleep(pause_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # What was said is not lost with it, and a session that is left alone ends by itself.
        with suppress(ExecboxError):
            await self._stack.aclose()


def _until_room(idle_time_s: float) -> RetryPolicy:
    """By the clock, until whatever a killed run has left is over, and the service has seen it."""
    return RetryPolicy(unavailable_retries_max=1_000_000, window_s=idle_time_s + 60.0)


def told(ran: BlockRun, *, chars_max: int) -> str:
    """What the model is told of a block, of each text no more than so many characters."""
    parts = {
        "Output": ran.stdout,
        "Value": ran.value or "",
        "Errors": "\n".join(filter(None, (ran.stderr, ran.error))),
    }
    lines = [f"Status: {ran.status}"]
    for name, text in parts.items():
        if text.strip():
            lines.append(f"{name}:\n{_shortened(text.rstrip(), chars_max)}")
    if len(lines) == 1 and ran.status == "ok":
        lines.append("The code printed nothing.")
    if ran.truncated:
        lines.append("It wrote more than is kept; the rest was dropped.")
    if ran.remark:
        lines.append(ran.remark)
    return "\n".join(lines)


def _shortened(text: str, chars_max: int) -> str:
    """The beginning, and twice as much of the end: where errors and results are."""
    if len(text) <= chars_max:
        return text
    head, left_out = chars_max // 3, len(text) - chars_max
    tail = len(text) - (chars_max - head)
    return f"{text[:head]}\n[{left_out} characters left out]\n{text[tail:]}"


def _stop(status: str, limit: str | None, signal: str | None, exit_code: int | None) -> str | None:
    """Why it ended where its own streams do not say it."""
    if status == "timeout":
        return f"It was stopped at its limit on {(limit or 'time').replace('_', ' ')}."
    if status == "memory_exceeded":
        return "It used more memory than it may."
    if signal is not None:
        return f"It was ended by {signal}."
    return f"It ended with exit code {exit_code}." if exit_code else None


def _refused(error: InvalidRequest) -> BlockRun:
    """A source that no service would take is the model's doing, and it can be told."""
    return BlockRun(status=_REFUSED, error=error.message)
