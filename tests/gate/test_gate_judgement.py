"""What the gate lets through: every deviation from the engine's own bodies, one at a time."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import docker
import pytest

from execbox_service.engines.docker.policy import (
    LABEL,
    PACKAGES_PATH,
    host_config,
    packages_arguments,
    sandbox_arguments,
)
from execbox_service.gate import judgement
from execbox_service.gate.allowed_bodies import ContainerKind, Variant, variants
from execbox_service.gate.http1 import Refused
from tests.engines.test_docker_policy import SPEC

IMAGE_ID = "sha256:" + "ab" * 32
VERSION = "1.41"
ALLOWED = variants(SPEC, image_id=IMAGE_ID, api_version=VERSION)
MEMORY = judgement.MemoryRange(bytes_min=129 << 20, bytes_max=1024 << 20)


def body_of(kind: ContainerKind) -> dict[str, Any]:
    """A copy of what the engine sends for a container of this kind."""
    (variant,) = (variant for variant in ALLOWED if variant.kind is kind)
    return copy.deepcopy(variant.body)


def judged(body: dict[str, Any], allowed: tuple[Variant, ...] = ALLOWED) -> judgement.ToCreate:
    """The judgement of a body, as it arrives."""
    return judgement.judged_create(judgement.json_object(json.dumps(body).encode()), allowed)


class Recorder(docker.APIClient):
    """An SDK client that keeps what it would send."""

    def __init__(self) -> None:
        super().__init__(base_url="http://127.0.0.1:9", version=VERSION)
        self.sent: list[bytes] = []

    def post(self, url: str, data: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        self.sent.append(data.encode())
        raise ConnectionError


def sent_by_sdk(**arguments: Any) -> bytes:
    """The body of the SDK's own request to create a container."""
    client = Recorder()
    try:
        with pytest.raises(ConnectionError):
            client.create_container(**arguments)
    finally:
        client.close()
    return client.sent[0]


def test_create_body_of_a_sandbox_is_what_the_sdk_sends() -> None:
    """The list and the engine's own request agree, byte for value."""
    client = Recorder()
    options = host_config(client, SPEC)
    client.close()
    arguments = sandbox_arguments(SPEC, image_id=IMAGE_ID)
    sent = sent_by_sdk(name="n", host_config=options, **arguments)
    assert (
        judgement.judged_create(judgement.json_object(sent), ALLOWED).variant.kind
        is ContainerKind.SANDBOX
    )


def test_create_body_of_the_container_that_is_read_is_what_the_sdk_sends() -> None:
    """The one that is never started."""
    sent = sent_by_sdk(name="n", **packages_arguments(SPEC, image_id=IMAGE_ID))
    assert (
        judgement.judged_create(judgement.json_object(sent), ALLOWED).variant.kind
        is ContainerKind.PACKAGES
    )


