"""What every suite may use: whether Docker is there, a started service without HTTP, and turns.

``docker`` marks a test that needs a real daemon with the sandbox image. Without one it is skipped
with the reason, or fails where EXECBOX_REQUIRE_DOCKER is set, so that CI cannot pass by skipping.

``alone`` marks a test that runs while no other does, whichever number of workers there are.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import tempfile
from collections.abc import AsyncIterator, Generator
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import pytest_asyncio
from harness.bench import IMAGE, Bench, started_bench

from execbox_service.engines.base import EngineUnavailable
from execbox_service.engines.container_spec import container_spec
from execbox_service.engines.docker.engine import DockerEngine
from execbox_service.settings import load_settings
from tests.required import skip_or_fail
from tests.turns import turn

_ATTACK_SEED = pytest.StashKey[int]()
_TURNS = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Read the environment before any fixture changes it; let properties take their time."""
    given: dict[str, Any] | None = getattr(config, "workerinput", None)
    if given is not None:
        config.stash[_ATTACK_SEED] = given["attack_seed"]
        config.stash[_TURNS] = Path(given["turns"])
    else:
        seed = os.environ.get("EXECBOX_ATTACK_SEED")
        config.stash[_ATTACK_SEED] = int(seed) if seed else random.SystemRandom().randrange(10**6)
        folder = tempfile.TemporaryDirectory(prefix="execbox-turns-")
        config.add_cleanup(folder.cleanup)
        config.stash[_TURNS] = Path(folder.name)
    # A machine under load makes any one example slow, which says nothing about the code.
    hypothesis.settings.register_profile("under load", deadline=None)
    hypothesis.settings.load_profile("under load")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker what it has in common with the others: all must see one order of the tests."""
    node.workerinput["attack_seed"] = node.config.stash[_ATTACK_SEED]
    node.workerinput["turns"] = str(node.config.stash[_TURNS])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Have one turn for a test and its fixtures; waiting for it is no part of the test's time."""
    with turn(item.config.stash[_TURNS], alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Leave the handlers of signals and of the log as they were: where a program's ``main``, called
    by a test, has set its own, a pool of processes that a later test forks would not end by
    SIGTERM, and each record of a later test would go to a stream that is closed."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    root = logging.getLogger()
    log_handlers, level = root.handlers[:], root.level
    try:
        return (yield)
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        root.handlers[:] = log_handlers
        root.setLevel(level)


def pytest_report_header(config: pytest.Config) -> str:
    """The order of the attacks, to have the same one again."""
    return f"attacks in an order of their own: EXECBOX_ATTACK_SEED={config.stash[_ATTACK_SEED]}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the attacks of each file in random order: what one leaves, any other may meet."""
    shuffle = random.Random(config.stash[_ATTACK_SEED]).sample
    by_file: dict[object, list[int]] = {}
    for place, item in enumerate(items):
        if item.get_closest_marker("attacks") is not None:
            by_file.setdefault(item.path, []).append(place)
    for places in by_file.values():
        attacks = [items[place] for place in places]
        for place, item in zip(places, shuffle(attacks, len(attacks)), strict=True):
            items[place] = item


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail what needs Docker where there is none."""
    if item.get_closest_marker("docker") is None:
        return
    missing = docker_missing()
    if missing is not None:
        skip_or_fail(missing)


@cache
def docker_missing() -> str | None:
    """What is missing for tests on real containers, and what helps; None where nothing is."""
    settings = load_settings({"engine": "docker", "image": IMAGE})
    try:
        DockerEngine(container_spec(settings)).look()
    except EngineUnavailable as error:
        return str(error)
    return None


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bench() -> AsyncIterator[Bench]:
    """A started service on Docker, shared by the whole run; tests need the session's loop."""
    # Longer than a run takes: a test that looks at one container twice must not find it replaced.
    async with started_bench(
        profiles_allowed="default,processes", container_age_max_s="86400"
    ) as started:
        yield started
