"""The Docker engine's containers: made ahead, used once, found by label, gone at the end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import textwrap
from pathlib import Path
from typing import Any

import docker
import pytest
from harness.bench import (
    IMAGE,
    Bench,
    bench_settings,
    containers_of,
    eventually,
    instance_of,
    started_bench,
)
from harness.docker_daemon import docker_client, open_docker

from execbox.wire import Status
from execbox_service.engines.base import EngineUnavailable
from execbox_service.engines.container_spec import container_spec
from execbox_service.engines.docker.engine import DockerEngine
from execbox_service.engines.docker.policy import LABEL
from execbox_service.failures import ServiceFailure
from execbox_service.runtime import Runtime

pytestmark = pytest.mark.docker

ROOT = Path(__file__).resolve().parents[2]
DOUBLE = "def main_solution(x): return x * 2"
SLEEP = "import time\ndef main_solution(s):\n    time.sleep(s)\n    return 'slept'"


def labelled_container(instance: str, *, start: bool) -> str:
    """A container that carries the label of a service, made behind its back."""
    client = docker.from_env()
    try:
        container = client.containers.create(
            IMAGE, ["sleep", "300"], labels={LABEL: instance}, network_mode="none"
        )
        if start:
            container.start()
        name = str(container.name)
    finally:
        client.close()
    return name


def remove(name: str) -> None:
    """Remove a container if it is there."""
    client = open_docker()
    try:
        client.remove_container(name, force=True)
    except docker.errors.NotFound:
        pass
    finally:
        client.close()


async def test_service_keeps_as_many_containers_as_asked_and_removes_all_at_the_end() -> None:
    """Warm containers are there before anybody asks, refilled after use, gone after the stop."""
    async with started_bench(pool_size="2") as bench:
        await eventually(lambda: bench.is_quiet(2))
        names = {container["Names"][0] for container in bench.containers()}
        ended = await bench.call(DOUBLE, 4)
        assert ended.output == 8

        def refilled() -> bool:
            now = {container["Names"][0] for container in bench.containers()}
            return len(now) == 2 and len(now & names) == 1

        await eventually(refilled)
        instance = instance_of(bench.settings)
    assert containers_of(instance) == []


async def test_service_that_starts_removes_what_an_earlier_one_left() -> None:
    """Containers with its own label are swept at the start, running or not; others' are not."""
    settings = bench_settings()
    left = [labelled_container(instance_of(settings), start=start) for start in (True, False)]
    others = labelled_container("another:1", start=True)
    runtime = Runtime(settings)
    try:
        await runtime.start()
        names = {c["Names"][0].lstrip("/") for c in containers_of(instance_of(settings))}
        assert not names & set(left)
        assert [c["Names"] for c in containers_of("another:1")] == [[f"/{others}"]]
        assert (await Bench(runtime, settings).call(DOUBLE, 1)).output == 2
    finally:
        await runtime.stop()
        for name in [*left, others]:
            remove(name)
    assert containers_of(instance_of(settings)) == []


async def test_container_that_nobody_owns_stays_where_nobody_sweeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The daemon itself removes none: without the sweep, each crash would leave its containers."""
    spec = container_spec(bench_settings())
    left = labelled_container(spec.instance, start=True)
    engine = DockerEngine(spec)

    async def never(_engine: DockerEngine, *, everything: bool = False) -> int:
        return 0 * everything

    try:
        with monkeypatch.context() as patch:
            patch.setattr(DockerEngine, "sweep", never)
            await engine.start()
            await asyncio.sleep(1)
            assert [each["Names"] for each in containers_of(spec.instance)] == [[f"/{left}"]]
        assert await engine.sweep(everything=True) == 1
        assert containers_of(spec.instance) == []
    finally:
        await engine.stop()
        remove(left)


async def test_sweep_removes_what_appeared_behind_the_services_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On its timer a service removes old containers of its label that it does not use."""
    # Not at once: other services of this machine have containers that are not started yet.
    monkeypatch.setattr("execbox_service.engines.docker.orphans.ABANDONED_S", 4)
    async with started_bench(sweep_interval_s="1") as bench:
        name = labelled_container(instance_of(bench.settings), start=True)
        try:
            await eventually(
                lambda: name not in {c["Names"][0].lstrip("/") for c in bench.containers()}
            )
            assert (await bench.call(DOUBLE, 3)).output == 6
        finally:
            remove(name)


async def test_container_has_what_the_policy_asks_for() -> None:
    """Read back from the daemon: the options arrived, and nothing of a request is in them."""
    async with started_bench(pool_size="1") as bench:
        needle = "needle_in_the_code"
        running = asyncio.create_task(
            bench.call(SLEEP + f"\n# {needle}", 1.0, principal=f"key-{needle}")
        )
        await asyncio.sleep(0.5)
        with docker_client() as client:
            facts = [client.inspect_container(c["Id"]) for c in bench.containers()]
        await running
    assert facts
    for found in facts:
        assert needle not in str(found)
        host: dict[str, Any] = found["HostConfig"]
        assert (host["NetworkMode"], host["ReadonlyRootfs"]) == ("none", True)
        assert (host["CapDrop"], host["Privileged"]) == (["ALL"], False)
        assert host["Memory"] == host["MemorySwap"] == (512 + 128) * 2**20
        assert (host["PidsLimit"], host["LogConfig"]["Type"]) == (128, "none")
        assert not host["Binds"]
        assert not found["Mounts"]
        assert found["Config"]["Labels"][LABEL] == instance_of(bench.settings)