HOST_DEVIATIONS: dict[str, Any] = {
    "Privileged": True,
    "Binds": ["/:/host"],
    "Mounts": [{"Type": "bind", "Source": "/", "Target": "/host"}],
    "VolumesFrom": ["another"],
    "VolumeDriver": "local",
    "Devices": [{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda"}],
    "DeviceRequests": [{"Count": -1}],
    "DeviceCgroupRules": ["a *:* rwm"],
    "CapAdd": ["SETUID", "SETGID", "KILL", "SYS_ADMIN"],
    "CapDrop": [],
    "NetworkMode": "host",
    "PidMode": "host",
    "IpcMode": "host",
    "UTSMode": "host",
    "UsernsMode": "host",
    "CgroupnsMode": "host",
    "Cgroup": "container:another",
    "CgroupParent": "/",
    "SecurityOpt": ["seccomp=unconfined"],
    "Runtime": "another",
    "Isolation": "default",
    "ReadonlyRootfs": False,
    "ReadonlyPaths": [],
    "MaskedPaths": [],
    "PortBindings": {"80/tcp": [{"HostPort": "80"}]},
    "PublishAllPorts": True,
    "ExtraHosts": ["a:1.2.3.4"],
    "Dns": ["1.2.3.4"],
    "Links": ["another:a"],
    "GroupAdd": ["0"],
    "Sysctls": {"kernel.shmmax": "1"},
    "StorageOpt": {"size": "1G"},
    "Tmpfs": {"/tmp": "rw,exec"},
    "Ulimits": [],
    "Memory": 2**40,
    "MemorySwap": -1,
    "MemorySwappiness": 100,
    "KernelMemory": 2**30,
    "NanoCpus": 64_000_000_000,
    "CpusetCpus": "0",
    "CpuRealtimeRuntime": 950000,
    "BlkioWeight": 1000,
    "PidsLimit": -1,
    "ShmSize": 2**40,
    "OomScoreAdj": -1000,
    "OomKillDisable": True,
    "LogConfig": {"Type": "syslog", "Config": {"syslog-address": "tcp://1.2.3.4"}},
    "RestartPolicy": {"Name": "always"},
    "AutoRemove": False,
    "Init": True,
    "ContainerIDFile": "/etc/x",
    "Annotations": {"a": "b"},
}
DEVIATIONS: dict[str, Any] = {
    "Image": "sha256:" + "cd" * 32,
    "Entrypoint": ["/bin/sh"],
    "Cmd": ["-c", "id"],
    "Env": ["LD_PRELOAD=/tmp/x"],
    "User": "0",
    "WorkingDir": "/tmp",
    "Hostname": "another",
    "Domainname": "example.org",
    "ExposedPorts": {"80/tcp": {}},
    "Volumes": {"/data": {}},
    "Tty": True,
    "OpenStdin": False,
    "AttachStdout": False,
    "NetworkDisabled": True,
    "NetworkingConfig": {"EndpointsConfig": {"bridge": {}}},
    "MacAddress": "02:42:ac:11:00:02",
    "Healthcheck": {"Test": ["CMD", "id"]},
    "StopSignal": "SIGTERM",
    "StopTimeout": 10**6,
    "Shell": ["/bin/sh"],
    "OnBuild": ["RUN id"],
    "Runtime": "another",
    "Labels": {LABEL: "another:1"},
    "HostConfig": None,
    "image": "another",
}


@pytest.mark.parametrize("name", HOST_DEVIATIONS)
def test_create_sandbox_with_another_option_is_refused(name: str) -> None:
    """Each option on its own, everything else being as it must; the message names it."""
    body = body_of(ContainerKind.SANDBOX)
    body["HostConfig"][name] = HOST_DEVIATIONS[name]
    with pytest.raises(Refused, match=f"HostConfig.{name}"):
        judged(body)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind in ContainerKind
        for name in DEVIATIONS
        # Without this one, a difference is how a container of that kind is.
        if body_of(kind).get(name, "absent") != DEVIATIONS[name]
    ],
)
def test_create_with_another_field_is_refused(kind: ContainerKind, name: str) -> None:
    """Each field on its own, of each kind of container."""
    body = body_of(kind)
    body[name] = DEVIATIONS[name]
    with pytest.raises(Refused, match=name):
        judged(body)


@pytest.mark.parametrize("kind", ContainerKind)
def test_create_with_any_field_left_out_is_refused(kind: ContainerKind) -> None:
    """What is not asked for would be the daemon's default."""
    for name in body_of(kind):
        body = body_of(kind)
        del body[name]
        with pytest.raises(Refused):
            judged(body)
    for name in body_of(ContainerKind.SANDBOX)["HostConfig"]:
        body = body_of(ContainerKind.SANDBOX)
        del body["HostConfig"][name]
        with pytest.raises(Refused):
            judged(body)


def test_create_packages_container_with_options_of_its_own_is_refused() -> None:
    """A host config on the one that has none."""
    body = body_of(ContainerKind.PACKAGES) | {"HostConfig": {"Privileged": True}}
    with pytest.raises(Refused):
        judged(body)


