"""One request of a contract: what its handler may read of it, and what it may have run for it.

Knows no contract. Receiving, memory, permissions and the log are the same as for the API's own
paths.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Final, TypeVar

from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from execbox.wire import CellResponse, ErrorCode
from execbox_service.api.bodies import until_disconnect
from execbox_service.api.kept_waiting import PATIENCE_S, is_kept_waiting
from execbox_service.api.request_guard import Record
from execbox_service.api.routes import Services, count_reading, held_by, send_pieces, written
from execbox_service.api.validation import parsed, validated
from execbox_service.failures import CallerMistake, Overloaded, RequestFailed, ServiceFailure
from execbox_service.operations.registry import Operation, RequestT, ResponseT
from execbox_service.operations.session_protocols import LiveSessions
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.offload import read_aside
from execbox_service.settings import Settings

__all__ = ["Exchange", "ExchangeResponse", "gone_is_lost"]

_JSON: Final = "application/json"
_PAUSE_S: Final = 0.5
_PAUSE_MAX_S: Final = 5.0
_LOST_MAX: Final = 10
"""Sandboxes that a request may lose, each of them twice: it may be the code that does it."""
_PASSES: Final = frozenset(
    {
        ErrorCode.ENGINE_UNAVAILABLE,
        ErrorCode.SANDBOX_LOST,
        ErrorCode.MACHINE_TOO_BUSY,
        ErrorCode.SESSIONS_TOO_MANY,
    }
)
"""What may be over in a moment: a daemon that is started again, a container that was killed."""
_FOR_EVER_S: Final = 1e6
_T = TypeVar("_T")
_ModelT = TypeVar("_ModelT", bound=BaseModel)


class Exchange:
    """What a contract's handler has of its request."""

    def __init__(
        self, services: Services, scope: Scope, receive: Receive, *, caller: Caller, record: Record
    ) -> None:
        self._services = services
        self._scope = scope
        self._receive = receive
        self._record = record
        self.caller = caller
        self.began_s = asyncio.get_running_loop().time()
        """When the request's headers were there, on the loop's clock."""
        self._again_until_s = self.began_s
        self._failure: ServiceFailure | None = None
        """What is being tried again."""
        self._undoing: list[Callable[[], Awaitable[None]]] = []

    @property
    def services(self) -> Services:
        return self._services

    @property
    def settings(self) -> Settings:
        return self._services.settings

    @property
    def headers(self) -> Headers:
        return Headers(scope=self._scope)

    @property
    def sessions(self) -> LiveSessions:
        """Raises ServiceFailure before the service is started."""
        return self._services.runtime.sessions

    @property
    def languages(self) -> frozenset[str]:
        """What programs can be written in here."""
        return frozenset(self._services.runtime.capabilities().languages)

    def of_path(self, name: str) -> str:
        """A part of the path."""
        return str(self._scope["path_params"][name])

    def patience_s(self, own_s: float) -> float:
        """How long its client waits, which by itself waits so long."""
        return max(own_s, PATIENCE_S) if is_kept_waiting(self._scope) else own_s

    def waiting_at_most(self, wait_max_s: float) -> None:
        """From now on, what is run waits no longer than this for its first slot, and is refused at
        once where it would wait in vain; and what the service itself fails at is tried again until
        so long after the request came. No longer than five minutes, whatever its client says."""
        wait_max_s = min(max(0.0, wait_max_s), PATIENCE_S)
        self.caller = replace(self.caller, wait_max_s=wait_max_s)
        self.trying_again_for(wait_max_s)

    def waiting_in_any_case(self, wait_max_s: float) -> None:
        """As ``waiting_at_most``, but never refused at once: its client would take that for an
        answer. The caller of this bounds the whole by ``within``."""
        self.caller = replace(self.caller, wait_max_s=_FOR_EVER_S)
        self.trying_again_for(wait_max_s)

    def trying_again_for(self, time_s: float) -> None:
        """What the service itself fails at is tried again until so long after the request came: its
        client would wait, and take a failure for an answer."""
        self._again_until_s = self.began_s + time_s

    def in_lane_of_its_own(self, kind: str) -> None:
        """From now on, what is run is part of a whole that has been let in, and waits its turn."""
        self.caller = self.caller.in_lane_of_its_own(kind)

    async def document(self, model: type[_ModelT]) -> _ModelT:
        """The body. Raises RequestFailed."""
        hold = held_by(self.caller)
        body = await self._services.bodies.received(self._scope, self._receive, hold=hold)
        await count_reading(body, hold=hold)
        return await read_aside(len(body), parsed, model, body)

    async def perform(
        self, operation: Operation[RequestT, ResponseT], asked: dict[str, Any]
    ) -> ResponseT:
        """Have an operation done, of a request that is given as its document, for as long as the
        client is there. Raises RequestFailed, and ClientGone."""
        return await self.watched(self.work(operation, asked))

    async def watched(self, work: Coroutine[Any, Any, _T]) -> _T:
        """The result of ``work``, which ends where the client goes away: then raises ClientGone.
        One at a time."""
        return await until_disconnect(self._receive, work)

    async def work(
        self, operation: Operation[RequestT, ResponseT], asked: dict[str, Any]
    ) -> ResponseT:
        """As ``perform``, for what is watched as part of more. Raises RequestFailed."""
        request = validated(operation.request, asked)
        permitted = operation.permitted(request, self.settings)
        runtime = self._services.runtime
        answer = await self.again(
            lambda caller: runtime.perform(operation, permitted, caller=caller)
        )
        self._record.count(operation.executions_of(answer))
        return answer

    async def again(self, attempt: Callable[[Caller], Awaitable[_T]]) -> _T:
        """What ``attempt`` returns, which is begun anew where it fails for a reason that passes,
        for as long as ``trying_again_for`` said. Raises RequestFailed."""
        caller = self.caller
        for again_count in itertools.count(1):
            try:
                return await attempt(caller)
            except ServiceFailure as failure:
                if isinstance(failure, Overloaded) and self._failure is not None:
                    # Why there was no room is what failed before.
                    raise self._failure from failure
                pause_s = min(_PAUSE_MAX_S, _PAUSE_S * again_count)
                left_s = self._again_until_s - asyncio.get_running_loop().time() - pause_s
                lost = failure.code is ErrorCode.SANDBOX_LOST and again_count >= _LOST_MAX
                if failure.code not in _PASSES or lost or left_s <= 0:
                    raise
                self._failure = failure
            await asyncio.sleep(pause_s)
            if caller.wait_max_s is not None and caller.wait_max_s < _FOR_EVER_S:
                caller = replace(caller, wait_max_s=min(caller.wait_max_s, left_s))
        raise AssertionError("itertools.count has no end")

    def where_unanswered(self, undo: Callable[[], Awaitable[None]]) -> None:
        """Have this done where the client gets no answer: what it would have been told with it
        must not be taken for known. What ``undo`` is refused is passed over."""
        self._undoing.append(undo)

    async def undone(self) -> None:
        """Do what ``where_unanswered`` was given."""
        for undo in self._undoing:
            with suppress(RequestFailed):
                await undo()

    def count_cell(self, response: CellResponse) -> None:
        """Count a session's cell for the log, as ``perform`` does its executions."""
        self._record.count([response])

    async def within(self, time_s: float, work: Awaitable[_T]) -> _T:
        """The result of ``work``, if it is there so many seconds after the request came.

        Raises Overloaded where it is not: its sender has stopped waiting, or is about to; or what
        was tried again all that time.
        """
        limit = asyncio.timeout_at(self.began_s + time_s)
        try:
            async with limit:
                return await work
        except TimeoutError as error:
            if not limit.expired():
                raise
            if self._failure is not None:
                raise self._failure from error
            raise Overloaded(
                ErrorCode.QUEUE_TIMEOUT,
                f"there was no answer in the {time_s:g} s in which this contract's client waits "
                "for one; no result of this request is kept, send it again later",
            ) from error


