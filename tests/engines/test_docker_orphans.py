"""Which containers the search for orphans takes, from what a daemon says there is."""

from __future__ import annotations

from typing import Any

import pytest

from execbox_service.engines.container_spec import container_spec
from execbox_service.engines.docker.orphans import ABANDONED_S, Orphans
from execbox_service.engines.docker.policy import LABEL
from execbox_service.settings import load_settings

OURS, OTHERS = {LABEL: "ours"}, {LABEL: "others"}
ID = "0123456789ab" * 5


def listed(**fields: Any) -> dict[str, Any]:
    """One entry of the daemon's list."""
    return {
        "Id": ID,
        "Names": ["/execbox-1"],
        "Labels": OURS,
        "State": "running",
        "Created": 2**33,
    } | fields


def orphans() -> Orphans:
    return Orphans(container_spec(load_settings({"instance": "ours"})))


def found(search: Orphans, *containers: dict[str, Any], now_s: float) -> list[str]:
    return search.found(containers, used={"execbox-used"}, everything=False, now_s=now_s)


@pytest.mark.parametrize(
    ("container", "taken"),
    [
        (listed(), ["execbox-1"]),
        (listed(State="removing"), []),
        (listed(Names=["/execbox-used"]), []),
        (listed(Names=None, State="dead"), [ID]),
        (listed(Names=[], State="dead"), [ID]),
        (listed(Labels=OTHERS), []),
        (listed(Labels=OTHERS, State="exited"), ["execbox-1"]),
        (listed(Labels=OTHERS, State="created"), ["execbox-1"]),
        (listed(Labels=None), []),
    ],
)
def test_orphans_are_taken_by_owner_age_and_state(
    container: dict[str, Any], taken: list[str]
) -> None:
    """An entry that lacks names or labels does not end the search; a new one is let be."""
    search = orphans()
    assert found(search, container, now_s=1000.0) == []
    assert found(search, container, now_s=1000.0 + ABANDONED_S) == []
    assert found(search, container, now_s=1001.0 + ABANDONED_S) == taken


@pytest.mark.parametrize("created_s", [0, 2**33], ids=["in 1970", "in 2242"])
def test_orphans_are_no_older_by_the_daemons_clock(created_s: int) -> None:
    """It may be wrong, or be set while a different service's container is being made."""
    search = orphans()
    new = listed(Labels=OTHERS, State="created", Created=created_s)
    assert found(search, new, now_s=5.0) == []


def test_orphans_that_are_gone_are_forgotten() -> None:
    """One that comes later under the same name is new, and nothing piles up."""
    search = orphans()
    found(search, listed(), now_s=0.0)
    found(search, now_s=30.0)
    assert found(search, listed(), now_s=ABANDONED_S + 1) == []
    assert list(search._first_seen_s) == ["execbox-1"]


def test_orphans_at_the_start_are_all_of_this_instance() -> None:
    """None of them can be in use; of others', none is taken for being there."""
    containers = [listed(), listed(Names=["/execbox-2"], Labels=OTHERS, State="exited")]
    assert orphans().found(containers, used=(), everything=True, now_s=0.0) == ["execbox-1"]