HOLDER = "execbox-0123456789abcdef"
SHARED = variants(replace(SPEC, shared_network=True), image_id=IMAGE_ID, api_version=VERSION)


def joining_body(mode: str) -> dict[str, Any]:
    """What the engine sends to join a network, with another network mode."""
    (variant,) = (variant for variant in SHARED if variant.joins_network)
    return variant.body | {"HostConfig": variant.body["HostConfig"] | {"NetworkMode": mode}}


def test_create_that_joins_the_network_of_a_sandbox_is_taken_where_the_operator_set_so() -> None:
    """The one thing that varies comes back by name, for the gate to look at whose it is."""
    asked = judged(joining_body(f"container:{HOLDER}"), SHARED)
    assert (asked.holder, asked.variant.joins_network) == (HOLDER, True)
    sent = asked.variant.body_joining("id")
    assert sent["HostConfig"]["NetworkMode"] == "container:id"


@pytest.mark.parametrize(
    "mode",
    [
        "container:",
        "container:web",
        f"container:{HOLDER} ",
        f"container:container:{HOLDER}",
        f"CONTAINER:{HOLDER}",
        HOLDER,
        "host",
        "bridge",
        "ns:/proc/1/ns/net",
        "none",
        "",
    ],
)
def test_create_that_joins_any_other_network_is_refused(mode: str) -> None:
    """A name of ours after the one prefix, or nothing; also where joining is permitted."""
    with pytest.raises(Refused):
        judged(joining_body(mode), SHARED)


def test_create_that_joins_a_network_is_refused_where_the_operator_did_not_set_so() -> None:
    """The setting is the gate's own."""
    with pytest.raises(Refused):
        judged(joining_body(f"container:{HOLDER}"))


@pytest.mark.parametrize("where", ["first", "last"])
def test_create_with_a_field_twice_is_refused(where: str) -> None:
    """Two parsers would take different ones."""
    text = json.dumps(body_of(ContainerKind.SANDBOX))
    pair = '"HostConfig": {"Privileged": true}'
    doubled = f"{{{pair}, {text[1:]}" if where == "first" else f"{text[:-1]}, {pair}}}"
    with pytest.raises(Refused, match="strict JSON"):
        judgement.json_object(doubled.encode())


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff", b"1", b"[" * 100_000])
def test_create_body_that_is_no_object_is_refused(body: bytes) -> None:
    """Refused, whatever it is; nothing else is raised."""
    with pytest.raises(Refused):
        judgement.json_object(body)


def test_create_message_about_a_deviation_does_not_repeat_a_long_name() -> None:
    """What was sent does not come back at any length."""
    body = body_of(ContainerKind.SANDBOX) | {"A" * 10_000: 1}
    with pytest.raises(Refused) as refused:
        judged(body)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"name": ""},
        {"name": "web"},
        {"name": "execbox-0123456789ABCDEF"},
        {"name": "execbox-0123456789abcdef0"},
        {"name": "execbox-0123456789abcdef\n"},
        {"name": "execbox-0123456789abcde/"},
        {"name": "execbox-0123456789abcdef", "platform": "linux/arm64"},
    ],
)
def test_create_name_of_another_form_is_refused(query: dict[str, str]) -> None:
    """Names are the engine's, and come with nothing else."""
    with pytest.raises(Refused):
        judgement.judged_name(query)


def test_update_of_memory_within_the_range_is_rebuilt() -> None:
    """The two numbers, equal."""
    body = {"Memory": 200 << 20, "MemorySwap": 200 << 20}
    assert judgement.judged_update(json.dumps(body).encode(), MEMORY) == body


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"Memory": 200 << 20},
        {"Memory": 200 << 20, "MemorySwap": -1},
        {"Memory": 200 << 20, "MemorySwap": 201 << 20},
        {"Memory": 0, "MemorySwap": 0},
        {"Memory": -1, "MemorySwap": -1},
        {"Memory": True, "MemorySwap": True},
        {"Memory": (129 << 20) - 1, "MemorySwap": (129 << 20) - 1},
        {"Memory": (1024 << 20) + 1, "MemorySwap": (1024 << 20) + 1},
        {"Memory": 2e8, "MemorySwap": 2e8},
        {"Memory": 200 << 20, "MemorySwap": 200 << 20, "PidsLimit": -1},
        {"Memory": 200 << 20, "MemorySwap": 200 << 20, "RestartPolicy": {"Name": "always"}},
        {"CpuQuota": -1},
    ],
)
def test_update_of_anything_else_is_refused(body: dict[str, Any]) -> None:
    """Only memory, without swap, from the least to the most the operator permits."""
    with pytest.raises(Refused, match="update"):
        judgement.judged_update(json.dumps(body).encode(), MEMORY)


