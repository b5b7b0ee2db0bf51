"""``Backend``: what operations run on. Holds the parts together, and runs nothing itself."""

from __future__ import annotations

from dataclasses import dataclass

from execbox_service.engines.base import EngineFacts
from execbox_service.metrics import Metrics
from execbox_service.sandboxes.pool import Pool
from execbox_service.scheduling.caller import Caller
from execbox_service.scheduling.job_run import JobRun
from execbox_service.scheduling.slots import Slots

__all__ = ["Backend"]


@dataclass(frozen=True)
class Backend:
    """Slots, sandboxes, what the engine says of itself, and the metrics."""

    admission: Slots
    pool: Pool
    facts: EngineFacts
    metrics: Metrics
    answer_bytes_max: int
    """Largest answer to one request."""

    def job_run(self, caller: Caller, *, job_time_s: float) -> JobRun:
        """Executions on behalf of ``caller``, whose effort is counted however they end."""
        return JobRun(
            self.admission,
            self.pool,
            caller=caller,
            job_time_s=job_time_s,
            worked=self.metrics.worked,
        )
