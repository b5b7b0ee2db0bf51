"""A started ``Runtime`` on real containers, and short ways to run something on it. No tests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from execbox.wire import (
    ErrorCode,
    ExecuteRequest,
    ExecuteResponse,
    Execution,
    GenerateRequest,
    GenerateResponse,
)
from execbox_service.engines.docker.policy import LABEL
from execbox_service.failures import ServiceFailure
from execbox_service.operations.registry import EXECUTE, GENERATE
from execbox_service.runtime import Runtime
from execbox_service.scheduling.caller import Caller
from execbox_service.settings import Settings, load_settings
from harness.docker_daemon import docker_client
from harness.local_service import free_port

_SENT_AGAIN_MAX = 2

IMAGE: str = Settings.model_fields["image"].default
"""What the scripts build; of the settings, so that the name of one that was tried is never left."""


@dataclass(frozen=True)
class Bench:
    """A runtime that has started, and the settings it was started with."""

    runtime: Runtime
    settings: Settings

    async def request(
        self,
        code: str,
        calls: Iterable[Mapping[str, Any]],
        *,
        principal: str = "test",
        **fields: Any,
    ) -> ExecuteResponse:
        """Run a job; ``fields`` are those of an execute request, ``entry_point`` included."""
        function = {"code": code} | {
            name: fields.pop(name) for name in ("entry_point", "prelude") if name in fields
        }
        body = {"function": function, "calls": list(calls)} | fields
        request = ExecuteRequest.model_validate(body)
        for _ in range(_SENT_AGAIN_MAX):
            try:
                return await self.runtime.perform(EXECUTE, request, caller=Caller(principal))
            except ServiceFailure as failure:
                # As a client does: beside other tests an execution can be starved twice.
                if failure.code is not ErrorCode.MACHINE_TOO_BUSY:
                    raise
        return await self.runtime.perform(EXECUTE, request, caller=Caller(principal))

    async def calls(self, code: str, *inputs: list[Any], **fields: Any) -> list[Execution]:
        """Run one call for each list of positional arguments; the executions in their order."""
        response = await self.request(code, [{"args": args} for args in inputs], **fields)
        return list(response.executions)

    async def call(self, code: str, *args: Any, **fields: Any) -> Execution:
        """Run a job of one call with these positional arguments."""
        (execution,) = await self.calls(code, list(args), **fields)
        return execution

    async def generate(self, code: str, generator: str, **fields: Any) -> GenerateResponse:
        """Draw inputs and run them, at the quickest level unless ``fields`` say otherwise."""
        body = {
            "function": {"code": code},
            "input_generator": {"code": generator},
            "isolation": "process",
        } | fields
        request = GenerateRequest.model_validate(body)
        return await self.runtime.perform(GENERATE, request, caller=Caller("test"))

    def containers(self) -> list[dict[str, Any]]:
        """What the daemon has of this service, ended containers included."""
        return containers_of(instance_of(self.settings))

    def is_quiet(self, container_count: int) -> bool:
        """Whether the pool has made all that it keeps, and the daemon has so many containers: then
        none of them is being made or removed."""
        pool = self.runtime._pool
        return (
            pool is not None
            and pool.warm_count == self.settings.pool_size
            and len(self.containers()) == container_count
        )


def instance_of(settings: Settings) -> str:
    """The value of the label that every container of a service carries."""
    return settings.instance_name


def containers_of(instance: str) -> list[dict[str, Any]]:
    """What the daemon has of one service, ended containers included."""
    with docker_client() as client:
        found: list[dict[str, Any]] = client.containers(
            all=True, filters={"label": f"{LABEL}={instance}"}
        )
    return found


def bench_settings(**overrides: str) -> Settings:
    """Settings for a service of a test's own; the port keeps its containers apart from others'."""
    values = {"engine": "docker", "image": IMAGE, "port": str(free_port()), "pool_size": "2"}
    # As many containers as a test asks for, and no more after a burst.
    values["pool_size_max"] = "0"
    # Tests run jobs beside each other, on a machine with one core, too.
    values["slot_count"] = str(max(2, load_settings({}).slot_count))
    return load_settings(values | overrides)


@contextlib.contextmanager
def held_port() -> Iterator[int]:
    """A port for a service that listens on none, and whose containers are named by it.

    Held meanwhile: a service that got the same one would take these containers for what an earlier
    run of its own left, and remove them.
    """
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextlib.asynccontextmanager
async def started_bench(**overrides: str) -> AsyncIterator[Bench]:
    """A service of a test's own; nothing of it is left afterwards."""
    with held_port() as port:
        settings = bench_settings(**{"port": str(port)} | overrides)
        runtime = Runtime(settings)
        await runtime.start()
        try:
            yield Bench(runtime, settings)
        finally:
            await runtime.stop()


async def eventually(condition: Callable[[], bool], *, within_s: float = 20) -> None:
    """Wait until something holds; an error if it does not in time."""
    deadline_s = time.monotonic() + within_s
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline_s, "waited in vain"
        await asyncio.sleep(0.05)
