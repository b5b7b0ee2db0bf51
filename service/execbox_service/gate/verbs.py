"""The verbs the gate answers: who may be acted on, and the gate's own requests to the daemon.

Parsing is in ``http1``, judging in ``judgement``, the daemon's connection in ``daemon``. A request
to the daemon is always made here, of constants, checked names and the bodies of our own options.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from execbox_service.engines.container_spec import ContainerSpec
from execbox_service.engines.docker.policy import LABEL, PACKAGES_PATH
from execbox_service.gate import http1, judgement
from execbox_service.gate.allowed_bodies import ContainerKind, Variant, variants
from execbox_service.gate.daemon import Daemon, DaemonResponse, DaemonSaidNo, DaemonTrouble, Stream
from execbox_service.gate.http1 import Refused, Request

logger = logging.getLogger(__name__)

_VERSION_FIELDS: Final = ("ApiVersion", "MinAPIVersion", "Version", "Os", "Arch")
_LISTED_FIELDS: Final = ("Id", "Names", "Labels", "Created", "State")
_PATH_STAT: Final = "x-docker-container-path-stat"
_API_VERSION = re.compile(r"1\.[0-9]{2,3}")
_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")
_TARGET = re.compile(r"execbox-[0-9a-f]{16}|[0-9a-f]{64}")
_CONTAINER_ID = re.compile(r"[0-9a-f]{64}")
_IMAGES_KNOWN_MAX: Final = 16
_DAEMON_REQUESTS_MAX: Final = 32


@dataclass
class _Made:
    """One container that this gate made: what for, and what was done with it."""

    name: str
    variant: Variant
    id: str
    is_attached: bool = False
    is_started: bool = False

    @property
    def kind(self) -> ContainerKind:
        return self.variant.kind


@dataclass(frozen=True)
class GateLimits:
    """What the operator permits the service as a whole."""

    container_count_max: int
    memory: judgement.MemoryRange


class Verbs:
    """Answers requests. Safe to use from many tasks of one event loop."""

    def __init__(self, daemon: Daemon, spec: ContainerSpec, limits: GateLimits) -> None:
        self._daemon = daemon
        self._spec = spec
        self._limits = limits
        self._made: dict[str, _Made] = {}
        self._creating: set[str] = set()
        self._image_ids: list[str] = []
        self._variants: dict[tuple[str, str], tuple[Variant, ...]] = {}
        self._version = ""
        self._turns = asyncio.Semaphore(_DAEMON_REQUESTS_MAX)

    async def answer(self, request: Request) -> bytes | Stream:
        """The bytes to answer with, or the stream to relay. Raises Refused, DaemonSaidNo and
        DaemonTrouble."""
        if request.method == "GET" and request.path in ("/_ping", "/version"):
            return await self.version()
        version, _, path = request.path.removeprefix("/v").partition("/")
        if not self._version:
            await self.version()
        if not request.path.startswith("/v") or version != self._version:
            raise _no_verb(request)
        verb = self._verb(request, f"/{path}")
        async with self._turns:
            return await verb(request)

    def _verb(self, request: Request, path: str) -> Callable[[Request], Awaitable[bytes | Stream]]:
        fixed = {
            ("GET", f"/images/{self._spec.image}/json"): self._image,
            ("POST", "/containers/create"): self._create,
            ("GET", "/containers/json"): self._list,
            ("GET", "/events"): self._events,
        }
        if (request.method, path) in fixed:
            return fixed[request.method, path]
        match request.method, path.split("/"):
            case "POST", ["", "containers", target, "attach"]:
                return lambda request: self._attach(request, self._own(target))
            case "POST", ["", "containers", target, "start"]:
                return lambda request: self._start(request, self._own(target))
            case "POST", ["", "containers", target, "update"]:
                return lambda request: self._update(request, self._own(target))
            case "GET", ["", "containers", target, "archive"]:
                return lambda request: self._archive(request, self._own(target))
            case "DELETE", ["", "containers", target]:
                return lambda request: self._remove(request, target)
        raise _no_verb(request)

    # The daemon and the image

    async def version(self) -> bytes:
        """What the daemon is, for the SDK to choose the version of the API by."""
        answer = await self._daemon.ask("GET", "/version")
        facts = {name: answer.json().get(name) for name in _VERSION_FIELDS}
        if not _API_VERSION.fullmatch(str(facts["ApiVersion"])):
            raise DaemonTrouble("the daemon does not say the version of its API")
        self._version = str(facts["ApiVersion"])
        return http1.json_answer(HTTPStatus.OK, facts)

    async def _image(self, _request: Request) -> bytes:
        answer = await self._ask("GET", f"/images/{quote(self._spec.image, safe='/:@')}/json")
        image_id = str(answer.json().get("Id"))
        if not _IMAGE_ID.fullmatch(image_id):
            raise DaemonTrouble("the daemon does not say the id of the image")
        if image_id not in self._image_ids:
            self._image_ids = [*self._image_ids, image_id][-_IMAGES_KNOWN_MAX:]
        return http1.json_answer(HTTPStatus.OK, {"Id": image_id})

    async def _allowed(self, image_id: object, request: Request) -> tuple[Variant, ...]:
        if image_id not in self._image_ids:
            # After a start of the gate alone, the service does not ask for the image again.
            await self._image(request)
        if image_id not in self._image_ids:
            raise Refused(
                f"create: Image is not what {self._spec.image} names; restart the service if the "
                "image was built anew"
            )
        key = str(image_id), self._version
        if key not in self._variants:
            self._variants[key] = variants(self._spec, image_id=key[0], api_version=key[1])
        return self._variants[key]

    # Containers

    async def _create(self, request: Request) -> bytes:
        name = judgement.judged_name(request.query)
        received = judgement.json_object(request.body)
        allowed = await self._allowed(received.get("Image"), request)
        asked = judgement.judged_create(received, allowed)
        body = asked.variant.body
        if asked.holder is not None:
            body = asked.variant.body_joining(self._holder_id(asked.holder))
        if name in self._creating or name in self._made:
            raise Refused("create: there is a container of that name", status=HTTPStatus.CONFLICT)
        count = len(self._made) + len(self._creating)
        if count >= self._limits.container_count_max:
            raise Refused(
                f"create: there are {count} containers already, the most there may be; "
                "EXECBOX_GATE_CONTAINER_COUNT_MAX changes that",
                status=HTTPStatus.TOO_MANY_REQUESTS,
            )
        self._creating.add(name)
        try:
            answer = await self._ask("POST", f"/containers/create?name={name}", body=body)
            container_id = str(answer.json().get("Id"))
            if not _CONTAINER_ID.fullmatch(container_id):
                raise DaemonTrouble("the daemon does not say the id of a container")
            self._made[name] = _Made(name, asked.variant, container_id)
            return http1.json_answer(answer.status, {"Id": container_id, "Warnings": []})
        finally:
            self._creating.discard(name)

    def _holder_id(self, name: str) -> str:
        """Of a sandbox of ours that has started with a network of its own, which is none."""
        holder = self._own(name)
        if (
            holder.kind is not ContainerKind.SANDBOX
            or holder.variant.joins_network
            or not holder.is_started
        ):
            raise Refused("create: only the network of a started sandbox of its own is joined")
        return holder.id

    async def _attach(self, request: Request, made: _Made) -> Stream:
        judgement.judged_attach(request.query, request.headers)
        if made.kind is not ContainerKind.SANDBOX or made.is_attached or made.is_started:
            raise Refused("attach: a sandbox is attached to once, before it is started")
        made.is_attached = True
        query = "stream=1&stdin=1&stdout=1&stderr=1"
        return await self._daemon.attach(f"/v{self._version}/containers/{made.id}/attach?{query}")

    async def _start(self, request: Request, made: _Made) -> bytes:
        _nothing_but_path(request)
        if made.kind is not ContainerKind.SANDBOX or not made.is_attached or made.is_started:
            raise Refused(
                "start: a sandbox is started once, and only after its engine has attached to it"
            )
        made.is_started = True
        return await self._done("POST", f"/containers/{made.id}/start")

    async def _update(self, request: Request, made: _Made) -> bytes:
        if request.query or made.kind is not ContainerKind.SANDBOX:
            raise Refused(f"update: not of a container of kind {made.kind}, and without a query")
        body = judgement.judged_update(request.body, self._limits.memory)
        answer = await self._ask("POST", f"/containers/{made.id}/update", body=body)
        return http1.json_answer(answer.status, {"Warnings": []})

    async def _archive(self, request: Request, made: _Made) -> bytes:
        judgement.judged_archive(request.query)
        if made.kind is not ContainerKind.PACKAGES:
            raise Refused("archive: only a container that is never started is read from")
        path = f"/containers/{made.id}/archive?path={quote(PACKAGES_PATH, safe='')}"
        answer = await self._ask("GET", path)
        stat = re.sub(r"[^A-Za-z0-9+/=]", "", answer.headers.get(_PATH_STAT, ""))
        return http1.answer_bytes(
            answer.status,
            answer.body,
            content_type="application/x-tar",
            headers={_PATH_STAT: stat},
        )

    async def _remove(self, request: Request, target: str) -> bytes:
        if not set(request.query) <= {"v", "link", "force"} or _is_true(request.query.get("link")):
            raise Refused("remove: link is not removed, and only v and force may be asked for")
        made = self._find(target)
        container_id = made.id if made is not None else await self._id_of_own(target)
        try:
            done = await self._done("DELETE", f"/containers/{container_id}?v=1&force=1")
        except DaemonSaidNo as no:
            # It is gone, or the daemon is removing it already.
            if no.status in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT) and made is not None:
                self._made.pop(made.name, None)
            raise
        if made is not None:
            self._made.pop(made.name, None)
        return done

    async def _list(self, request: Request) -> bytes:
        judgement.judged_list(request.query)
        before = list(self._made.values())
        filters = quote(json.dumps({"label": [f"{LABEL}={self._spec.instance}"]}), safe="")
        answer = await self._ask("GET", f"/containers/json?all=1&filters={filters}")
        found = [{name: one.get(name) for name in _LISTED_FIELDS} for one in answer.json()]
        there = {one["Id"] for one in found}
        for made in before:
            if made.id not in there:
                self._made.pop(made.name, None)
        return http1.json_answer(answer.status, found)

    async def _events(self, request: Request) -> bytes:
        asked = judgement.judged_events(request.query, now_s=time.time())
        made = self._own(asked.target)
        wanted = {"type": ["container"], "container": [made.id], "event": ["oom"]}
        filters = quote(json.dumps(wanted), safe="")
        period = f"since={asked.since_s}&until={asked.until_s}"
        answer = await self._ask("GET", f"/events?{period}&filters={filters}")
        return http1.chunked_answer(answer.status, answer.body)

    # Whose a container is

    def _find(self, target: str) -> _Made | None:
        if not _TARGET.fullmatch(target):
            raise Refused("containers are named execbox- and 16 hexadecimal digits, or by their id")
        if target in self._made:
            return self._made[target]
        return next((made for made in self._made.values() if made.id == target), None)

    def _own(self, target: str) -> _Made:
        made = self._find(target)
        if made is None:
            raise Refused("this gate has not made that container", status=HTTPStatus.NOT_FOUND)
        return made

    async def _id_of_own(self, target: str) -> str:
        """Of a container that an earlier gate made, or whose making was not answered."""
        answer = await self._ask("GET", f"/containers/{target}/json")
        found = answer.json()
        labels = found["Config"]["Labels"] or {}
        if labels.get(LABEL) != self._spec.instance:
            raise Refused("No such container of this gate's", status=HTTPStatus.NOT_FOUND)
        return str(found["Id"])

    # Asking

    async def _ask(self, method: str, path: str, *, body: Any = None) -> DaemonResponse:
        return await self._daemon.ask(method, f"/v{self._version}{path}", body=body)

    async def _done(self, method: str, path: str) -> bytes:
        return http1.answer_bytes((await self._ask(method, path)).status, b"")


def _nothing_but_path(request: Request) -> None:
    if request.query or request.body:
        raise Refused("this takes neither a query nor a body")


def _is_true(text: str | None) -> bool:
    return text not in (None, "", "0", "False", "false")


def _no_verb(request: Request) -> Refused:
    return Refused(
        f"{request.method} {request.path[:80]} is not one of this gate's verbs: it does what "
        "execbox's engine needs and nothing else"
    )
