"""Running one call under a chosen variation, as the determinism check does. No tests."""

from __future__ import annotations

import time

from harness.bench import Bench

from execbox.wire import Execution, Function, Limits
from execbox_service.operations.job_payloads import Options, function_jobs
from execbox_service.operations.judging import judged
from execbox_service.sandboxes.driver import Attempt, Variation, call_payload
from execbox_service.scheduling.caller import Caller

DAY_S = 86_400


async def run_varied(bench: Bench, code: str, variation: Variation) -> Execution:
    """``main_solution()`` of a source, once, in a container of its own key."""
    backend = bench.runtime._started
    limits = Limits()
    options = Options(
        limits=limits,
        isolation="process",
        profile="default",
        convert="none",
        imports=backend.facts.imports,
        varied=True,
    )
    job = function_jobs(Function(code=code), options).rerun
    async with backend.job_run(Caller("test"), job_time_s=limits.job_time_s) as run:
        (ended,) = await run.run(job, [Attempt(call_payload({"args": []}), variation)])
    return judged(ended, limits=limits)


def clock(**settings: int) -> Variation:
    """An interpreter under the clock preload: ``offset_s``, ``frozen_s``, ``step_ns``."""
    from execbox_service.operations.variations import CLOCK_LIBRARY

    names = {name: f"EXECBOX_CLOCK_{name.upper()}" for name in settings}
    return Variation(
        interpreter=(
            ("LD_PRELOAD", CLOCK_LIBRARY),
            *((names[name], str(value)) for name, value in settings.items()),
        )
    )


def seconds_from_now(moment_s: float) -> float:
    """How far a date of the sandbox is from ours."""
    return moment_s - time.time()