@contextmanager
def gone_is_lost() -> Iterator[None]:
    """A session that ends under a request of a contract is a failure of ours: its client did not
    end it, and may not know that there is one."""
    try:
        yield
    except CallerMistake as gone:
        if gone.code is not ErrorCode.SESSION_GONE:
            raise
        raise ServiceFailure(ErrorCode.SANDBOX_LOST, gone.message) from gone


class ExchangeResponse(Response):
    """Receives, works and answers; what there is of the request is counted for its key."""

    def __init__(
        self,
        answer: Callable[[Exchange], Awaitable[BaseModel | Response]],
        services: Services,
        record: Record,
    ) -> None:
        super().__init__()
        self._answer = answer
        self._services = services
        self._record = record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services, caller = self._services, self._record.caller
        with services.memory.hold(caller.principal) as hold:
            caller = replace(caller, hold=hold)
            exchange = Exchange(services, scope, receive, caller=caller, record=self._record)
            try:
                answer = await self._answer(exchange)
                if isinstance(answer, Response):
                    await answer(scope, receive, send)
                    return
                # These clients mostly send nothing again, and a cell is never run twice.
                pieces = await written(
                    answer, hold=hold, settings=services.settings, repeatable=False
                )
                await send_pieces(pieces, send)
            except BaseException:
                # A failure of any kind, or a client that has gone away.
                await exchange.undone()
                raise
