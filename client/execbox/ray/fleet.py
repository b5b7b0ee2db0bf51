"""``start_fleet``: one service on every node of a Ray cluster, as detached actors with CPUs of
their own; ``find_fleet`` and ``Fleet``. What such an actor does is in ``service_actor``.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from execbox.config import ClientConfig, MixedNodesRule, config_from_env
from execbox.errors import ConfigError, ServiceUnavailable
from execbox.ray.service_actor import ServiceActor

__all__ = ["Fleet", "find_fleet", "start_fleet"]

_NAMESPACE: Final = "execbox"
_KEY_NAME: Final = "fleet"
_ANSWER_S: Final = 5.0
_PLACE_S: Final = 60.0
"""For Ray to begin an actor on a node that has room for it; its own start has a time of its own."""
_STOP_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """The services of one name on the Ray cluster that this process is connected to.

    Called, it returns the addresses that answer now, so it is what a client takes for an address::

        AsyncClient(fleet, api_key=fleet.api_key)

    It can be pickled into tasks and actors of the same cluster. ``not_started`` says, by node,
    why ``start_fleet`` found no service there.
    """

    name: str
    api_key: str = field(repr=False)
    not_started: Mapping[str, str] = field(default_factory=dict)

    def __call__(self) -> list[str]:
        return self.addresses()

    def addresses(self) -> list[str]:
        """Where its services are, without those that are being started again, whose node is lost,
        or that take a different key.

        Takes up to 5 s where nodes do not answer.
        """
        asked = [actor.address.remote(self.api_key) for actor in _actors(self.name)]
        return sorted(address for address in _answers(asked) if address is not None)

    def config(self, *, mixed_nodes: MixedNodesRule | None = None) -> ClientConfig:
        """The settings of a client of this fleet."""
        return config_from_env(self, api_key=self.api_key, mixed_nodes=mixed_nodes)

    def stop(self) -> None:
        """End all its services; what is running on them may end first, for up to 30 s."""
        ending = [actor.stop.remote() for actor in _actors(self.name)]
        ray.wait(ending, num_returns=len(ending), timeout=_STOP_S)
        for actor in _actors(self.name):
            ray.kill(actor)


def find_fleet(name: str = "fleet") -> Fleet | None:
    """The fleet that ``start_fleet`` started under this name, perhaps in a different program."""
    _check_connected()
    keys = _answers([actor.api_key.remote() for actor in _actors(name)])
    return Fleet(name, keys[0]) if keys else None


def start_fleet(
    name: str = "fleet",
    *,
    slots: int | None = None,
    port: int = 8080,
    api_key: str | None = None,
    settings: Mapping[str, str] | None = None,
    start_timeout_s: float = 300.0,
) -> Fleet:
    """A service on every node that has CPUs, those that run under ``name`` already included.

    Each reserves ``slots`` CPUs of its node, and runs as many executions at once; by default all
    but one, which is left to Ray's own tasks. It takes the first free port from ``port`` on, at
    the node's own address. ``settings`` are ``EXECBOX_…`` variables for the services.
    ``api_key`` is the key they take: by default ``EXECBOX_API_KEY``, else a new one, which every
    program on the cluster can ask for with ``find_fleet``. Ray starts a service again that ends;
    a node that joins later gets one when this is called again.

    Waits ``start_timeout_s`` for a service to be ready, and a minute for Ray to begin it. One that
    waits longer for CPUs is in ``not_started``, and starts when they are free.

    Raises ``ConfigError`` for what cannot be used, and ``ServiceUnavailable`` with each node's
    reason where no service starts at all; then none starts later.
    """
    _check_connected()
    _check_arguments(slots, port, settings)
    key = _key(find_fleet(name), api_key)
    made = {
        where: actor.remote(port=own_port, api_key=key, start_timeout_s=start_timeout_s)
        for where, (actor, own_port) in _actors_to_make(
            name, key, slots=slots, port=port, settings=settings or {}
        ).items()
    }
    if not made:
        raise ServiceUnavailable("the Ray cluster has no node with a CPU")
    started = _started(made, within_s=start_timeout_s + _PLACE_S)
    if not started.keys:
        for where in started.waiting:
            # It would take CPUs when they are free, for a fleet that there is not.
            ray.kill(made[where])
        told = "\n".join(f"{where}: {problem}" for where, problem in started.problems.items())
        raise ServiceUnavailable(f"no service of the fleet {name} started:\n{told}")
    return _fleet(name, started, api_key=api_key)


def _check_connected() -> None:
    if not ray.is_initialized():
        raise ConfigError('this process is not connected to Ray: call ray.init("auto") first')


def _check_arguments(slots: int | None, port: int, settings: Mapping[str, str] | None) -> None:
    if slots is not None and slots < 1:
        raise ConfigError(f"slots must be 1 or more, not {slots}")
    if not 1 <= port <= 65_535:
        raise ConfigError(f"port must be 1 to 65535, not {port}")
    for variable in settings or {}:
        if not variable.startswith("EXECBOX_"):
            raise ConfigError(f"settings are variables that begin with EXECBOX_, not {variable!r}")


def _key(running: Fleet | None, api_key: str | None) -> str:
    if running is None:
        return config_from_env(api_key=api_key).api_key or secrets.token_hex(32)
    _check_key(running.name, running.api_key, asked_for=api_key)
    return running.api_key


def _check_key(name: str, key: str, *, asked_for: str | None) -> None:
    if asked_for is not None and asked_for != key:
        raise ConfigError(
            f"the fleet {name} runs with a different API key: leave api_key out, or stop it first"
        )


def _fleet(name: str, started: _Started, *, api_key: str | None) -> Fleet:
    """What of the services is one fleet.

    The key is the one that they take, which is not that of this program where a different one
    started them a moment ago, and they did not answer yet. Where two have started some each, both
    take the key of the first node that has a service.
    """
    key = next(iter(started.keys.values()))
    _check_key(name, key, asked_for=api_key)
    others = {
        where: "it takes a different API key, of a program that started the fleet at the same "
        "moment: end it with stop(), and start it again"
        for where, its_key in started.keys.items()
        if its_key != key
    }
    return Fleet(name, key, not_started={**started.problems, **others})


def _environment(cpu_count: int, api_key: str) -> dict[str, str]:
    digest = hashlib.sha256(api_key.encode()).hexdigest()
    return {"EXECBOX_API_KEY_HASHES": f"{_KEY_NAME}:{digest}", "EXECBOX_SLOT_COUNT": str(cpu_count)}


def _nodes() -> list[dict[str, Any]]:
    """Those that have CPUs, in an order that is the same for every program."""
    found = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
    return sorted(found, key=lambda node: str(node["NodeID"]))


def _cpus_of(node: Mapping[str, Any], slots: int | None) -> int:
    return slots or max(1, int(node["Resources"]["CPU"]) - 1)


def _prefix(name: str) -> str:
    return f"{name}@"


def _actors_to_make(
    name: str, api_key: str, *, slots: int | None, port: int, settings: Mapping[str, str]
) -> dict[str, tuple[Any, int]]:
    """By node, and the port it tries first."""
    found = {}
    at_address: Counter[str] = Counter()
    for node in _nodes():
        address, cpu_count = node["NodeManagerAddress"], _cpus_of(node, slots)
        environment = {**settings, **_environment(cpu_count, api_key)}
        actor = _actor_on(node, name=name, cpu_count=cpu_count, environment=environment)
        # Several nodes on one machine start at the same moment, and would take the same port.
        found[f"{address} ({node['NodeID'][:8]})"] = (actor, port + at_address[address])
        at_address[address] += 1
    return found


def _actor_on(
    node: Mapping[str, Any], *, name: str, cpu_count: int, environment: Mapping[str, str]
) -> Any:
    """The actor of a node: to be made, or the one that is there."""
    return ray.remote(ServiceActor).options(
        name=_prefix(name) + node["NodeID"],
        namespace=_NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        num_cpus=cpu_count,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
        runtime_env={"env_vars": dict(environment)},
    )


def _actors(name: str) -> list[Any]:
    """In the order of their nodes."""
    found = []
    named = ray.util.list_named_actors(all_namespaces=True)
    for each in sorted(named, key=lambda each: str(each["name"])):
        if each["namespace"] == _NAMESPACE and each["name"].startswith(_prefix(name)):
            try:
                found.append(ray.get_actor(each["name"], namespace=_NAMESPACE))
            except ValueError:  # It has ended since.
                continue
    return found


def _answers(asked: list[Any]) -> list[Any]:
    """What actors answer within a few seconds; those lost or being started are left out."""
    if not asked:
        return []
    answered, _ = ray.wait(asked, num_returns=len(asked), timeout=_ANSWER_S)
    found = []
    for each in answered:
        try:
            found.append(ray.get(each))
        except RayError:
            continue
    return found


@dataclass(frozen=True, slots=True)
class _Started:
    """What became of the services, by node, in the nodes' order."""

    keys: Mapping[str, str]
    """Of those that answer."""
    problems: Mapping[str, str]
    """Why the others do not."""
    waiting: Sequence[str]
    """Those of the others that Ray may start yet."""


def _started(made: Mapping[str, Any], *, within_s: float) -> _Started:
    """Wait until each answers or has failed. An actor is not begun before its CPUs are free, which
    may be never."""
    asked = {where: actor.api_key.remote() for where, actor in made.items()}
    answered, _late = ray.wait(list(asked.values()), num_returns=len(asked), timeout=within_s)
    waiting = [where for where, each in asked.items() if each not in answered]
    keys = {}
    problems = dict.fromkeys(
        waiting,
        f"not begun in {within_s:g} s: its CPUs are not free, other work on the cluster has them; "
        "ask for fewer slots, or end that work",
    )
    for where, each in asked.items():
        if where in waiting:
            continue
        try:
            keys[where] = ray.get(each)
        except RayError as error:
            problems[where] = str(error).strip()
    return _Started(keys, problems, waiting)
