"""What the start-up self-test asks, fact by fact: what is missing is named."""

from __future__ import annotations

from typing import Any

import pytest

from execbox_service.sandboxes.selftest import PROBE, Expected, missing_in_container, missing_in_job
from tests.fake_engine import READY

EXPECTED = Expected(memory_limit_bytes=640 * 2**20, open_file_count=256)


def test_container_as_asked_for_lacks_nothing() -> None:
    """The facts of an honest container pass."""
    assert missing_in_container(READY, EXPECTED) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"pid": 2}, "PID 1"),
        ({"capabilities": "00000000000000e1"}, "SETUID, SETGID and KILL"),
        ({"capabilities": "000001ffffffffff"}, "SETUID, SETGID and KILL"),
        ({"no_new_privileges": False}, "no_new_privs"),
        ({"seccomp": False}, "seccomp profile"),
        ({"interfaces": ["eth0", "lo"]}, "no network interface"),
        ({"memory_limit_bytes": 2**40}, "memory limit"),
        ({"memory_limit_bytes": -1}, "memory limit"),
        ({"process_count_max": -1}, "number of processes"),
        ({"open_file_count": 1024}, "256 open files"),
        ({"core_bytes": 4096}, "core dumps"),
    ],
)
def test_container_without_a_protection_is_named(change: dict[str, Any], named: str) -> None:
    """Each fact by itself is missed, and nothing else is."""
    missing = missing_in_container(READY.model_copy(update=change), EXPECTED)
    assert len(missing) == 1
    assert named in missing[0]


def test_container_with_less_than_allowed_is_fine() -> None:
    """Fewer capabilities, fewer descriptors and no interface at all are no fault."""
    less = {"capabilities": "0", "open_file_count": 100, "interfaces": []}
    assert missing_in_container(READY.model_copy(update=less), EXPECTED) == []


@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        ({"a": True, "b": True}, []),
        ({"a": True, "b": False}, ["b"]),
        ({"a": 1, "b": None, "c": "yes"}, ["a", "b", "c"]),
        ({}, ["the probe gave no answer"]),
        (None, ["the probe gave no answer"]),
        ([True], ["the probe gave no answer"]),
    ],
)
def test_job_must_say_yes_to_everything(answer: object, missing: list[str]) -> None:
    """Only ``true`` counts, and no answer is no proof."""
    assert missing_in_job(answer) == missing


def test_probe_compiles_and_defines_its_entry_point() -> None:
    """It is source for the sandbox; here it is only compiled."""
    assert "probe" in compile(PROBE, "probe.py", "exec").co_names
