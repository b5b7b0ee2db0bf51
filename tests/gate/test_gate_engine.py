"""The Docker engine through the gate: what engines must do, and what is left of it afterwards."""

from __future__ import annotations

import asyncio
import contextlib

import docker
import pytest
from harness.bench import Bench, bench_settings, containers_of, eventually, instance_of
from harness.docker_daemon import docker_client

from execbox.wire import Execution, Status
from execbox_service.failures import ServiceFailure
from execbox_service.sandboxes import selftest
from tests.engines import test_engine_conformance as conformance
from tests.gate.harness import bench_behind_gate, started_gate

pytestmark = [
    pytest.mark.docker,
    pytest.mark.asyncio(loop_scope="session"),
    # The SDK leaves the socket of a connection that failed to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

DOUBLE = "def main_solution(x): return x * 2"


async def retried(bench: Bench, number: int) -> Execution:
    """A call that is sent again while the service says that its engine is at fault."""
    for _ in range(50):
        with contextlib.suppress(ServiceFailure):
            return await bench.call(DOUBLE, number)
        await asyncio.sleep(0.2)
    raise AssertionError("the service did not recover")


@pytest.mark.parametrize("name", conformance.CASES)
async def test_execution_through_the_gate_ends_as_it_must(gate_bench: Bench, name: str) -> None:
    """Every status and every limit of the suite that all engines pass."""
    await conformance.test_execution_ends_as_it_must_and_the_next_is_unharmed(
        gate_bench, name, "process"
    )


@pytest.mark.parametrize("name", ["ok", "memory-over", "memory-raised", "wall-time"])
async def test_execution_in_its_own_container_through_the_gate_ends_as_it_must(
    gate_bench: Bench, name: str
) -> None:
    """The cases in which the gate has most to do: another limit, an OOM event, a removal."""
    await conformance.test_execution_ends_as_it_must_and_the_next_is_unharmed(
        gate_bench, name, "container"
    )


async def test_sandbox_through_the_gate_has_every_protection(gate_bench: Bench) -> None:
    """What the service proves at its start holds for a job behind the gate."""
    facts = await gate_bench.call(selftest.PROBE, entry_point="probe")
    assert selftest.missing_in_job(facts.output) == []


async def test_most_memory_an_operator_permits_passes_the_gate(gate_bench: Bench) -> None:
    """With what interpreters with packages get beyond it, in the largest update there can be."""
    limit_mb = gate_bench.settings.memory_mb_max
    ended = await gate_bench.call(
        "import numpy\ndef main_solution(x): return int(numpy.sum([x, x]))",
        21,
        limits={"memory_mb": limit_mb},
        isolation="process",
        principal="large",
    )
    assert (ended.status, ended.output) == (Status.OK, 42)


async def test_large_values_pass_the_gate_whole(gate_bench: Bench) -> None:
    """Megabytes in both directions, more than any buffer of the gate holds."""
    count = 8_000_000
    ended = await gate_bench.call(
        "def main_solution(count): return 'x' * count", count, limits={"output_bytes": 16 << 20}
    )
    assert (ended.status, ended.output) == (Status.OK, "x" * count)
    ended = await gate_bench.call("def main_solution(text): return len(text)", "y" * count)
    assert ended.output == count


async def test_service_behind_a_gate_leaves_no_container() -> None:
    """Sweep, use, stop: all through the gate, and nothing remains, a stranger's aside."""
    async with started_gate() as gate:
        async with bench_behind_gate(gate, pool_size="2") as bench:
            assert (await bench.call(DOUBLE, 4)).output == 8
            assert bench.containers() != []
        assert containers_of(instance_of(gate.settings)) == []


async def test_gate_remembers_nothing_of_containers_that_are_gone() -> None:
    """Used up, killed for memory, cancelled, removed by themselves: neither a connection nor a
    place under the maximum stays taken."""
    async with started_gate() as gate:
        async with bench_behind_gate(gate, pool_size="1") as bench:
            hungry = "def main_solution(): return len(bytearray(400 << 20))"
            asleep = "import time\ndef main_solution(): time.sleep(30)"
            running = [
                asyncio.create_task(bench.call(hungry, limits={"memory_mb": 64})),
                asyncio.create_task(bench.call(asleep)),
                asyncio.create_task(bench.call(DOUBLE, 1)),
            ]
            ended = await running[0]
            assert ended.status is Status.MEMORY_EXCEEDED
            running[1].cancel()
            await asyncio.gather(*running, return_exceptions=True)
            for container in bench.containers():
                await asyncio.to_thread(_kill, container["Id"])
            assert (await retried(bench, 5)).output == 10
        await eventually(lambda: not gate.server._tasks)
        assert gate.server._verbs._made == {}


def _kill(container_id: str) -> None:
    with docker_client() as client, contextlib.suppress(docker.errors.APIError):
        client.kill(container_id)


async def test_shared_network_works_through_the_gate() -> None:
    """Sandboxes join the empty network of another; only the sandbox is not theirs to choose."""
    async with started_gate(shared_network="true") as gate:
        async with bench_behind_gate(gate, pool_size="1", shared_network="true") as bench:
            assert (await bench.call(DOUBLE, 4)).output == 8
        assert containers_of(instance_of(gate.settings)) == []


async def test_gate_that_restarts_is_used_again_and_leaves_nothing() -> None:
    """Streams break and containers end with it; the service goes on with the next gate."""
    async with started_gate() as gate, bench_behind_gate(gate, pool_size="1") as bench:
        before = {container["Id"] for container in bench.containers()}
        await gate.stop()
        await gate.start()
        assert (await retried(bench, 5)).output == 10
        await eventually(lambda: not before & {c["Id"] for c in bench.containers()})


async def test_service_whose_settings_are_not_the_gates_is_told_which_option_differs() -> None:
    """An operator's mistake is named at the start: here, more CPU than the gate permits."""
    async with started_gate() as gate:
        with pytest.raises(ServiceFailure, match="NanoCpus"):
            async with bench_behind_gate(gate, container_cpu_count="2"):
                pass
    assert containers_of(instance_of(gate.settings)) == []


@pytest.mark.parametrize("image", ["execbox-no-such:1", "a.example/b/c@sha256:" + "ab" * 32])
async def test_daemon_without_the_image_is_said_through_the_gate(image: str) -> None:
    """As without a gate: which image, and what to do."""
    async with started_gate(image=image) as gate:
        with pytest.raises(ServiceFailure, match="make image"):
            async with bench_behind_gate(gate, image=image):
                pass


async def test_container_of_an_earlier_gate_is_swept_by_the_service() -> None:
    """What carries the instance's label may be removed, though this gate did not make it."""
    settings = bench_settings()
    with docker_client() as client:
        name = "execbox-0123456789abcdef"
        client.create_container(
            settings.image, name=name, labels={"org.execbox.sandbox": instance_of(settings)}
        )
        try:
            async with (
                started_gate(port=str(settings.port)) as gate,
                bench_behind_gate(gate, pool_size="0") as bench,
            ):
                assert name not in {c["Names"][0].lstrip("/") for c in bench.containers()}
        finally:
            with contextlib.suppress(docker.errors.NotFound):
                client.remove_container(name, force=True)
