"""``Generate``, ``Certify``, ``Verify`` and ``Run``: what Ray Data's ``map_batches`` calls.

Each does one step of a dataset for the rows of a batch, many at once, through a client of a fleet.
Ray itself is not needed here: a batch is a ``pyarrow.Table``.

**Rows.** A column ``text`` holds the record as JSON, as ``ray.data.read_text`` reads it of JSONL;
other columns are handed on. Without that column the columns are the record's members, as in a
Parquet file of functions; members with a form of their own in every row (``ios``, ``cases``) need
the column ``text``, because Arrow would give all of them one form. The result is in ``text``, so
that transforms follow each other; where a record has none, ``text`` is null and ``failure`` says
why, as a line of an error file does. Rows that are null already are handed on as they are. With a
column ``line`` (from 0) a record without an ``id`` is called by its line, as in a file.

**Failures.** What the code did, and a record that cannot be used, is in the row. A service that
does not answer at all ends the job; a failed request of ours is a row with ``retry``.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from pydantic import ValidationError

from execbox import wire
from execbox._addresses import Addresses
from execbox.client import AsyncClient
from execbox.config import ClientConfig, config_from_env
from execbox.dataset.files.json_lines import BadRecord, Value, encode_line, parse_line
from execbox.dataset.files.records import Record, digest_of, own_id
from execbox.dataset.steps.certify import open_certify_step
from execbox.dataset.steps.generate import GenerateOptions, open_generate_step
from execbox.dataset.steps.patience import Patience
from execbox.dataset.steps.run_options import RunOptions, fastest_isolation
from execbox.dataset.steps.step import OpenStep, Step, Worked, per_record
from execbox.dataset.steps.verdicts import VerifyOptions
from execbox.dataset.steps.verify import open_verify_step
from execbox.errors import ConfigError, ExecboxError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Certify", "Generate", "Run", "Verify"]

_TEXT: Final = "text"
_LINE: Final = "line"
_FAILURE: Final = "failure"


@runtime_checkable
class _Fleet(Protocol):
    """``fleet.Fleet``, which needs Ray."""

    def __call__(self) -> Iterable[str]: ...

    def config(self) -> ClientConfig:
        """The settings of a client of it."""


class _Transform(ABC):
    """A step for the rows of a batch. Made in each of Ray Data's actors, where it keeps its client.

    ``service`` is a ``Fleet``, or whatever ``AsyncClient`` takes for an address, with ``api_key``
    (by default ``EXECBOX_API_KEY`` of the worker's environment).
    """

    def __init__(
        self,
        service: _Fleet | Addresses,
        options: Any = None,
        *,
        api_key: str | None = None,
    ) -> None:
        self._config = _config_of(service, api_key)
        self._options = options
        self._loop = asyncio.Runner()
        self._opened = AsyncExitStack()
        self._step: Step | None = None

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The same rows, with what the step made of them."""
        rows = _rows_of(batch)
        try:
            self._loop.run(self._work_on(rows))
        except* ExecboxError as failures:
            # One says it: the others are of requests that were under way beside it.
            raise _first_of(failures) from failures
        return _with_results(batch, rows)

    def close(self) -> None:
        """Let go of the client, where a program calls the transform itself; Ray ends its actors."""
        self._loop.run(self._opened.aclose())
        self._loop.close()

    @abstractmethod
    def _open(self, client: AsyncClient) -> OpenStep:
        """The step, for a client that it opens."""

    async def _work_on(self, rows: Sequence[_Row]) -> None:
        step = self._step
        if step is None:
            client = AsyncClient(config=self._config)
            step = self._step = await self._opened.enter_async_context(self._open(client))
        usable = [row for row in rows if row.read(non_finite=step.non_finite)]
        permitted = asyncio.Semaphore(step.concurrency)

        async def work(chunk: Sequence[_Row]) -> None:
            async with permitted:
                results = await step.work([row.record for row in chunk if row.record is not None])
            for row, result in zip(chunk, results, strict=True):
                row.take(result)

        async with asyncio.TaskGroup() as tasks:
            for first in range(0, len(usable), step.chunk_count):
                tasks.create_task(work(usable[first : first + step.chunk_count]))


class Generate(_Transform):
    """Samples pairs for functions that have an ``input_generator``, as ``execbox generate``.

    ``options`` are ``GenerateOptions``.
    """

    def _open(self, client: AsyncClient) -> OpenStep:
        return open_generate_step(client, self._options or GenerateOptions())


class Certify(_Transform):
    """Runs the pairs in ``ios`` again and keeps those that hold, as ``execbox certify``.

    ``options`` are ``RunOptions``. ``itemid`` in the results is the column ``line``, where there
    is one, else of no use.
    """

    def _open(self, client: AsyncClient) -> OpenStep:
        return open_certify_step(client, self._options or RunOptions())


class Verify(_Transform):
    """Says what answers are worth, as ``execbox verify``, for records with ``refcode`` and ``io``.

    ``options`` are ``VerifyOptions``.
    """

    def _open(self, client: AsyncClient) -> OpenStep:
        return open_verify_step(client, self._options or VerifyOptions())


class Run(_Transform):
    """Runs the program that each record is, and adds ``runs``: what ``/v1/run`` answers.

    A record has ``code``, and of ``language``, ``arguments``, ``stdin``, ``files``, ``fetch``,
    ``cases`` and ``expected`` what it needs, as a request has them. ``options`` are
    ``wire.ProgramLimits``.
    """

    def _open(self, client: AsyncClient) -> OpenStep:
        return _open_run_step(client, self._options or wire.ProgramLimits())


@asynccontextmanager
async def _open_run_step(client: AsyncClient, limits: wire.ProgramLimits) -> AsyncIterator[Step]:
    async with client:
        permitted = await client.capabilities()
        isolation = fastest_isolation(permitted)
        patience = Patience()

        async def run(record: Record) -> Value:
            request = _run_request(record.value)
            try:
                response = await client.run(
                    request.program,
                    request.cases,
                    expected=request.expected,
                    limits=limits,
                    isolation=isolation,
                )
            except ExecboxError as error:
                raise patience.problem_of(error) from error
            patience.answered()
            answer = response.model_dump(mode="json")
            return record.value | {"runs": answer["runs"]}

        yield Step(
            name="run",
            settings={"limits": limits.model_dump()},
            work=per_record(run),
            reason_of=lambda _: "run",
            concurrency=permitted.concurrency + 1,
        )


def _run_request(value: Value) -> wire.RunRequest:
    program = {name: value[name] for name in wire.Program.model_fields if name in value}
    besides = {name: value[name] for name in ("cases", "expected") if name in value}
    try:
        return wire.RunRequest.model_validate({"program": program, **besides})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise BadRecord(f"{where}: {first['msg']}", reason="invalid_field") from error


def _config_of(service: _Fleet | Addresses, api_key: str | None) -> ClientConfig:
    if api_key is None and isinstance(service, _Fleet):
        return service.config()
    return config_from_env(service, api_key=api_key)


def _first_of(failures: BaseExceptionGroup[ExecboxError]) -> ExecboxError:
    first = failures.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first


@dataclass(slots=True)
class _Row:
    """One row of a batch: what it holds, the record it is, and what became of that."""

    given: str | Value | None
    line: int | None
    failure: str | None
    record: Record | None = None
    text: str | None = None

    def read(self, *, non_finite: bool) -> bool:
        """Whether there is a record to work on; else ``failure`` says why."""
        if self.given is None:
            return False
        try:
            text = self.given if isinstance(self.given, str) else json.dumps(self.given)
            value = parse_line(text.encode("utf-8", "surrogatepass"), non_finite=non_finite)
        except (BadRecord, TypeError, ValueError) as error:
            reason = error.reason if isinstance(error, BadRecord) else "not_json"
            self.failure = _failure(None, BadRecord(str(error), reason=reason))
            return False
        name = own_id(value)
        if name is None:
            name = f"{digest_of(text):016x}" if self.line is None else str(self.line)
        self.record = Record(
            source="row", number=(self.line or 0) + 1, id=name, value=value, end_bytes=0
        )
        return True

    def take(self, worked: Worked) -> None:
        """Keep what the step made of the record."""
        if self.record is None:
            raise ValueError("a row without a record has no result")
        name = self.record.id
        try:
            if isinstance(worked, BadRecord):
                raise worked
            self.text = encode_line({"id": name} | worked | {"id": name}).decode().rstrip("\n")
        except BadRecord as problem:
            self.failure = _failure(name, problem)


def _failure(name: str | None, problem: BadRecord) -> str:
    entry: Value = {
        "id": name,
        "reason": problem.reason,
        "message": problem.args[0],
        "retry": problem.retry,
    }
    if problem.detail is not None:
        entry["detail"] = problem.detail
    return encode_line(entry).decode().rstrip("\n")


def _rows_of(batch: pa.Table) -> list[_Row]:
    if not hasattr(batch, "column_names"):
        raise ConfigError(
            f"a batch must be a pyarrow.Table, not a {type(batch).__name__}: call map_batches with "
            'batch_format="pyarrow"'
        )
    names = set(batch.column_names)
    given = batch.column(_TEXT).to_pylist() if _TEXT in names else batch.to_pylist()
    lines = batch.column(_LINE).to_pylist() if _LINE in names else [None] * len(given)
    failures = batch.column(_FAILURE).to_pylist() if _FAILURE in names else [None] * len(given)
    return [_Row(*of_row) for of_row in zip(given, lines, failures, strict=True)]


def _with_results(batch: pa.Table, rows: Sequence[_Row]) -> pa.Table:
    import pyarrow as pa

    kept = {}
    if _TEXT in batch.column_names:
        ours = (_TEXT, _FAILURE)
        kept = {name: batch.column(name) for name in batch.column_names if name not in ours}
    texts, failures = [row.text for row in rows], [row.failure for row in rows]
    made = {_TEXT: pa.array(texts, pa.string()), _FAILURE: pa.array(failures, pa.string())}
    return pa.table(kept | made)
