"""``docker-compose.yml`` against the settings that there are: none is dropped without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from execbox_service.gate.__main__ import gate_server
from execbox_service.settings import ENV_PREFIX, Settings

ROOT: Final = Path(__file__).resolve().parents[1]
DECIDED: Final = {"host", "port", "engine", "docker_host", "gate_socket"}
"""What the file itself says, because its services belong together."""
OF_THE_GATE_ONLY: Final = {"gate_container_count_max"}


def environment(service: str) -> dict[str, str]:
    """What a container of the file has in its environment, by the name of the setting."""
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    given = document["services"][service]["environment"]
    return {name.removeprefix(ENV_PREFIX).lower(): value for name, value in given.items()}


def is_handed_on(field: str, given: dict[str, str]) -> bool:
    """Whether the setting is what the variable of its own name says."""
    return f"${{{ENV_PREFIX}{field.upper()}:" in given.get(field, "")


@pytest.mark.parametrize("field", sorted(Settings.model_fields.keys() - DECIDED - OF_THE_GATE_ONLY))
def test_setting_given_to_compose_reaches_the_service(field: str) -> None:
    """A variable that is set and has no effect is told to nobody."""
    assert is_handed_on(field, environment("execbox"))


READ: Final[set[str]] = set()


class _Noting(Settings):
    """Notes in ``READ`` which of its fields are read."""

    def __getattribute__(self, name: str) -> Any:
        if name in Settings.model_fields:
            READ.add(name)
        return super().__getattribute__(name)


def test_settings_that_the_gate_reads_reach_it_as_they_reach_the_service() -> None:
    """It refuses every container of a service whose settings differ from its own."""
    settings = _Noting(instance="a")
    READ.clear()
    gate_server(settings)
    assert {"image", "slot_count", "tmp_mb"} <= READ
    own, services = environment("gate"), environment("execbox")
    # It logs at the level that its main function reads.
    wanted = (READ | {"log_level"}) - DECIDED
    assert [field for field in sorted(wanted) if not is_handed_on(field, own)] == []
    differing = [name for name in wanted - OF_THE_GATE_ONLY if own[name] != services[name]]
    assert differing == []
