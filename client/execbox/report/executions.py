"""Counting what the service answered: statuses, causes, sizes, and the time and memory used.

Reads answers of the four operations, as ``/v1/batch`` and ``--json`` write them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from execbox import wire
from execbox.report.counts import Spread, WordCounts, refuse_vast

__all__ = ["ExecutionCounts"]

_MS = 2.0**-10
"""About a millisecond: the smallest time that is told from others."""


class ExecutionCounts:
    """Executions of functions and runs of programs.

    What adds an answer raises ``BadRecord`` for numbers beyond all counting, and counts nothing
    of that answer then.
    """

    def __init__(self) -> None:
        self.statuses: defaultdict[str, WordCounts] = defaultdict(WordCounts)
        """By the operation that was asked for."""
        self.verdicts = WordCounts()
        """Of programs that were to print something."""
        self.causes = WordCounts()
        """Of executions that are not deterministic."""
        self.checked_count = 0
        """Executions whose determinism was checked."""
        self.rules = WordCounts()
        """Of object size, by executions that broke them."""
        self.cpu_time_s = Spread(smallest=_MS)
        self.wall_time_s = Spread(smallest=_MS)
        self.peak_memory_bytes = Spread(smallest=2.0**20)
        self.queue_time_s = Spread(smallest=_MS)
        """Of requests."""
        self.errors = WordCounts()
        """Requests and items without an answer, by error code."""

    def add_execute(self, response: wire.ExecuteResponse) -> None:
        """An answer of ``/v1/execute``."""
        refuse_vast([response.queue_time_s])
        _refuse_vast_usage(execution.usage for execution in response.executions)
        self.queue_time_s.add(response.queue_time_s)
        for execution in response.executions:
            self._add_execution(execution, operation="execute")

    def add_generate(self, response: wire.GenerateResponse) -> None:
        """An answer of ``/v1/generate``, which says how long it waited."""
        self.queue_time_s.add(response.queue_time_s)

    def add_verify(self, response: wire.VerifyResponse) -> None:
        """An answer of ``/v1/verify``: what it ran, and the items it has no verdict for."""
        executions = (item.execution for item in response.items)
        _refuse_vast_usage(each.usage for each in executions if each is not None)
        for item in response.items:
            if item.execution is not None:
                self._add_execution(item.execution, operation="verify")
            if item.error is not None:
                self.errors.add(item.error.code)

    def add_run(self, response: wire.RunResponse) -> None:
        """An answer of ``/v1/run``."""
        refuse_vast([response.queue_time_s])
        _refuse_vast_usage(run.usage for run in response.runs)
        self.queue_time_s.add(response.queue_time_s)
        for run in response.runs:
            self.add_program_run(run)

    def add_program_run(self, run: wire.ProgramRun) -> None:
        """One run of a program."""
        _refuse_vast_usage([run.usage])
        self.statuses["run"].add(run.status)
        self._add_usage(run.usage)
        if run.verdict is not None:
            self.verdicts.add(run.verdict)

    def add_cell(self, cell: wire.CellResponse) -> None:
        """One cell of a session."""
        _refuse_vast_usage([cell.usage])
        self.statuses["session"].add(cell.status)
        self._add_usage(cell.usage)

    def add_failed(self, answer: wire.FailedAnswer) -> None:
        """A request that has no answer."""
        self.errors.add(answer.error.code)

    def _add_execution(self, execution: wire.Execution, *, operation: str) -> None:
        self.statuses[operation].add(execution.status)
        self._add_usage(execution.usage)
        if execution.determinism is not None:
            self.checked_count += 1
            if execution.determinism.cause is not None:
                self.causes.add(execution.determinism.cause)
        if execution.complexity is not None:
            for rule in {violation.rule for violation in execution.complexity.violations}:
                self.rules.add(rule)

    def _add_usage(self, usage: wire.Usage | None) -> None:
        if usage is not None:
            self.cpu_time_s.add(usage.cpu_time_s)
            self.wall_time_s.add(usage.wall_time_s)
            self.peak_memory_bytes.add(usage.peak_memory_bytes)


def _refuse_vast_usage(usages: Iterable[wire.Usage | None]) -> None:
    for usage in usages:
        if usage is not None:
            refuse_vast([usage.cpu_time_s, usage.wall_time_s, usage.peak_memory_bytes])
