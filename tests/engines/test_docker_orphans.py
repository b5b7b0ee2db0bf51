"""Which containers the search for orphans takes, from what a daemon says there is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from execbox_service.engines.container_spec import container_spec
from execbox_service.engines.docker.engine import DockerEngine
from execbox_service.engines.docker.policy import LABEL
from execbox_service.settings import load_settings

OURS, OTHERS = {LABEL: "ours"}, {LABEL: "others"}
LONG_AGO_S, JUST_NOW_S = 1_000_000, 2**33
"""When a container was made. Just now is later than any test runs."""
ID = "0123456789ab" * 5


def listed(**fields: Any) -> dict[str, Any]:
    """One entry of the daemon's list."""
    return {
        "Id": ID,
        "Names": ["/execbox-1"],
        "Labels": OURS,
        "State": "running",
        "Created": LONG_AGO_S,
    } | fields


@pytest.mark.parametrize(
    ("container", "found"),
    [
        (listed(), ["execbox-1"]),
        (listed(Created=JUST_NOW_S), []),
        (listed(State="removing"), []),
        (listed(Names=["/execbox-used"]), []),
        (listed(Names=None, State="dead"), [ID]),
        (listed(Names=[], State="dead"), [ID]),
        (listed(Labels=OTHERS), []),
        (listed(Labels=OTHERS, State="exited"), ["execbox-1"]),
        (listed(Labels=OTHERS, State="exited", Created=JUST_NOW_S), []),
        (listed(Labels=None), []),
    ],
)
def test_orphans_are_taken_by_owner_age_and_state(
    container: dict[str, Any], found: list[str]
) -> None:
    """An entry that lacks names or labels does not end the search."""
    engine = DockerEngine(container_spec(load_settings({"instance": "ours"})))
    engine._own.add("execbox-used")
    client: Any = SimpleNamespace(containers=lambda **_ignored: [container])
    engine._api = client
    assert engine._orphans(False) == found
