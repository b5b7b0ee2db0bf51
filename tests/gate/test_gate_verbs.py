"""The gate in front of a real daemon, asked for what the engine never asks for."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import docker
import pytest
import pytest_asyncio
from harness.bench import IMAGE
from harness.docker_daemon import docker_client, open_docker

from execbox_service.engines.container_spec import container_spec
from execbox_service.engines.docker.policy import LABEL, PACKAGES_PATH
from execbox_service.gate.allowed_bodies import ContainerKind, variants
from tests.gate.harness import Gate, new_name, parsed, read_all, started_gate

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

QUERY = "stream=1&stdin=1&stdout=1&stderr=1"


def attach_bytes(api: str, target: str) -> bytes:
    """The engine's request to attach."""
    return (
        f"POST {api}/containers/{target}/attach?{QUERY} HTTP/1.1\r\nHost: a\r\n"
        "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
    ).encode()


@pytest_asyncio.fixture(loop_scope="session")
async def strangers_container() -> AsyncIterator[str]:
    """A running container of another service on the same daemon, named as ours are."""
    client = open_docker()
    name = new_name()
    try:
        client.create_container(
            IMAGE,
            ["sleep", "300"],
            name=name,
            labels={LABEL: "another:1"},
            host_config=client.create_host_config(network_mode="none"),
        )
        client.start(name)
        yield name
        client.remove_container(name, force=True)
    finally:
        client.close()


async def body_of(gate: Gate, kind: ContainerKind) -> dict[str, Any]:
    """What the engine would send to make a container of this kind."""
    api = await gate.api()
    image_id = (await gate.ask("GET", f"{api}/images/{IMAGE}/json")).json()["Id"]
    listed = variants(
        container_spec(gate.settings), image_id=image_id, api_version=api.removeprefix("/v")
    )
    return next(variant.body for variant in listed if variant.kind is kind)


@contextlib.asynccontextmanager
async def made(gate: Gate, kind: ContainerKind) -> AsyncIterator[str]:
    """The name of a container made through the gate, removed through it afterwards."""
    api, name = await gate.api(), new_name()
    answer = await gate.ask(
        "POST", f"{api}/containers/create?name={name}", body=await body_of(gate, kind)
    )
    assert answer.status == 201, answer
    try:
        yield name
    finally:
        answer = await gate.ask("DELETE", f"{api}/containers/{name}?v=True&force=True")
        assert answer.status in (204, 404, 409)


FORBIDDEN = [
    ("POST", "/containers/{ours}/exec"),
    ("POST", "/exec/0123/start"),
    ("POST", "/containers/{ours}/kill"),
    ("POST", "/containers/{ours}/rename?name=x"),
    ("POST", "/containers/{ours}/attach/ws"),
    ("PUT", "/containers/{ours}/archive?path=/"),
    ("GET", "/containers/{ours}/json"),
    ("GET", "/containers/{ours}/logs?stdout=1"),
    ("GET", "/containers/{ours}/export"),
    ("GET", "/containers/{ours}/archive?path=/etc/passwd"),
    ("POST", "/containers/prune"),
    ("POST", "/commit?container={ours}"),
    ("POST", "/build"),
    ("POST", "/images/create?fromImage=debian"),
    ("POST", "/images/load"),
    ("GET", "/images/json"),
    ("GET", "/images/debian:bookworm-slim/json"),
    ("DELETE", "/images/" + IMAGE),
    ("POST", "/images/" + IMAGE + "/push"),
    ("POST", "/volumes/create"),
    ("GET", "/volumes"),
    ("POST", "/networks/create"),
    ("GET", "/networks"),
    ("POST", "/plugins/pull?remote=x"),
    ("POST", "/swarm/init"),
    ("GET", "/secrets"),
    ("GET", "/system/df"),
    ("GET", "/info"),
    ("POST", "/auth"),
    ("POST", "/session"),
    ("POST", "/grpc"),
    ("GET", "/events"),
    ("HEAD", "/_ping"),
    ("GET", "/containers/../images/json"),
    ("GET", "//containers/json"),
    ("POST", "/containers/{ours}/../{ours}/start"),
    ("POST", "/containers/{ours}/start/"),
    ("POST", "/containers/{ours}/start?detachKeys=a"),
    ("DELETE", "/containers/{ours}?link=1"),
]


