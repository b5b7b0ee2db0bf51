"""The composition: looking after the sandboxes on a timer, ending, what it says of itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from execbox_service.engines.base import EngineUnavailable
from execbox_service.failures import ServiceFailure
from execbox_service.runtime import Runtime
from execbox_service.sandboxes.pool import Pool
from execbox_service.settings import load_settings
from tests.fake_engine import FACTS, FakeEngine
from tests.sandboxes.test_pool import until
from tests.virtual_time import now_s, run_in_virtual_time

SWEEP_INTERVAL_S = 0.01


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """What a service finds when it looks for an engine; it has nothing to prove."""
    found = FakeEngine()

    async def choose(*_ignored: object) -> tuple[FakeEngine, object]:
        return found, FACTS

    async def prove(*_ignored: object) -> None:
        pass

    monkeypatch.setattr("execbox_service.runtime.choose_engine", choose)
    monkeypatch.setattr("execbox_service.runtime.selftest.prove", prove)
    return found


@contextlib.asynccontextmanager
async def started(**overrides: str) -> AsyncIterator[Runtime]:
    settings = load_settings(overrides).model_copy(update={"sweep_interval_s": SWEEP_INTERVAL_S})
    runtime = Runtime(settings)
    await runtime.start()
    try:
        yield runtime
    finally:
        await runtime.stop()


def failing(times: int, error: Exception) -> Callable[..., None]:
    """Raise so many times, then do nothing."""
    left = [error] * times

    def fail(*_ignored: object) -> None:
        if left:
            raise left.pop()

    return fail


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (EngineUnavailable("the daemon is away"), "the daemon is away"),
        (KeyError("Names"), "KeyError: 'Names'"),
    ],
    ids=["engine", "bug"],
)
async def test_sweep_that_fails_is_trouble_until_one_succeeds(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    """Whatever one sweep ends in, the next one is made."""
    mended = False

    async def sweep() -> int:
        if not mended:
            raise error
        return 0

    monkeypatch.setattr(engine, "sweep", sweep)
    async with started() as runtime:
        await until(lambda: runtime.readiness().reason == reason)
        mended = True
        await until(lambda: runtime.readiness().ready)


def test_sweep_that_failed_is_tried_again_long_before_the_next_is_due(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a daemon that is back after a moment is not reported as away for an hour."""
    swept_s: list[float] = []

    async def sweep() -> int:
        swept_s.append(now_s())
        if len(swept_s) < 3:
            raise EngineUnavailable("the daemon is away")
        return 0

    async def serve() -> None:
        runtime = Runtime(load_settings({"sweep_interval_s": "1000"}))
        await runtime.start()
        await asyncio.sleep(2500)
        await runtime.stop()

    monkeypatch.setattr(engine, "sweep", sweep)
    run_in_virtual_time(serve())
    assert [round(each) for each in swept_s] == [1000, 1002, 1004, 2004]


async def test_recycling_that_fails_is_trouble_and_the_stop_removes_everything(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in looking after sandboxes must not leave them behind."""
    async with started() as runtime:
        await until(lambda: runtime.readiness().ready)
        monkeypatch.setattr(Pool, "recycle", failing(100, ValueError("a bug")))
        await until(lambda: runtime._trouble == "ValueError: a bug")
    assert engine.stopped
    assert not engine.living


async def test_capabilities_give_the_operators_limits_and_lower_defaults_to_them(
    engine: FakeEngine,
) -> None:
    """A default that is above the maximum is the maximum."""
    async with started(cpu_time_s_max="1.5", memory_mb_max="128") as runtime:
        able = runtime.capabilities()
    assert able.limits_max == {
        "cpu_time_s": 1.5,
        "wall_time_s": 120,
        "memory_mb": 128,
        "output_bytes": 16 * 2**20,
        "stdout_bytes": 2**20,
        "job_time_s": 3600,
        "files_bytes": 16 * 2**20,
        "compile_time_s": 60,
    }
    assert set(able.limits_default) == set(able.limits_max)
    assert able.limits_default["cpu_time_s"] == 1.5
    assert able.limits_default["memory_mb"] == 128
    assert able.limits_default["stdout_bytes"] < 2**20


async def test_start_where_no_sandbox_can_be_made_says_why_to_the_operator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Podman refused each container, and the service said to send it again later."""
    monkeypatch.setattr("execbox_service.sandboxes.pool._BACKOFF_MIN_S", 0.02)
    found = FakeEngine(unavailable="the Docker daemon: no such profile")

    async def choose(*_ignored: object) -> tuple[FakeEngine, object]:
        return found, FACTS

    monkeypatch.setattr("execbox_service.runtime.choose_engine", choose)
    runtime = Runtime(load_settings({}))
    with pytest.raises(ServiceFailure) as failure:
        await runtime.start()
    assert "the engine fake answers, but makes no sandbox" in failure.value.message
    assert "no such profile" in failure.value.message
    assert "execbox doctor" in failure.value.message
    assert "again" not in failure.value.message
