"""How many containers the gate lets be there, and when one counts no longer."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from execbox_service.engines.container_spec import container_spec
from execbox_service.gate.allowed_bodies import ContainerKind, variants
from execbox_service.gate.daemon import Daemon, DaemonResponse, DaemonSaidNo
from execbox_service.gate.http1 import Request
from execbox_service.gate.judgement import MemoryRange
from execbox_service.gate.verbs import GateLimits, Verbs
from execbox_service.settings import load_settings
from tests.gate.harness import new_name

IMAGE_ID = f"sha256:{'1' * 64}"
API_VERSION = "1.41"


class DaemonThatRemoves(Daemon):
    """Makes what it is asked for, and answers every removal with one status."""

    def __init__(self, removal_status: int) -> None:
        super().__init__("/nowhere")
        self._removal_status = removal_status

    async def ask(self, method: str, target: str, *, body: Any = None) -> DaemonResponse:
        if method == "DELETE" and self._removal_status >= 400:
            raise DaemonSaidNo(self._removal_status, b'{"message": "no"}')
        if target == "/version":
            return answer({"ApiVersion": API_VERSION})
        if "/images/" in target:
            return answer({"Id": IMAGE_ID})
        return answer({"Id": "2" * 64})


def answer(value: Any) -> DaemonResponse:
    """Of a daemon that is content."""
    return DaemonResponse(200, {}, json.dumps(value).encode())


@pytest.mark.parametrize(
    ("status", "left_count"), [(204, 0), (404, 0), (409, 0), (500, 1)], ids=str
)
async def test_container_counts_until_its_removal_is_done_or_under_way(
    status: int, left_count: int
) -> None:
    """What the daemon has removed, or is removing, takes no place; what it failed to does."""
    spec = container_spec(load_settings({}))
    verbs = Verbs(DaemonThatRemoves(status), spec, GateLimits(1, MemoryRange(0, 0)))
    (body,) = (
        variant.body
        for variant in variants(spec, image_id=IMAGE_ID, api_version=API_VERSION)
        if variant.kind is ContainerKind.PACKAGES
    )
    name = new_name()
    create = Request(
        "POST", f"/v{API_VERSION}/containers/create", {"name": name}, {}, json.dumps(body).encode()
    )
    remove = Request(
        "DELETE", f"/v{API_VERSION}/containers/{name}", {"v": "1", "force": "1"}, {}, b""
    )
    await verbs.answer(create)
    with contextlib.suppress(DaemonSaidNo):
        await verbs.answer(remove)
    assert len(verbs._made) == left_count


@pytest.mark.parametrize(
    ("overrides", "count"),
    [
        ({"slot_count": "2"}, 256),
        ({"slot_count": "14"}, 256),
        ({"slot_count": "18"}, 10 * 18 + 12 + 64 + 32),
        ({"slot_count": "48"}, 10 * 48 + 12 + 64 + 32),
        ({"slot_count": "48", "pool_size": "100"}, 10 * 48 + 100 + 64 + 32),
        ({"slot_count": "48", "session_count_max": "0"}, 10 * 48 + 12 + 64),
        ({"slot_count": "48", "gate_container_count_max": "7"}, 7),
    ],
)
def test_settings_of_the_gate_leave_room_for_every_slot(
    overrides: dict[str, str], count: int
) -> None:
    """A service of many cores is not refused what it needs, unless the operator says so."""
    assert load_settings(overrides).gate_container_limit_count == count
