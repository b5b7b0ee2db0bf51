"""The post-conditions after an attack, on made-up states: each breach is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from acceptance import attack_checks as checks
from acceptance.attack_checks import HostState, Sent, ServiceState
from acceptance.attack_report import Circumstances, Row, render
from acceptance.attack_targets import Target
from harness.attacks.attack import LIMITS, Attack
from harness.host_view import ContainerView

from execbox.wire import Execution, Usage

TARGET = Target("x-01", "resource", "an attack", Attack("an attack", "", ("ok",), output=1), LIMITS)
USAGE = Usage(cpu_time_s=0.1, wall_time_s=0.2, peak_memory_bytes=2**24)
VIEW = ContainerView(
    id="a" * 64,
    init_pid=10,
    process_count=2,
    job_process_count=0,
    init_descriptor_count=7,
    tmpfs_bytes=0,
    tmpfs_inode_count=2,
    queue_count=0,
)


def sent(*, elapsed_s: float = 0.3, **fields: Any) -> list[Sent]:
    """One sending whose execution has these fields."""
    values: dict[str, Any] = {"status": "ok", "output": 1, "usage": USAGE} | fields
    return [Sent(Execution(**values), elapsed_s, queue_time_s=0.0)]


def state(*views: ContainerView, listed_count: int = 1, **service: float) -> HostState:
    """A state with these containers; the service as small as can be unless told otherwise."""
    values = {"descriptor_count": 50, "thread_count": 8, "resident_mb": 70.0} | service
    return HostState(
        {view.id: view for view in views},
        listed_count,
        residue=[],
        service=ServiceState(**values),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("fields", "begins"),
    [
        ({}, []),
        ({"status": "timeout", "output": None}, ["P1 or P6: status timeout"]),
        ({"output": True}, ["P1 or P6: output true"]),
        ({"stdout": "x" * (LIMITS.stdout_bytes + 1)}, ["P1 or P6: stdout"]),
    ],
)
def test_answers_name_what_is_not_expected(fields: Mapping[str, Any], begins: list[str]) -> None:
    """Status, output and streams."""
    found = checks.answers(TARGET, sent(**fields), isolation="process")
    assert [fault[: len(begin)] for fault, begin in zip(found, begins, strict=True)] == begins


@pytest.mark.parametrize(
    ("elapsed_s", "wall_time_s", "late"),
    [(2.9, 0.2, False), (3.1, 0.2, True), (5.0, 4.5, False), (5.0, 3.0, True)],
)
def test_delays_leave_out_what_was_waited_for_a_core(
    elapsed_s: float, wall_time_s: float, late: bool
) -> None:
    """The wall limit is 2 s and an answer may take one more."""
    usage = USAGE.model_copy(update={"wall_time_s": wall_time_s})
    assert bool(checks.delays(TARGET, sent(elapsed_s=elapsed_s, usage=usage))) is late


@pytest.mark.parametrize(
    ("fields", "usage", "faulty"),
    [
        ({}, {}, False),
        ({"usage": None}, {}, True),
        ({}, {"wall_time_s": 0.4}, True),
        ({}, {"peak_memory_bytes": 2**40}, True),
        ({"limit": "cpu_time"}, {"cpu_time_s": 0.5}, True),
        ({"limit": "cpu_time"}, {"cpu_time_s": 1.02}, False),
    ],
)
def test_measures_find_usage_that_cannot_be(
    fields: Mapping[str, Any], usage: Mapping[str, Any], faulty: bool
) -> None:
    """None at all, longer than the request took, more than the limit lets, or before it."""
    measured = {"usage": USAGE.model_copy(update=dict(usage))} | dict(fields)
    assert bool(checks.measures(TARGET, sent(**measured), isolation="container")) is faulty


@pytest.mark.parametrize(("over_bytes", "faulty"), [(0, False), (1, True)])
def test_measures_let_a_kept_container_hold_its_interpreters(over_bytes: int, faulty: bool) -> None:
    """At level process one that has served packages has 256 MiB more, and no more than that."""
    peak_bytes = (TARGET.limits.memory_mb + 128 + 256) * 2**20 + over_bytes
    measured: dict[str, Any] = {"usage": USAGE.model_copy(update={"peak_memory_bytes": peak_bytes})}
    assert bool(checks.measures(TARGET, sent(**measured), isolation="process")) is faulty
    assert checks.measures(TARGET, sent(**measured), isolation="container")


@pytest.mark.parametrize(
    ("changes", "faulty"),
    [
        ({}, False),
        ({"init_pid": 11}, True),
        ({"init_descriptor_count": 8}, True),
        ({"init_descriptor_count": 8, "process_count": 3}, False),
    ],
)
def test_inside_compares_supervisors_that_were_there_before(
    changes: Mapping[str, Any], faulty: bool
) -> None:
    """A descriptor more is one too many, unless it comes with another zygote."""
    after = ContainerView(**(vars(VIEW) | dict(changes)))
    found = checks.inside(state(VIEW), state(after), first=state(VIEW))
    assert bool(found) is faulty


def test_inside_lets_supervisor_have_what_used_ones_had_before_any_attack() -> None:
    """A warm container that was used for the first time opened what the others had open."""
    used = ContainerView(**(vars(VIEW) | {"id": "b" * 64, "init_descriptor_count": 12}))
    after = ContainerView(**(vars(VIEW) | {"init_descriptor_count": 12}))
    assert checks.inside(state(VIEW), state(after), first=state(used)) == []
    assert checks.inside(state(VIEW), state(after), first=state(VIEW)) != []


def test_inside_of_another_container_compares_nothing() -> None:
    """A container that was replaced has a supervisor of its own."""
    other = ContainerView(**(vars(VIEW) | {"id": "b" * 64, "init_pid": 11}))
    assert checks.inside(state(VIEW), state(other), first=state(VIEW)) == []


@pytest.mark.parametrize(
    ("listed_count", "service", "faulty"),
    [
        (3, {}, False),
        (4, {}, True),
        (3, {"descriptor_count": 67}, True),
        (3, {"thread_count": 25}, True),
        (3, {"resident_mb": 103.0}, True),
        (3, {"descriptor_count": 66, "thread_count": 24, "resident_mb": 101.0}, False),
    ],
)
def test_outside_compares_with_the_state_before_all_attacks(
    listed_count: int, service: Mapping[str, float], faulty: bool
) -> None:
    """Containers kept, descriptors, threads, memory."""
    after = state(VIEW, listed_count=listed_count, **service)
    assert bool(checks.outside(state(VIEW), after, containers_max=3)) is faulty


def test_secrets_told_anywhere_in_an_answer_are_found() -> None:
    """In what was printed, too."""
    told = sent(stdout="the key is 0123abcd")
    assert checks.secrets_told(told, secrets=["0123abcd"]) == [
        "P6: an answer holds a key or a path"
    ]
    assert checks.secrets_told(told, secrets=["ffff"]) == []


def test_render_shows_every_row_and_every_fault_in_full() -> None:
    """One line a row, a bar in a title does not end its cell, and the summary counts."""
    rows = [
        Row("x-01", "resource", "a|b", "process", ("ok", "ok"), (), 1),
        Row("x-02", "escape", "c", "container", ("timeout",), ("P3 or P4: 1 job processes",), 2),
    ]
    about = Circumstances("command", "2026-01-01", "machine", "engine", took_s=60, tries_max=3)
    page = render(rows, about)
    assert "**1 of 2 passed**" in page
    assert r"| x-01 | a\|b | process | ok | hold | 1 |" in page
    assert "| x-02 | c | container | timeout | P3 or P4 | 2 |" in page
    assert "- x-02 (container): P3 or P4: 1 job processes" in page