@pytest.mark.parametrize(("method", "path"), FORBIDDEN)
async def test_verb_the_engine_does_not_use_is_refused(gate: Gate, method: str, path: str) -> None:
    """403 with a reason, for each, whether or not the daemon would do it."""
    api = await gate.api()
    answer = await gate.ask(method, api + path.replace("{ours}", "execbox-0123456789abcdef"))
    assert answer.status in (403, 404), answer
    assert "gate" in answer.message


@pytest.mark.parametrize("prefix", ["", "/v1.24", "/v1.99", "/v1.41.0", "/v01.41", "/1.41", "/v"])
async def test_path_of_another_version_of_the_api_is_refused(gate: Gate, prefix: str) -> None:
    """Older versions of the API read the same body differently."""
    assert (await gate.ask("GET", f"{prefix}/containers/json")).status == 403


async def test_container_of_others_cannot_be_touched(gate: Gate, strangers_container: str) -> None:
    """Same daemon, same form of name, another label: 404, by name and by id."""
    api = await gate.api()
    with docker_client() as client:
        container_id = client.inspect_container(strangers_container)["Id"]
        for target in (strangers_container, container_id):
            for answer in (
                await gate.ask("POST", f"{api}/containers/{target}/start"),
                await gate.raw(attach_bytes(api, target)),
                await gate.ask(
                    "POST",
                    f"{api}/containers/{target}/update",
                    body={"Memory": 200 << 20, "MemorySwap": 200 << 20},
                ),
                await gate.ask("GET", f"{api}/containers/{target}/archive?path={PACKAGES_PATH}"),
                await gate.ask("DELETE", f"{api}/containers/{target}?force=True"),
            ):
                assert answer.status == 404, answer
        listed = (await gate.ask("GET", f"{api}/containers/json?all=1")).json()
        assert container_id not in {container["Id"] for container in listed}
        assert client.inspect_container(strangers_container)["State"]["Running"]


@pytest.mark.parametrize("target", ["web", "execbox-0123456789abcde", "0123456789ab", "a" * 63])
async def test_container_by_any_other_name_is_refused(gate: Gate, target: str) -> None:
    """No names of others' choosing, and no beginnings of ids."""
    api = await gate.api()
    assert (await gate.ask("POST", f"{api}/containers/{target}/start")).status == 403
    assert (await gate.ask("DELETE", f"{api}/containers/{target}?force=1")).status == 403


async def test_create_that_differs_makes_nothing(gate: Gate) -> None:
    """Over the real socket: refused, and nothing made; the daemon itself would have done it."""
    api, name = await gate.api(), new_name()
    body = await body_of(gate, ContainerKind.SANDBOX)
    body["HostConfig"] = body["HostConfig"] | {"Binds": ["/:/host"], "Privileged": True}
    answer = await gate.ask("POST", f"{api}/containers/create?name={name}", body=body)
    assert answer.status == 403
    assert "HostConfig.Binds" in answer.message
    with docker_client() as client:
        with pytest.raises(docker.errors.NotFound):
            client.inspect_container(name)
        # The control: without the gate the same body makes a container (which is not started).
        client.create_container_from_config(body, name=name)
        assert client.inspect_container(name)["HostConfig"]["Privileged"]
        client.remove_container(name)


async def test_create_with_an_image_that_is_not_the_one_is_refused(gate: Gate) -> None:
    """By the name of another image, by an id, and by the right name where an id must stand."""
    api = await gate.api()
    body = await body_of(gate, ContainerKind.SANDBOX)
    for image in ("debian:bookworm-slim", "sha256:" + "ab" * 32, IMAGE, 7):
        answer = await gate.ask(
            "POST",
            f"{api}/containers/create?name={new_name()}",
            body=body | {"Image": image},
        )
        assert answer.status == 403, answer


