"""``Client`` and ``AsyncClient``: the service's operations as methods, and no logic of their own.

What each sends and how it is read is in ``_operations``, sending in ``_transport``, or over several
nodes in ``_fleet``.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Callable,
    Generator,
    Iterable,
    Mapping,
    Sequence,
)
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from execbox import _batch_async, _batch_sync, _operations, wire
from execbox._addresses import Addresses
from execbox._batch import BatchResult
from execbox._fleet.address_book import AddressBook
from execbox._fleet.async_fleet import AsyncFleet
from execbox._fleet.sync_fleet import SyncFleet
from execbox._nodes.state import NodeReport
from execbox._requests import (
    CallLike,
    CaseLike,
    ExecuteOptions,
    GenerateOptions,
    RunOptions,
    VerifyOptions,
)
from execbox._retry import Polling
from execbox._session_exchanges import SessionOptions
from execbox._transport import AsyncSeam, AsyncTransport, SyncSeam, SyncTransport
from execbox.config import ClientConfig, MixedNodesRule, config_from_env
from execbox.errors import ConfigError, InvalidRequest
from execbox.session import AsyncSession, Session

__all__ = ["AsyncClient", "Client"]

MethodT = TypeVar("MethodT", bound=Callable[..., object])
ClientT = TypeVar("ClientT", "Client", "AsyncClient")


class Client:
    """A connection to an execbox service, or to a fleet of them; safe to share between threads and
    forked processes.

    A process that is forked connects anew at its first request; a batch under way stays with the
    process that began it. It can be pickled, which writes its settings, the API key included.

    ``base_url`` and ``api_key`` default to ``EXECBOX_URL`` and ``EXECBOX_API_KEY``; a ``config``
    replaces both, and the environment is then not read. ``transport`` is for tests: what
    ``httpx.Client(transport=)`` takes. Raises ``ConfigError`` for settings that cannot work;
    connects only when something is sent. Close it, or use it in a ``with`` statement.

    ``base_url`` names a fleet where it is several addresses (a sequence, or text with commas), a
    file with one a line (``@FILE`` or a path; read again when it changes), a name that resolves to
    them (``dns:NAME:PORT``), or a callable that returns them (both asked again every few seconds;
    to pickle the client, the callable must be one that pickle can name). Each request goes to the
    node with the least outstanding for its slots, elsewhere where a node does not answer; a session
    stays on its node. Raises ``MixedNodes`` where the nodes differ in image or version, unless
    ``mixed_nodes`` (``EXECBOX_MIXED_NODES``) is "allow", and ``NoNodeAvailable`` where none can
    take a request.

    >>> with Client("http://127.0.0.1:8080") as client:
    ...     response = client.execute("def main_solution(n): return n * 2", [{"n": 21}])
    >>> response.executions[0].output
    42
    """

    def __init__(
        self,
        base_url: Addresses | None = None,
        *,
        api_key: str | None = None,
        mixed_nodes: MixedNodesRule | None = None,
        config: ClientConfig | None = None,
        transport: SyncSeam | None = None,
    ) -> None:
        self.config = _config(base_url, api_key, mixed_nodes=mixed_nodes, config=config)
        self._seam = transport
        nodes = self.config.nodes
        self._transport: SyncTransport | SyncFleet = (
            SyncTransport(self.config, seam=transport)
            if nodes is None
            else SyncFleet(self.config, book=AddressBook(nodes), seam=transport)
        )

    def execute(
        self,
        function: wire.Function | str,
        calls: Sequence[CallLike],
        **options: Unpack[ExecuteOptions],
    ) -> wire.ExecuteResponse:
        """Run one function once per call, each in a process of its own; same order in the answer.

        ``function`` may be its source, then with ``entry_point`` (default ``main_solution``) and
        ``prelude``. A mapping among ``calls`` is keyword arguments, a list or tuple positional
        ones; ``wire.Call`` also takes an ``expression``. Other options: ``limits``, ``checks``,
        ``isolation``, ``profile``, ``convert``, ``non_finite`` (True lets arguments hold NaN and
        infinities; what they give is no ground truth); what is left out or None is the service's
        default.

        What the code did, an infinite loop included, is a status in the response and never an
        exception. Raises ``RequestError`` for the caller's mistakes (``InvalidRequest``, a
        ``ValueError``, names the path of a value JSON cannot carry), ``ServiceError`` when the
        service failed or stayed overloaded beyond the configured retries, and
        ``TransportError`` when no usable answer arrived.
        """
        return self._transport.send(_operations.execute(function, calls, **options))

    def generate(
        self,
        function: wire.Function | str,
        input_generator: wire.InputGenerator | str,
        **options: Unpack[GenerateOptions],
    ) -> wire.GenerateResponse:
        """Sample inputs with the generator, run them, and return the pairs that hold.

        Up to ``count`` (default 10) distinct pairs in at most ``attempts`` (1000) draws, seeded by
        ``seed`` (0): the same request gives the same pairs. Each pair passed the determinism check
        and the size rule unless ``checks`` says otherwise, and has its certificate. Every draw
        that gave no pair is in ``rejected`` by its reason, with the first ``examples``. Both
        sources share one namespace. Other options and what is raised: as for ``execute``.
        """
        return self._transport.send(_operations.generate(function, input_generator, **options))

    def verify(
        self,
        items: Sequence[wire.VerifyItem | Mapping[str, object]],
        **options: Unpack[VerifyOptions],
    ) -> wire.VerifyResponse:
        """What predictions are worth: a verdict and feedback for every item, in their order.

        An item is a ``wire.VerifyItem`` or a mapping of its fields: a ``prediction`` (the bare
        value) or a ``response`` (a model's text, from which the answer is extracted), of ``kind``
        input or output. Where the service failed at an item, its ``verdict`` is None and its
        ``error`` says why. ``feedback_templates`` replaces the wording of the feedback. Other
        options and what is raised: as for ``execute``.
        """
        return self._transport.send(_operations.verify(items, **options))

    def run(
        self,
        program: wire.Program | str,
        cases: Sequence[CaseLike] | None = None,
        **options: Unpack[RunOptions],
    ) -> wire.RunResponse:
        """Run a whole program as the main module, once per case; same order in the answer.

        ``program`` may be its source, then with ``arguments``, ``stdin``, ``files`` (contents by
        path), ``fetch`` (which files are sent back) and ``language``. A case is a ``wire.Case``, a
        mapping of its fields, or its stdin alone, as text or bytes; without ``cases`` the program
        is run once. ``expected`` is what it has to print, compared exactly where it is plain text.
        Other options: ``stop_at_first_failure``, ``limits`` (``wire.ProgramLimits``),
        ``isolation``, ``profile``. What is raised: as for ``execute``.
        """
        return self._transport.send(_operations.run(program, cases, **options))

    def session(self, **options: Unpack[SessionOptions]) -> Session:
        """An interpreter that keeps its variables from cell to cell, in a container of its own.

        To be used in a ``with`` statement (``async with`` for asyncio), which begins and ends it.
        Options: ``limits``
        (``wire.SessionLimits``), ``profile``, ``prelude``, ``files`` (contents by path),
        ``preload`` (packages to have imported before the first cell), ``idle_time_s``,
        ``lifetime_s``; what is left out or None is the service's default.
        """
        return Session(self._transport, **options)

    def batch(
        self, lines: Iterable[wire.BatchLine | Mapping[str, object]], *, concurrency: int = 4
    ) -> Generator[BatchResult, None, None]:
        """Many operations, any number of them, with their results as they finish, in any order.

        A line is a ``wire.ExecuteLine``, ``GenerateLine``, ``VerifyLine`` or ``RunLine``, or a
        mapping of its fields; results carry its ``id``. ``lines`` is read in the caller's thread,
        no further ahead than a few hundred lines (for each node of a fleet) or 64 MiB, and at most
        ``concurrency`` streams are open to each service.
        Every line gets exactly one result. What could not be sent, or stayed unanswered beyond
        the configured retries, is a result with ``error``; a line whose answer is a retryable
        error is sent again too. Raises what would be true of every line, such as
        ``AuthenticationError``, and of one service ``InvalidResponse``. Ending the iteration
        (``close``, or leaving the loop) ends the work.

        >>> for result in client.batch(lines):
        ...     keep(result.id, result.answer, result.error)
        """
        _check_concurrency(concurrency)
        return _batch_sync.run_batch(lines, transport=self._transport, concurrency=concurrency)

    def capabilities(self) -> wire.Capabilities:
        """What the service runs and permits: engine, packages, isolation levels, maxima.

        Of a fleet, what holds for every node that is ready: slots are their sum, maxima the
        lowest, packages and isolation levels those that all have.
        """
        return self._transport.send(_operations.capabilities())

    def healthz(self) -> wire.Health:
        """Whether the service's process is alive; says nothing about being able to run code."""
        return self._transport.send(_operations.healthz())

    def readyz(self) -> wire.Readiness:
        """Whether executions can run at this moment. Not ready is an answer, not an exception."""
        return self._transport.send(_operations.readyz())

    def wait_until_ready(self, *, timeout_s: float = 60.0) -> None:
        """Return as soon as the service can run executions, asking about four times a second.

        After ``timeout_s`` raises what the last attempt met: ``ServiceUnavailable`` with the
        service's reason, or ``TransportError`` if it does not answer. A rejected API key is
        raised at once.
        """
        self._transport.send(_operations.ready(), pacing=Polling(timeout_s))

    def nodes(self) -> Sequence[NodeReport]:
        """How each node of a fleet is, as this client sees it; nothing for one service."""
        return self._transport.reports()

    def close(self) -> None:
        """Close the connections; may be called twice. Call it when no request is under way."""
        self._transport.close()

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), self.config, self._seam)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _documented_as(twin: Callable[..., object]) -> Callable[[MethodT], MethodT]:
    def copy(method: MethodT) -> MethodT:
        method.__doc__ = twin.__doc__
        return method

    return copy


