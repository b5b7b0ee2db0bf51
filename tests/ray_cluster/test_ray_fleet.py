"""Services on a Ray cluster of this machine: started, found again, started again, ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from execbox import Client
from execbox.errors import ConfigError, ServiceUnavailable
from tests.engines.conftest import need_engine

ray = pytest.importorskip("ray")
execbox_ray = pytest.importorskip("execbox.ray")

SETTINGS: Final = {"EXECBOX_ENGINE": "bubblewrap", "EXECBOX_POOL_SIZE": "1"}
PORT: Final = 18_700
CODE: Final = "def main_solution(n):\n    return n * 2"

pytestmark = [
    pytest.mark.slow,
    # Ray's own processes and sockets are its own affair.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """A cluster of one node with two CPUs."""
    need_engine("bubblewrap")
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        logging_level="error",
        log_to_driver=False,
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def fleet(cluster: None) -> Iterator[Any]:
    """Its one service."""
    started = execbox_ray.start_fleet("test", port=PORT, settings=SETTINGS)
    yield started
    started.stop()
    assert execbox_ray.find_fleet("test") is None


def services() -> set[int]:
    """The ids of processes that are services started by actors of this cluster."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().decode("utf-8", "replace").split("\0")
            ports = {str(port) for port in range(PORT, PORT + 10)}
            if "execbox._tied_process" in words and ports & set(words):
                found.add(int(path.parent.name))
    return found


def test_fleet_serves_with_its_key_and_the_cpus_it_reserved(fleet: Any) -> None:
    """One of two: Ray's own tasks have the other."""
    assert fleet.not_started == {}
    with Client(config=fleet.config()) as client:
        assert client.execute(CODE, [{"n": 21}]).executions[0].output == 42
        assert client.capabilities().concurrency == 1
    assert ray.available_resources().get("CPU") == 1


def test_fleet_is_found_again_by_its_name(fleet: Any) -> None:
    """Also by starting it a second time, which starts nothing."""
    assert execbox_ray.find_fleet("test") == fleet
    assert execbox_ray.start_fleet("test", port=PORT, settings=SETTINGS) == fleet
    assert execbox_ray.find_fleet("other") is None
    assert len(services()) == 1


def test_service_that_is_killed_is_started_again_by_ray(fleet: Any) -> None:
    """With the same key; clients ask for addresses again and find it."""
    (before,) = services()
    os.kill(before, signal.SIGKILL)
    deadline_s = time.monotonic() + 120
    with Client(config=fleet.config()) as client:
        while True:
            try:
                (execution,) = client.execute(CODE, [{"n": 4}]).executions
                break
            except ServiceUnavailable:
                assert time.monotonic() < deadline_s
    assert execution.output == 8
    (after,) = services()
    assert after != before


def test_transform_generates_pairs_in_a_pipeline_of_ray_data(fleet: Any) -> None:
    """From rows of text to rows of text, with a record that cannot be used among them."""
    function = {
        "id": "double",
        "refcode": CODE,
        "funcname": "main_solution",
        "input_generator": "import random\ndef input_generator():\n"
        "    return {'n': random.randint(0, 10**6)}",
    }
    lines = ray.data.from_items([{"text": json.dumps(function)}, {"text": '{"id": "none"}'}])
    made = lines.map_batches(
        execbox_ray.Generate,
        fn_constructor_args=(fleet,),
        batch_format="pyarrow",
        num_cpus=0,
        concurrency=1,
    ).take_all()
    results = [json.loads(row["text"]) for row in made if row["text"] is not None]
    failures = [json.loads(row["failure"]) for row in made if row["failure"] is not None]
    assert [result["id"] for result in results] == ["double"]
    assert all(pair["output"] == 2 * pair["input"]["n"] for pair in results[0]["ios"])
    assert [failure["id"] for failure in failures] == ["none"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"slots": 0}, "slots must be 1 or more, not 0"),
        ({"port": 70_000}, "port must be 1 to 65535, not 70000"),
        ({"settings": {"PATH": "/"}}, "begin with EXECBOX_, not 'PATH'"),
    ],
)
def test_argument_that_cannot_be_used_is_refused_before_anything_starts(
    options: dict[str, object], words: str
) -> None:
    """With its value and what it may be."""
    with pytest.raises(ConfigError, match=words):
        execbox_ray.start_fleet("never", **options)
    assert execbox_ray.find_fleet("never") is None


def test_service_that_does_not_start_is_told_with_its_own_words() -> None:
    """By the node it is of; nothing is left of the fleet."""
    with pytest.raises(ServiceUnavailable, match="EXECBOX_QUEUE_SIZE"):
        execbox_ray.start_fleet(
            "broken", slots=1, port=PORT + 5, settings=SETTINGS | {"EXECBOX_QUEUE_SIZE": "many"}
        )


def test_service_whose_cpus_are_not_free_is_told_and_takes_none_later(
    fleet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other fleet has one of the two that it asks for."""
    monkeypatch.setattr("execbox.ray.fleet._PLACE_S", 2.0)
    with pytest.raises(ServiceUnavailable, match="its CPUs are not free"):
        execbox_ray.start_fleet(
            "waiting", slots=2, port=PORT + 6, settings=SETTINGS, start_timeout_s=1.0
        )
    deadline_s = time.monotonic() + 60
    while any("waiting@" in each["name"] for each in ray.util.list_named_actors(True)):
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
