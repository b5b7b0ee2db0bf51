"""Whether the nodes of a fleet run the same, and what they permit together; pure.

Outputs and certificates depend on the image that functions run in and on the version of the
service that judges them. Where those differ, the nodes' answers do not belong into one data set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from execbox import wire
from execbox.errors import MixedNodes

__all__ = ["Identity", "identity_of", "merged_capabilities", "mixed_nodes", "stranger"]

_OPTION = (
    "allow it with mixed_nodes='allow' (on the command line --mixed-nodes allow, or "
    "EXECBOX_MIXED_NODES=allow)"
)


@dataclass(frozen=True, slots=True)
class Identity:
    """What must be the same on every node."""

    image: str
    version: str

    def __str__(self) -> str:
        return f"image {self.image}, execbox {self.version}"


def identity_of(capabilities: wire.Capabilities) -> Identity:
    """Of the node that said ``capabilities`` of itself."""
    return Identity(capabilities.image, capabilities.version)


def mixed_nodes(identities: Mapping[str, Identity]) -> MixedNodes | None:
    """The error for nodes, by address, that are not all the same; None where they are."""
    if len(set(identities.values())) < 2:
        return None
    nodes = "; ".join(f"{address} has {identity}" for address, identity in identities.items())
    return MixedNodes(
        f"the nodes of the fleet do not run the same: {nodes}. {_why(identities.values())}, leave "
        f"out the addresses that differ, or {_OPTION}"
    )


def stranger(identity: Identity, *, address: str, among: Identity) -> MixedNodes | None:
    """The error for a node that comes later and differs from those that a client began with."""
    if identity == among:
        return None
    return MixedNodes(
        f"{address} has {identity}, and the nodes that this client began with had {among}. "
        f"{_why((identity, among))}, begin with a new client where all nodes have changed, or "
        f"{_OPTION}"
    )


def _why(identities: Iterable[Identity]) -> str:
    several = len({identity.image for identity in identities}) > 1
    what, remedy = (
        ("images", "give every node the same image (docker save and docker load keep its id)")
        if several
        else ("versions", "start the same version on every node")
    )
    return f"Outputs and certificates of different {what} do not belong into one data set: {remedy}"


def merged_capabilities(nodes: Sequence[wire.Capabilities]) -> wire.Capabilities:
    """What holds for every node: sums of slots, the lowest maxima, what all of them have.

    Of nodes that differ, ``image``, ``version``, ``engine`` and ``python`` list each once,
    separated by commas.
    """
    first, *others = nodes
    if not others:
        return first
    return first.model_copy(
        update={
            **{name: _listed(nodes, name) for name in ("image", "version", "engine", "python")},
            **{
                name: _common(nodes, name)
                for name in ("isolation", "profiles", "languages", "packages")
            },
            **{
                name: _lowest(nodes, name)
                for name in ("calls_max", "body_bytes_max", "answer_bytes_max", "json_depth_max")
            },
            **{
                name: _summed(nodes, name)
                for name in ("key_concurrency_max", "key_rate_per_s", "key_burst_count")
            },
            "concurrency": sum(node.concurrency for node in nodes),
            "limits_max": {
                name: min(node.limits_max.get(name, most) for node in nodes)
                for name, most in first.limits_max.items()
            },
            "weaker_than_docker": sorted({each for n in nodes for each in n.weaker_than_docker}),
        }
    )


def _listed(nodes: Sequence[wire.Capabilities], name: str) -> str:
    return ", ".join(dict.fromkeys(str(getattr(node, name)) for node in nodes))


def _common(nodes: Sequence[wire.Capabilities], name: str) -> object:
    """What every node has, in the first one's order; of packages, in the same version."""
    first, *others = (getattr(node, name) for node in nodes)
    if isinstance(first, dict):
        return {
            key: value
            for key, value in first.items()
            if all(other.get(key) == value for other in others)
        }
    return [each for each in first if all(each in other for other in others)]


def _lowest(nodes: Sequence[wire.Capabilities], name: str) -> int | None:
    told = [value for node in nodes if (value := getattr(node, name)) is not None]
    return min(told, default=None)


def _summed(nodes: Sequence[wire.Capabilities], name: str) -> float | None:
    """None, which is no limit, as soon as one node has none."""
    values = [getattr(node, name) for node in nodes]
    return None if None in values else sum(values)
