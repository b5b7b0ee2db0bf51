"""The Docker engine: one throwaway container per sandbox, spoken to over its attach stream.

What a container may do is in ``docker/policy.py``. Calls of the Docker SDK block, so they run in
threads of this engine's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import json
import logging
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.utils import convert_filters

from execbox_service.engines.base import (
    EngineFacts,
    EngineUnavailable,
    Lacking,
    PostMortem,
    SandboxLost,
)
from execbox_service.engines.container_spec import ContainerSpec
from execbox_service.engines.docker import container_names
from execbox_service.engines.docker.attach import AttachedStream
from execbox_service.engines.docker.connection import connect
from execbox_service.engines.docker.orphans import Orphans
from execbox_service.engines.docker.policy import (
    LABEL,
    PACKAGES_PATH,
    host_config,
    packages_arguments,
    sandbox_arguments,
)
from execbox_service.runner_frames import Fault, OtherProtocol, Ready, SupervisorFrame

logger = logging.getLogger(__name__)

_READY_S = 30.0
_ENGINE_THREAD_COUNT = 16
"""As many as the pool makes at once, and as many that remove."""
_BUILD = "build it with 'execbox image build' ('make image' in a checkout)"
_GONE_S, _GONE_LOOK_S = 10.0, 0.05
_HOLDER_AGE_MAX_S = 600
"""Well before a supervisor that hears nothing ends by itself."""
_OOM_EVENT_DELAY_S = 0.3
_SAID_CHARS_MAX = 300
"""Of what the SDK says that a daemon said."""
_LOOK_S = 10.0
"""A daemon that has not listed its containers by then is not there for those who wait."""
_P = ParamSpec("_P")
_T = TypeVar("_T")


class DockerSandbox:
    """One running container and the stream to its supervisor."""

    def __init__(
        self, engine: DockerEngine, name: str, *, stream: AttachedStream, ready: Ready
    ) -> None:
        self.name = name
        self.ready = ready
        self.created_s = time.monotonic()
        self._engine = engine
        self._stream = stream

    @property
    def lost(self) -> bool:
        """Whether the stream is already known to be broken."""
        return self._stream.closed

    def send(self, *frame: bytes) -> None:
        self._stream.send(*frame)

    async def receive(self, timeout_s: float) -> SupervisorFrame:
        return await self._stream.receive(timeout_s)

    async def set_memory_mb(self, memory_mb: int) -> None:
        try:
            await self._engine.update_memory(self.name, memory_mb)
        except EngineUnavailable as error:
            raise SandboxLost(str(error)) from error

    async def post_mortem(self) -> PostMortem:
        return PostMortem(oom_killed=await self._engine.saw_oom(self.name))

    async def destroy(self) -> None:
        self._stream.close()
        await self._engine.remove(self.name)


class DockerEngine:
    """Makes sandboxes on a Docker daemon, local or remote."""

    def __init__(self, spec: ContainerSpec) -> None:
        self._spec = spec
        self._threads = ThreadPoolExecutor(_ENGINE_THREAD_COUNT, thread_name_prefix="docker")
        self._api: docker.APIClient | None = None
        self._options: Any = None
        self._own: set[str] = set()
        self._orphans = Orphans(spec)
        self._holder: DockerSandbox | None = None
        self._previous_holder: DockerSandbox | None = None
        self._holder_lock = asyncio.Lock()
        self._image_id = spec.image
        self._stopped = False

    # Life of the engine

    async def start(self) -> EngineFacts:
        await self._call(self._connect)
        await self.sweep(everything=True)
        packages = await self._call(self._read_packages)
        return EngineFacts(
            engine="docker",
            image=self._image_id,
            python=packages["python"],
            packages=packages["packages"],
            imports=packages["imports"],
            # An image from before it had the entry runs what it always did.
            languages=tuple(packages.get("languages", ["python"])),
        )

    async def stop(self) -> None:
        for holder in (self._holder, self._previous_holder):
            if holder is not None:
                await holder.destroy()
        await asyncio.gather(*(self.remove(name) for name in list(self._own)))
        with contextlib.suppress(EngineUnavailable):
            await self.sweep(everything=True)
            await self._see_all_gone()
        self._stopped = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._api is not None:
            self._api.close()

    async def _see_all_gone(self) -> None:
        """Wait, for a while, for what the daemon has begun to remove by itself: containers end when
        their stream closes, and removing one that is being removed returns at once."""
        deadline_s = time.monotonic() + _GONE_S
        while await self._call(self._any_left):
            if time.monotonic() > deadline_s:
                logger.warning("the daemon is still removing containers after %g s", _GONE_S)
                return
            await asyncio.sleep(_GONE_LOOK_S)

    def _any_left(self) -> bool:
        return any(map(self._orphans.is_ours, self._listed()))

    def _connect(self) -> None:
        self._api = connect(self._spec.docker_host, oci_runtime=self._spec.oci_runtime)
        # A name may mean a different image by now than to the rest of the service.
        self._image_id = self._spec.image_id or self._named_image_id()
        self._options = host_config(self._client, self._spec)

    def _named_image_id(self) -> str:
        try:
            return str(self._client.inspect_image(self._spec.image)["Id"])
        except ImageNotFound as error:
            raise Lacking(
                f"the Docker daemon has no image {self._spec.image}",
                remedy=f"{_BUILD}, or set EXECBOX_IMAGE to one it has",
            ) from error

    def look(self) -> str:
        """The image's id, without starting the engine; blocks. Raises EngineUnavailable."""
        try:
            self._connect()
        except (DockerException, requests.RequestException, OSError) as error:
            raise EngineUnavailable(_short(error)) from error
        finally:
            if self._api is not None:
                self._api.close()
        return self._image_id

    @property
    def _client(self) -> docker.APIClient:
        if self._api is None:
            raise EngineUnavailable("the engine has not been started")
        return self._api

    def _read_packages(self) -> dict[str, Any]:
        """Read the image's own list of packages out of a container that is never started."""
        arguments = packages_arguments(self._spec, image_id=self._image_id)
        try:
            container = self._client.create_container(
                name=self._new_name(), use_config_proxy=False, **arguments
            )
        except ImageNotFound as error:
            raise Lacking(
                f"the Docker daemon no longer has the image {self._image_id}, with which this "
                "service began",
                remedy="restart the service, which then begins with the one it has",
            ) from error
        try:
            chunks, _stat = self._client.get_archive(container["Id"], PACKAGES_PATH)
            archive = b"".join(chunks)
            # A tar of one small file: a 512-byte header, then the file.
            size = int(archive[124:135], 8)
            found: dict[str, Any] = json.loads(archive[512 : 512 + size])
            return found
        finally:
            self._client.remove_container(container["Id"], force=True)

    # Containers

    async def create(self) -> DockerSandbox:
        holder = await self._network_holder() if self._spec.shared_network else None
        return await self._create_named(holder)

    async def _network_holder(self) -> str:
        """A container that nothing ever runs in, for others to join its empty network.

        Setting up a network of its own is a third and more of what a container costs. Those that
        have joined keep the network when the holder goes. One that is replaced stays until the next
        is: a container that has its name may not have started yet.
        """
        async with self._holder_lock:
            old = self._holder
            if old is None or old.lost or time.monotonic() - old.created_s > _HOLDER_AGE_MAX_S:
                self._holder = await self._create_named(None)
                past, self._previous_holder = self._previous_holder, old
                if past is not None:
                    await past.destroy()
                return self._holder.name
            return old.name

    async def _create_named(self, holder: str | None) -> DockerSandbox:
        name = self._new_name()
        self._own.add(name)
        try:
            return await self._create(name, holder)
        except BaseException:
            await asyncio.shield(self.remove(name))
            raise

    async def _create(self, name: str, holder: str | None) -> DockerSandbox:
        stream = await AttachedStream.open(await self._call(self._create_attached, name, holder))
        try:
            await self._call(self._client.start, name)
            ready = await stream.receive(_READY_S)
            if isinstance(ready, Fault):
                raise EngineUnavailable(f"a new container gave up: {ready.message}")
            if isinstance(ready, OtherProtocol):
                raise Lacking(f"the image {self._spec.image}: {ready}", remedy=_BUILD)
            if not isinstance(ready, Ready):
                raise EngineUnavailable("a new container answered something else than ready")
        except SandboxLost as error:
            stream.close()
            raise EngineUnavailable(f"a new container did not become ready: {error}") from error
        except BaseException:
            stream.close()
            raise
        return DockerSandbox(self, name, stream=stream, ready=ready)

    def _create_attached(self, name: str, holder: str | None) -> socket.socket:
        arguments = sandbox_arguments(
            self._spec, image_id=self._image_id, joins_network=holder is not None
        )
        network = {} if holder is None else {"NetworkMode": f"container:{holder}"}
        self._client.create_container(
            name=name,
            host_config=self._options | network,
            # Or proxies of the operator's own Docker configuration would be in the environment.
            use_config_proxy=False,
            **arguments,
        )
        params = {"stream": 1, "stdin": 1, "stdout": 1, "stderr": 1}
        attached = self._client.attach_socket(name, params=params)
        raw = getattr(attached, "_sock", attached)
        # A descriptor of our own, because the SDK's belongs to a response; that one is closed here,
        # or it would stay open until the garbage collector finds it.
        ours = socket.socket(fileno=os.dup(raw.fileno()))
        attached._response.close()
        return ours

    async def update_memory(self, name: str, memory_mb: int) -> None:
        """Change the memory limit of a container that has not run anything yet."""
        limit_bytes = self._spec.memory_bytes(memory_mb)
        await self._call(
            self._client.update_container, name, mem_limit=limit_bytes, memswap_limit=limit_bytes
        )

    async def remove(self, name: str) -> None:
        """Kill and remove a container; one that is gone already is fine, failures are logged."""
        if self._stopped:
            return
        try:
            await self._call(self._remove, name)
        except EngineUnavailable as error:
            # It ends by itself, because its stream is closed; if not, the sweep finds it.
            logger.warning("could not remove container %s: %s", name, error)
        finally:
            self._own.discard(name)

    def _remove(self, name: str) -> None:
        try:
            self._client.remove_container(name, force=True, v=True)
        except NotFound:
            return
        except APIError as error:
            # 409: the daemon is removing it already, because it ended (auto_remove).
            if error.status_code != 409:
                raise

    async def saw_oom(self, name: str) -> bool:
        """Whether the daemon reported an OOM kill in this container: it remembers recent events."""
        await asyncio.sleep(_OOM_EVENT_DELAY_S)
        try:
            async with asyncio.timeout(_LOOK_S):
                return await self._call(self._oom_event, name)
        except (EngineUnavailable, TimeoutError):
            return False

    def _oom_event(self, name: str) -> bool:
        """No name is given twice, so what happened in a container needs no beginning.

        Not by the SDK's ``events``, which waits without a limit for a daemon that has fallen
        silent, and would hold one of our threads for ever.
        """
        client = self._client
        answer = client.get(
            f"{client.base_url}/v{client.api_version}/events",
            params={
                "since": "0",
                "until": str(self._daemon_time_s() + 1),
                "filters": str(convert_filters({"container": name, "event": "oom"})),
            },
            stream=True,
            timeout=_LOOK_S,
        )
        with answer:
            answer.raise_for_status()
            return any(answer.iter_lines())

    def _daemon_time_s(self) -> int:
        """What the daemon's clock says, in whole seconds; ours, where it says nothing.

        By a clock that is behind the daemon's, what happened last would not be told; by one that is
        ahead, the daemon would wait for that time to come.
        """
        answer = self._client.get(f"{self._client.base_url}/_ping", timeout=self._client.timeout)
        said = answer.headers.get("Date")
        return int(email.utils.parsedate_to_datetime(said).timestamp() if said else time.time())

    async def sweep(self, *, everything: bool = False) -> int:
        """Remove containers of ours that no job leases.

        Of this instance: those that are not in use here (``everything`` is for the start, when
        none is). Of other instances: those that have ended or were never started, since a living
        service removes its own.
        """
        used = set(self._own)
        try:
            async with asyncio.timeout(_LOOK_S):
                listed = await self._call(self._listed)
        except TimeoutError as error:
            raise EngineUnavailable(
                f"the Docker daemon has not said within {_LOOK_S:g} s which containers there are"
            ) from error
        names = self._orphans.found(
            listed, used=used | self._own, everything=everything, now_s=time.monotonic()
        )
        for name in names:
            await self.remove(name)
        if names:
            logger.warning("removed %d containers without an owner", len(names))
        return len(names)

    def _listed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._client.containers(all=True, filters={"label": LABEL})
        return found

    def _new_name(self) -> str:
        return container_names.new_name(self._spec.worker_number)

    async def _call(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run a blocking call of the SDK in a thread; whatever fails there is the engine's."""
        if self._stopped:
            raise EngineUnavailable("the engine has been stopped")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, lambda: function(*args, **kwargs))
        except (DockerException, requests.RequestException, OSError) as error:
            raise EngineUnavailable(_short(error)) from error


def _short(error: Exception) -> str:
    text = str(error).replace("\n", " ")
    full = "no space left on device" in text
    if len(text) > _SAID_CHARS_MAX:
        # What was asked stands in front, and why it failed at the end.
        text = f"{text[: _SAID_CHARS_MAX // 3]} ... {text[-2 * _SAID_CHARS_MAX // 3 :]}"
    remedy = "; the disk of its data root is full: docker system prune" if full else ""
    return f"the Docker daemon: {text}{remedy}"
