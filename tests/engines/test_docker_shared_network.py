"""Containers that join one empty network namespace: EXECBOX_SHARED_NETWORK, on the real engine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from harness.attacks.attack import Attack, run_attack
from harness.attacks.network import ATTACKS
from harness.bench import (
    Bench,
    bench_settings,
    containers_of,
    eventually,
    instance_of,
    started_bench,
)
from harness.docker_daemon import docker_client

from execbox_service.engines.container_spec import container_spec
from execbox_service.engines.docker.engine import DockerEngine
from execbox_service.settings import ConfigurationError, load_settings

NAMESPACES = ("net", "pid", "ipc", "mnt")
KEY_HASH = "0" * 64


WARM_COUNT = 2


def namespaces_of_containers(bench: Bench) -> list[list[int]]:
    """For each container of a service that is quiet: the inode of each of ``NAMESPACES``."""
    with docker_client() as client:
        ids = [each["Id"] for each in bench.containers()]
        pids = [client.inspect_container(name)["State"]["Pid"] for name in ids]
    return [[os.stat(f"/proc/{pid}/ns/{name}").st_ino for name in NAMESPACES] for pid in pids]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sharing() -> AsyncIterator[Bench]:
    """A service whose containers share a network namespace."""
    async with started_bench(pool_size=str(WARM_COUNT), shared_network="true") as started:
        yield started


def test_shared_network_with_two_keys_refuses_to_start() -> None:
    """Containers of different keys never share a namespace."""
    keys = f"a:{KEY_HASH},b:{KEY_HASH}"
    with pytest.raises(ConfigurationError, match=r"SHARED_NETWORK .* there are 2 keys"):
        load_settings({"shared_network": "true", "api_key_hashes": keys})


def test_shared_network_with_one_key_is_permitted() -> None:
    """One key's containers may."""
    loaded = load_settings({"shared_network": "true", "api_key_hashes": f"a:{KEY_HASH}"})
    assert loaded.shared_network


@pytest.mark.docker
async def test_container_joins_a_holder_that_was_replaced_while_it_was_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One who was given the name of the holder before the last still finds it; none is left."""
    settings = bench_settings(shared_network="true")
    engine = DockerEngine(container_spec(settings))
    await engine.start()
    try:
        given = await engine._network_holder()
        monkeypatch.setattr("execbox_service.engines.docker.engine._HOLDER_AGE_MAX_S", 0)
        names = [given, await engine._network_holder()]
        assert (await engine._create_named(given)).ready.interfaces == ["lo"]
        names.append(await engine._network_holder())
        there = {name for each in containers_of(instance_of(settings)) for name in each["Names"]}
        assert [f"/{name}" in there for name in names] == [False, True, True]
    finally:
        await engine.stop()
    assert containers_of(instance_of(settings)) == []


@pytest.mark.docker
class TestSharing:
    """Everything else holds as with a network of one's own."""

    pytestmark = pytest.mark.asyncio(loop_scope="module")

    async def test_containers_have_one_network_and_all_else_apart(self, sharing: Bench) -> None:
        """The network namespace is the same for all, no other is."""
        # Of containers that live at the same time: a number is given again when its owner is gone,
        # so what two executions read one after the other can be equal.
        await eventually(lambda: sharing.is_quiet(WARM_COUNT + 1))
        found = await asyncio.to_thread(namespaces_of_containers, sharing)
        different = [len(set(inodes)) for inodes in zip(*found, strict=True)]
        assert different == [1, len(found), len(found), len(found)]

    @pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
    @pytest.mark.parametrize("isolation", ["container", "process"])
    async def test_network_attack_ends_as_with_a_network_of_its_own(
        self, sharing: Bench, attack: Attack, isolation: str
    ) -> None:
        """Sockets are denied, so there is nothing to share."""
        await run_attack(sharing, attack, isolation=isolation)  # type: ignore[arg-type]

    async def test_holder_that_is_killed_is_replaced(self, sharing: Bench) -> None:
        """Containers that have joined live on; new ones join another."""
        engine = sharing.runtime._engine
        holder = engine._holder.name  # type: ignore[union-attr]
        with docker_client() as client:
            await asyncio.to_thread(client.kill, holder)
        await eventually(lambda: engine._holder.lost)  # type: ignore[union-attr]
        for number in range(4):
            ended = await sharing.call("def main_solution(x): return x + 1", number)
            assert ended.output == number + 1
        await eventually(lambda: engine._holder.name != holder)  # type: ignore[union-attr]
