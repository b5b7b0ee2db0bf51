"""As much of Ray as ``execbox.ray.fleet`` asks for, with a clock of its own. No tests.

For what a cluster of one machine cannot be brought to do at a given moment: two programs that start
the same fleet at once, nodes whose CPUs other work holds.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

NEVER_S = float("inf")
_START_S = 20.0


class FakeRayError(Exception):
    """In the place of ``ray.exceptions.RayError``."""


@dataclass(eq=False)
class Ref:
    """What an actor will answer, and when."""

    actor: Actor
    value: Any


class _Method:
    def __init__(self, actor: Actor, name: str) -> None:
        self._actor = actor
        self._name = name

    def remote(self, *args: Any) -> Ref:
        arguments = self._actor.arguments
        key, port = arguments["api_key"], arguments["port"]
        if self._name == "api_key":
            return Ref(self._actor, key)
        (asked_for,) = args
        address = f"http://{self._actor.node_id}:{port}"
        return Ref(self._actor, address if asked_for == key else None)


@dataclass(eq=False)
class Actor:
    """Answers once it has started."""

    node_id: str
    arguments: Mapping[str, Any]
    answers_at_s: float
    error: str | None = None

    @property
    def api_key(self) -> _Method:
        return _Method(self, "api_key")

    @property
    def address(self) -> _Method:
        return _Method(self, "address")


@dataclass
class Cluster:
    """Nodes with two CPUs each, by id."""

    node_ids: Sequence[str] = ("a",)
    now_s: float = 0.0
    busy: set[str] = field(default_factory=set)
    """Nodes whose CPUs other work holds, for ever."""
    broken: set[str] = field(default_factory=set)
    """Nodes on which no service starts."""
    actors: dict[str, Actor] = field(default_factory=dict)
    """By name."""

    def make(self, options: Mapping[str, Any], arguments: Mapping[str, Any]) -> Actor:
        """The actor of this name, which may be there already."""
        name, node_id = options["name"], options["scheduling_strategy"]
        if name not in self.actors:
            answers_at_s = NEVER_S if node_id in self.busy else self.now_s + _START_S
            error = "it does not start" if node_id in self.broken else None
            self.actors[name] = Actor(node_id, arguments, answers_at_s, error)
        return self.actors[name]

    # As in the module ``ray``

    def is_initialized(self) -> bool:
        return True

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {"Alive": True, "NodeID": each, "NodeManagerAddress": each, "Resources": {"CPU": 2}}
            for each in self.node_ids
        ]

    def remote(self, _kind: type) -> Any:
        cluster = self

        class Maker:
            def options(self, **options: Any) -> Any:
                self._options = options
                return self

            def remote(self, **arguments: Any) -> Actor:
                return cluster.make(self._options, arguments)

        return Maker()

    def wait(
        self, refs: list[Ref], *, num_returns: int, timeout: float
    ) -> tuple[list[Ref], list[Ref]]:
        """Time passes until all have answered, or for so long."""
        assert num_returns == len(refs)
        ends_s = min(self.now_s + timeout, max(ref.actor.answers_at_s for ref in refs))
        self.now_s = max(self.now_s, ends_s)
        answered = [ref for ref in refs if ref.actor.answers_at_s <= self.now_s]
        return answered, [ref for ref in refs if ref not in answered]

    def get(self, ref: Ref) -> Any:
        assert ref.actor.answers_at_s <= self.now_s, "it would wait, perhaps for ever"
        if ref.actor.error is not None:
            raise FakeRayError(ref.actor.error)
        return ref.value

    def kill(self, actor: Actor) -> None:
        self.actors = {name: each for name, each in self.actors.items() if each is not actor}

    def list_named_actors(self, *, all_namespaces: bool) -> list[dict[str, str]]:
        assert all_namespaces
        return [{"namespace": "execbox", "name": name} for name in self.actors]

    def get_actor(self, name: str, *, namespace: str) -> Actor:
        assert namespace == "execbox"
        return self.actors[name]


def _module(name: str, **values: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(values)
    return module


def _modules_of(cluster: Cluster) -> dict[str, ModuleType]:
    util = _module("ray.util", list_named_actors=cluster.list_named_actors)
    names = ("is_initialized", "nodes", "remote", "wait", "get", "kill", "get_actor")
    return {
        "ray": _module("ray", util=util, **{name: getattr(cluster, name) for name in names}),
        "ray.util": util,
        "ray.exceptions": _module("ray.exceptions", RayError=FakeRayError),
        "ray.util.scheduling_strategies": _module(
            "ray.util.scheduling_strategies",
            NodeAffinitySchedulingStrategy=lambda node_id, *, soft: node_id,
        ),
    }


@contextlib.contextmanager
def fleets_on(cluster: Cluster) -> Iterator[Any]:
    """``execbox.ray.fleet`` on this cluster; what was imported before is there again afterwards."""
    execbox = importlib.import_module("execbox")
    before = {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] == "ray" or f"{name}.".startswith("execbox.ray.")
    }
    attribute = vars(execbox).pop("ray", None)
    for name in before:
        del sys.modules[name]
    sys.modules.update(_modules_of(cluster))
    try:
        yield importlib.import_module("execbox.ray.fleet")
    finally:
        for name in list(sys.modules):
            if name.partition(".")[0] == "ray" or f"{name}.".startswith("execbox.ray."):
                del sys.modules[name]
        sys.modules.update(before)
        vars(execbox).pop("ray", None)
        if attribute is not None:
            vars(execbox)["ray"] = attribute
