"""Sandboxes that lack one protection, made for tests only: there is no setting that does this.

A container's options are changed before it is made; the runner is changed by mounting an edited
copy over it. With each, an attack succeeds that otherwise does not, or the self-test names it.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.bench import bench_settings, held_port

from execbox.wire import ExecuteRequest, Execution
from execbox_service.engines.container_spec import container_spec
from execbox_service.engines.docker.engine import DockerEngine
from execbox_service.failures import ServiceFailure
from execbox_service.metrics import Metrics
from execbox_service.operations.backend import Backend
from execbox_service.operations.execute import execute
from execbox_service.sandboxes import selftest
from execbox_service.sandboxes.pool import Pool, PoolLimits
from execbox_service.scheduling.admission import Admission
from execbox_service.scheduling.caller import Caller

RUNNER = Path(__file__).resolve().parents[1] / "sandbox-image" / "execbox_runner"
_RUNNER_IN_IMAGE = "/usr/lib/execbox/execbox_runner"

Edits = Mapping[str, tuple[tuple[str, str], ...]]
"""By file of the runner: what stands there, and what is to stand there instead."""


@dataclass(frozen=True)
class Weakened:
    """A service of sandboxes that lack something."""

    backend: Backend
    expected: selftest.Expected
    instance: str
    """The value of the label that its containers carry."""

    async def calls(
        self, code: str, *inputs: list[Any], principal: str = "test", **fields: Any
    ) -> list[Execution]:
        """Run one call for each list of positional arguments."""
        body = {
            "function": {"code": code},
            "calls": [{"args": args} for args in inputs],
            "isolation": "process",
        }
        request = ExecuteRequest.model_validate(body | fields)
        response = await execute(self.backend, request, caller=Caller(principal))
        return list(response.executions)

    async def call(self, code: str, *args: Any, **fields: Any) -> Execution:
        """Run one call."""
        (execution,) = await self.calls(code, list(args), **fields)
        return execution

    async def missing(self) -> str:
        """What the start-up self-test says of such sandboxes; empty where it finds nothing."""
        try:
            await selftest.prove(self.backend.pool, self.expected)
        except ServiceFailure as failure:
            return failure.message
        return ""


@contextlib.asynccontextmanager
async def weakened(
    *,
    options: Mapping[str, Any] | None = None,
    edits: Edits | None = None,
    answer_grace_s: float = 30.0,
    slot_count: int = 1,
) -> AsyncIterator[Weakened]:
    """Sandboxes whose container options (as the Docker API names them) or runner are changed.

    With one slot the calls of a job follow each other in one container as long as it lasts.
    """
    with contextlib.ExitStack() as stack:
        spec = container_spec(bench_settings(port=str(stack.enter_context(held_port()))))
        engine = DockerEngine(spec)
        changes = dict(options or {})
        if edits:
            changes["Binds"] = [
                f"{stack.enter_context(edited_runner(edits))}:{_RUNNER_IN_IMAGE}:ro"
            ]
        facts = await engine.start()
        engine._options.update(changes)
        limits = PoolLimits(
            warm_count=1,
            idle_count=2,
            memory_mb=spec.memory_mb,
            cpu_count=spec.cpu_count,
            executions_max=1000,
            age_max_s=600,
            answer_grace_s=answer_grace_s,
        )
        pool = Pool(engine, limits)
        pool.start()
        admission = Admission(slot_count=slot_count, queue_size=10, queue_wait_max_s=30)
        expected = selftest.Expected(
            memory_limit_bytes=spec.memory_bytes(spec.memory_mb),
            open_file_count=spec.open_file_count,
        )
        try:
            yield Weakened(
                Backend(admission, pool, facts, Metrics(), answer_bytes_max=2**24),
                expected,
                spec.instance,
            )
        finally:
            await pool.stop()
            await engine.stop()


@contextlib.contextmanager
def edited_runner(edits: Edits) -> Any:
    """A copy of the runner with these edits, each of text that stands there exactly once."""
    with tempfile.TemporaryDirectory(prefix="execbox-edited-") as folder:
        copy = Path(folder) / "execbox_runner"
        shutil.copytree(RUNNER, copy, ignore=shutil.ignore_patterns("__pycache__"))
        for name, changes in edits.items():
            text = (copy / name).read_text("utf-8")
            for there, instead in changes:
                assert text.count(there) == 1, f"{name} has {there!r} {text.count(there)} times"
                text = text.replace(there, instead)
            (copy / name).write_text(text, "utf-8")
        Path(folder).chmod(0o755)
        yield copy