async def test_container_gets_nothing_of_the_operators_docker_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Docker client puts proxies of its configuration, passwords included, into containers."""
    proxy = "http://user:secret@proxy.example:3128"
    (tmp_path / "config.json").write_text(
        json.dumps({"proxies": {"default": {"httpProxy": proxy}}})
    )
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    async with started_bench(pool_size="1") as bench:
        with docker_client() as client:
            facts = [client.inspect_container(c["Id"]) for c in bench.containers()]
    assert facts
    assert "secret" not in json.dumps(facts)


async def test_cancelled_request_ends_its_work_at_once() -> None:
    """A client that goes away takes its container with it."""
    async with started_bench(pool_size="1") as bench:
        before = {container["Id"] for container in bench.containers()}
        running = asyncio.create_task(bench.call(SLEEP, 8.0))
        await asyncio.sleep(0.5)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await eventually(lambda: not before & {c["Id"] for c in bench.containers()}, within_s=5)
        assert (await bench.call(DOUBLE, 5)).output == 10


SERVICE = """
import asyncio, sys
sys.path.insert(0, {root!r})
from execbox.wire import ExecuteRequest
from harness.bench import Bench, bench_settings
from execbox_service.runtime import Runtime

async def main():
    settings = bench_settings(port={port!r}, pool_size="2")
    runtime = Runtime(settings)
    await runtime.start()
    bench = Bench(runtime, settings)
    busy = [asyncio.create_task(bench.call({code!r}, 60.0, limits={{"wall_time_s": 90}},
                                           isolation=level))
            for level in ("container", "process")]
    await asyncio.sleep(1)
    print("busy", flush=True)
    await asyncio.gather(*busy)

asyncio.run(main())
"""


async def test_service_killed_leaves_no_container_ten_seconds_later() -> None:
    """kill -9: warm, busy and shared containers end by themselves when their stream ends."""
    port = bench_settings().port
    code = textwrap.dedent(SERVICE).format(root=str(ROOT), port=str(port), code=SLEEP)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, env=dict(os.environ), cwd=ROOT
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            assert await process.stdout.readline() == b"busy\n"
        instance = f"127.0.0.1:{port}"
        assert len(containers_of(instance)) >= 3
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    await eventually(lambda: containers_of(instance) == [], within_s=10)


# The SDK leaves the socket of a connection that failed to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("docker_host", "said"),
    [
        ("unix:///nowhere/docker.sock", "Docker daemon"),
        ("tcp://127.0.0.1:9", "Docker daemon"),
        ("ssh://nobody@127.0.0.1:9", "docker"),
    ],
)
async def test_daemon_that_cannot_be_reached_is_said_at_the_start(
    docker_host: str, said: str
) -> None:
    """No daemon: a clear failure at the start, not at the first request."""
    runtime = Runtime(bench_settings(docker_host=docker_host))
    async with asyncio.timeout(30):
        with pytest.raises(ServiceFailure) as failure:
            await runtime.start()
    assert failure.value.code == "engine_unavailable"
    assert said in failure.value.message
    assert "Traceback" not in failure.value.message


async def test_daemon_without_the_image_is_said_with_what_to_do() -> None:
    """A missing image is named, with the command that makes it."""
    with pytest.raises(ServiceFailure, match="make image"):
        await Runtime(bench_settings(image="execbox-no-such-image:1")).start()


async def test_engine_that_is_told_an_image_takes_it_whatever_its_name_means_now() -> None:
    """As a process of a service that is started again after the image was built anew."""
    client = open_docker()
    try:
        image_id = str(client.inspect_image(IMAGE)["Id"])
    finally:
        client.close()
    settings = bench_settings(image="execbox-no-such-image:1")
    engine = DockerEngine(container_spec(settings, image_id=image_id))
    try:
        facts = await engine.start()
        sandbox = await engine.create()
        await sandbox.destroy()
    finally:
        await engine.stop()
    assert facts.image == image_id


async def test_engine_whose_image_is_gone_says_that_the_service_must_begin_anew() -> None:
    """A different image is not taken in its place."""
    engine = DockerEngine(container_spec(bench_settings(), image_id=f"sha256:{'0' * 64}"))
    try:
        with pytest.raises(EngineUnavailable, match="restart the service"):
            await engine.start()
    finally:
        await engine.stop()


async def test_two_services_side_by_side_do_not_touch_each_others_containers() -> None:
    """Two instances on one daemon, one of which stops: the other goes on."""
    async with started_bench() as one:
        async with started_bench() as two:
            assert (await two.call(DOUBLE, 1)).output == 2
        ended = await one.call(DOUBLE, 2)
    assert (ended.status, ended.output) == (Status.OK, 4)
