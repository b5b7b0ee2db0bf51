"""Choosing the engine: the one that was asked for, or the first that can isolate. No policy else.

There is no engine that does not isolate, so where none starts the service does not either.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Final, Literal

from execbox_service.engines.base import Engine, EngineFacts, EngineUnavailable
from execbox_service.engines.container_spec import ContainerSpec

logger = logging.getLogger(__name__)

EngineChoice = Literal["auto", "docker", "bubblewrap"]


def _docker(spec: ContainerSpec) -> Engine:
    # Imported late, as below: a service with one engine need not load the other's packages.
    from execbox_service.engines.docker.engine import DockerEngine

    return DockerEngine(spec)


def _bubblewrap(spec: ContainerSpec) -> Engine:
    from execbox_service.engines.bubblewrap.engine import BubblewrapEngine

    return BubblewrapEngine(spec)


_MAKERS: Final[dict[str, Callable[[ContainerSpec], Engine]]] = {
    "docker": _docker,
    "bubblewrap": _bubblewrap,
}


async def choose_engine(choice: EngineChoice, spec: ContainerSpec) -> tuple[Engine, EngineFacts]:
    """Start the engine asked for; ``auto`` is Docker where it starts, else bubblewrap.

    Docker starts where its daemon answers and has the image. Says in the log what was taken and
    why. Raises EngineUnavailable with every reason.
    """
    names = list(_MAKERS) if choice == "auto" else [choice]
    reasons = []
    for name in names:
        engine = _MAKERS[name](spec)
        try:
            facts = await engine.start()
        except EngineUnavailable as error:
            reasons.append(f"{name}: {error}")
            with contextlib.suppress(EngineUnavailable):
                await engine.stop()
            continue
        _tell(facts, reasons)
        return engine, facts
    raise EngineUnavailable("nothing here can isolate a function. " + ". ".join(reasons))


def _tell(facts: EngineFacts, reasons: list[str]) -> None:
    for reason in reasons:
        logger.warning("not taken: %s", reason)
    logger.info("engine %s, image %s", facts.engine, facts.image)
    for weakness in facts.weaker_than_docker:
        logger.warning("weaker than Docker: %s", weakness)
