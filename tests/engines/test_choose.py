"""Which engine is taken, and that none is taken that is not there."""

from __future__ import annotations

import pytest
from harness.bench import bench_settings

from execbox_service.engines.base import EngineUnavailable
from execbox_service.engines.choose import EngineChoice, choose_engine
from execbox_service.engines.container_spec import ContainerSpec, container_spec
from tests.engines.conftest import need_engine

# Not a unix socket: the SDK does not close one that cannot be connected.
NO_DAEMON = "tcp://127.0.0.1:1"


def spec(**settings: str) -> ContainerSpec:
    return container_spec(bench_settings(**settings))


@pytest.mark.parametrize("choice", ["auto", "docker"])
async def test_docker_is_taken_where_it_is_there(choice: EngineChoice) -> None:
    """Asked for by name or not."""
    need_engine("docker")
    engine, facts = await choose_engine(choice, spec())
    await engine.stop()
    assert facts.engine == "docker"
    assert facts.weaker_than_docker == ()


@pytest.mark.parametrize(
    "settings", [{"docker_host": NO_DAEMON}, {"image": "execbox-no-such-image:local"}]
)
async def test_auto_takes_bubblewrap_where_docker_cannot_run_the_image(
    settings: dict[str, str],
) -> None:
    """No daemon, or none that has the image; what is weaker is part of the facts."""
    need_engine("bubblewrap")
    engine, facts = await choose_engine("auto", spec(**settings))
    await engine.stop()
    assert facts.engine == "bubblewrap"
    assert facts.image == f"host:python-{facts.python}"
    assert facts.weaker_than_docker


async def test_docker_asked_for_by_name_is_not_replaced() -> None:
    """Whoever asks for Docker gets Docker or nothing, and is told why."""
    with pytest.raises(EngineUnavailable, match=r"docker: .*daemon"):
        await choose_engine("docker", spec(docker_host=NO_DAEMON))