async def test_create_cannot_join_the_network_of_others(strangers_container: str) -> None:
    """Nor of a container of its own that has not started: only of a sandbox that runs."""
    async with started_gate(shared_network="true") as gate:
        api = await gate.api()
        image_id = (await gate.ask("GET", f"{api}/images/{IMAGE}/json")).json()["Id"]
        spec = container_spec(gate.settings)
        listed = variants(spec, image_id=image_id, api_version=api.removeprefix("/v"))
        (joining,) = (variant for variant in listed if variant.joins_network)
        target = f"{api}/containers/create?name={new_name()}"
        async with (
            made(gate, ContainerKind.SANDBOX) as unstarted,
            made(gate, ContainerKind.PACKAGES) as read_only,
        ):
            for holder in (strangers_container, unstarted, read_only):
                answer = await gate.ask("POST", target, body=joining.body_joining(holder))
                assert answer.status in (403, 404), answer


async def test_container_that_is_only_read_cannot_be_started_or_attached_to(gate: Gate) -> None:
    """It has none of a sandbox's options, so it must not run."""
    api = await gate.api()
    async with made(gate, ContainerKind.PACKAGES) as name:
        assert (await gate.ask("POST", f"{api}/containers/{name}/start")).status == 403
        assert (await gate.raw(attach_bytes(api, name))).status == 403
        path = f"{api}/containers/{name}/archive?path={quote(PACKAGES_PATH, safe='')}"
        assert (await gate.ask("GET", path)).status == 200
        assert (await gate.ask("GET", path + "/..")).status == 403


async def test_sandbox_is_attached_to_once_started_once_and_never_read(gate: Gate) -> None:
    """In the order the engine does it, and no second time."""
    api = await gate.api()
    async with made(gate, ContainerKind.SANDBOX) as name:
        start = f"{api}/containers/{name}/start"
        assert (await gate.ask("POST", start)).status == 403
        reader, writer = await asyncio.open_unix_connection(gate.path)
        try:
            writer.write(attach_bytes(api, name))
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            assert (await gate.raw(attach_bytes(api, name))).status == 403
            assert (await gate.ask("POST", start)).status == 204
            assert (await gate.ask("POST", start)).status == 403
            assert (
                await gate.ask("GET", f"{api}/containers/{name}/archive?path={PACKAGES_PATH}")
            ).status == 403
        finally:
            writer.transport.abort()


async def test_client_that_stops_sending_still_reads_to_the_end(gate: Gate) -> None:
    """Half a close passes the gate as one: the supervisor greets, sees the end, and ends."""
    api = await gate.api()
    async with made(gate, ContainerKind.SANDBOX) as name:
        reader, writer = await asyncio.open_unix_connection(gate.path)
        try:
            writer.write(attach_bytes(api, name))
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            assert (await gate.ask("POST", f"{api}/containers/{name}/start")).status == 204
            async with asyncio.timeout(20):
                await reader.readuntil(b"python")
                writer.write_eof()
                await read_all(reader)
        finally:
            writer.transport.abort()


async def test_events_of_others_are_refused(gate: Gate, strangers_container: str) -> None:
    """Nobody listens to what the daemon does for others."""
    api = await gate.api()
    for filters in (
        {"container": [strangers_container], "event": ["oom"]},
        {"container": ["execbox-0123456789abcdef"], "event": ["oom"]},
        {"type": ["container"]},
    ):
        target = f"{api}/events?since=0&until=1&filters={quote(json.dumps(filters), safe='')}"
        assert (await gate.ask("GET", target)).status in (403, 404)


async def test_more_containers_than_permitted_are_refused_until_one_is_removed() -> None:
    """A taken-over service cannot fill the machine with containers."""
    async with started_gate(gate_container_count_max="1") as gate:
        api, body = await gate.api(), await body_of(gate, ContainerKind.PACKAGES)
        async with made(gate, ContainerKind.PACKAGES):
            target = f"{api}/containers/create?name={new_name()}"
            answer = await gate.ask("POST", target, body=body)
            assert answer.status == 429
            assert "EXECBOX_GATE_CONTAINER_COUNT_MAX" in answer.message
        async with made(gate, ContainerKind.PACKAGES):
            pass


async def test_second_request_on_a_connection_is_never_read(gate: Gate) -> None:
    """What follows a request is not another one, whatever it is made to look like."""
    api = await gate.api()
    ours = f"GET {api}/containers/json HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    reader, writer = await asyncio.open_unix_connection(gate.path)
    try:
        writer.write(ours + ours)
        data = await read_all(reader)
    finally:
        writer.transport.abort()
    assert data.count(b"HTTP/1.1 ") == 1
    assert parsed(data).status == 200