UPGRADE = {"connection": "Upgrade", "upgrade": "tcp"}
ATTACH = {"stream": "1", "stdin": "1", "stdout": "1", "stderr": "1"}
NOW_S = 1_000_000.0
OOM = '{"container": ["execbox-0123456789abcdef"], "event": ["oom"]}'


@pytest.mark.parametrize(
    "judge",
    [
        lambda: judgement.judged_attach({**ATTACH, "logs": "1"}, UPGRADE),
        lambda: judgement.judged_attach({**ATTACH, "stdin": "0"}, UPGRADE),
        lambda: judgement.judged_attach({}, UPGRADE),
        lambda: judgement.judged_attach(ATTACH, {}),
        lambda: judgement.judged_attach(ATTACH, {**UPGRADE, "upgrade": "h2c"}),
        lambda: judgement.judged_archive({}),
        lambda: judgement.judged_archive({"path": "/etc/shadow"}),
        lambda: judgement.judged_archive({"path": PACKAGES_PATH + "/.."}),
        lambda: judgement.judged_archive({"path": PACKAGES_PATH, "noOverwriteDirNonDir": "1"}),
        lambda: judgement.judged_list({"filters": '{"label": ["another"]}'}),
        lambda: judgement.judged_list({"filters": '{"name": ["another"]}'}),
        lambda: judgement.judged_list({"filters": "{" * 2000}),
        lambda: judgement.judged_events({}, now_s=NOW_S),
        lambda: judgement.judged_events({"filters": OOM, "since": "1"}, now_s=NOW_S),
        lambda: judgement.judged_events(
            {"filters": OOM, "since": "1", "until": str(NOW_S + 60)}, now_s=NOW_S
        ),
        lambda: judgement.judged_events(
            {"filters": OOM, "since": "1", "until": "1000060"}, now_s=NOW_S
        ),
        lambda: judgement.judged_events(
            {"filters": OOM, "since": "-1", "until": "1000000"}, now_s=NOW_S
        ),
        lambda: judgement.judged_events(
            {"filters": OOM.replace("oom", "exec_start"), "since": "1", "until": "2"}, now_s=NOW_S
        ),
        lambda: judgement.judged_events(
            {"filters": '{"event": ["oom"]}', "since": "1", "until": "2"}, now_s=NOW_S
        ),
        lambda: judgement.judged_events(
            {"filters": OOM[:-1] + ', "type": ["image"]}', "since": "1", "until": "2"}, now_s=NOW_S
        ),
    ],
)
def test_query_that_asks_for_more_is_refused(judge: Callable[[], object]) -> None:
    """Each verb takes the engine's parameters and no others."""
    with pytest.raises(Refused):
        judge()


def test_query_of_the_engine_is_taken() -> None:
    """The other side of the table above: what is asked for every day passes."""
    judgement.judged_attach(ATTACH, UPGRADE)
    judgement.judged_archive({"path": PACKAGES_PATH})
    judgement.judged_list({"all": "1", "filters": json.dumps({"label": [LABEL]})})
    asked = judgement.judged_events(
        {"filters": OOM, "since": "999990", "until": "1000001"}, now_s=NOW_S
    )
    assert (asked.target, asked.since_s, asked.until_s) == (
        "execbox-0123456789abcdef",
        999990,
        1000001,
    )