class AsyncClient:
    """``Client`` for asyncio, method for method; safe to share between tasks and event loops.

    Each loop has connections of its own, which end with it; a batch stays in the loop it began in.

    >>> async with AsyncClient("http://127.0.0.1:8080") as client:
    ...     response = await client.execute("def main_solution(n): return n * 2", [{"n": 21}])
    """

    def __init__(
        self,
        base_url: Addresses | None = None,
        *,
        api_key: str | None = None,
        mixed_nodes: MixedNodesRule | None = None,
        config: ClientConfig | None = None,
        transport: AsyncSeam | None = None,
    ) -> None:
        self.config = _config(base_url, api_key, mixed_nodes=mixed_nodes, config=config)
        self._seam = transport
        nodes = self.config.nodes
        self._transport: AsyncTransport | AsyncFleet = (
            AsyncTransport(self.config, seam=transport)
            if nodes is None
            else AsyncFleet(self.config, book=AddressBook(nodes), seam=transport)
        )

    @_documented_as(Client.execute)
    async def execute(
        self,
        function: wire.Function | str,
        calls: Sequence[CallLike],
        **options: Unpack[ExecuteOptions],
    ) -> wire.ExecuteResponse:
        return await self._transport.send(_operations.execute(function, calls, **options))

    @_documented_as(Client.generate)
    async def generate(
        self,
        function: wire.Function | str,
        input_generator: wire.InputGenerator | str,
        **options: Unpack[GenerateOptions],
    ) -> wire.GenerateResponse:
        return await self._transport.send(
            _operations.generate(function, input_generator, **options)
        )

    @_documented_as(Client.verify)
    async def verify(
        self,
        items: Sequence[wire.VerifyItem | Mapping[str, object]],
        **options: Unpack[VerifyOptions],
    ) -> wire.VerifyResponse:
        return await self._transport.send(_operations.verify(items, **options))

    @_documented_as(Client.run)
    async def run(
        self,
        program: wire.Program | str,
        cases: Sequence[CaseLike] | None = None,
        **options: Unpack[RunOptions],
    ) -> wire.RunResponse:
        return await self._transport.send(_operations.run(program, cases, **options))

    @_documented_as(Client.session)
    def session(self, **options: Unpack[SessionOptions]) -> AsyncSession:
        return AsyncSession(self._transport, **options)

    def batch(
        self,
        lines: AsyncIterable[wire.BatchLine | Mapping[str, object]]
        | Iterable[wire.BatchLine | Mapping[str, object]],
        *,
        concurrency: int = 4,
    ) -> AsyncGenerator[BatchResult, None]:
        """As ``Client.batch``, as an asynchronous generator; ``lines`` may be asynchronous too.

        Where the iteration may be left early, use ``contextlib.aclosing``, so that the work ends
        at once and not when the garbage collector finds the generator.
        """
        _check_concurrency(concurrency)
        return _batch_async.run_batch(lines, transport=self._transport, concurrency=concurrency)

    @_documented_as(Client.capabilities)
    async def capabilities(self) -> wire.Capabilities:
        return await self._transport.send(_operations.capabilities())

    @_documented_as(Client.healthz)
    async def healthz(self) -> wire.Health:
        return await self._transport.send(_operations.healthz())

    @_documented_as(Client.readyz)
    async def readyz(self) -> wire.Readiness:
        return await self._transport.send(_operations.readyz())

    @_documented_as(Client.wait_until_ready)
    async def wait_until_ready(self, *, timeout_s: float = 60.0) -> None:
        await self._transport.send(_operations.ready(), pacing=Polling(timeout_s))

    @_documented_as(Client.nodes)
    async def nodes(self) -> Sequence[NodeReport]:
        return await self._transport.reports()

    @_documented_as(Client.close)
    async def aclose(self) -> None:
        await self._transport.aclose()

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), self.config, self._seam)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def _restored(kind: type[ClientT], config: ClientConfig, transport: Any) -> ClientT:
    """What pickle makes a copy with."""
    return kind(config=config, transport=transport)


def _check_concurrency(concurrency: int) -> None:
    if concurrency < 1:
        raise InvalidRequest(f"concurrency must be 1 or more, not {concurrency}")


def _config(
    base_url: Addresses | None,
    api_key: str | None,
    *,
    mixed_nodes: MixedNodesRule | None,
    config: ClientConfig | None,
) -> ClientConfig:
    if config is None:
        return config_from_env(base_url, api_key=api_key, mixed_nodes=mixed_nodes)
    if any(given is not None for given in (base_url, api_key, mixed_nodes)):
        raise ConfigError("give either config, or base_url, api_key and mixed_nodes, not both")
    return config
