"""The post-conditions P1 to P7 of ../shared/attacks/README.md, as comparisons of what was seen.

Pure: what is compared was seen by ``attack_range.py`` and ``harness/host_view.py``. Each function
returns what is wrong, in words, each beginning with the condition's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.host_view import ContainerView

from acceptance.attack_targets import Ended, Target, judged
from execbox_service.engines.container_spec import EXTRA_MEMORY_MB

ANSWER_MARGIN_S = 1.0
CANARY_FACTOR = 2.0
CANARY_SLACK_S = 0.05
"""What one turn of a different process on a core may cost an execution."""
DESCRIPTOR_SLACK = 16
"""Connections that clients and the Docker SDK keep open for a while: one for each thread."""
THREAD_SLACK = 16
"""The pool of threads that speak to the daemon grows up to this many."""
MEMORY_SLACK_MB = 32.0
_HARD_STOP_FACTOR = 4
_RUNNER_ALLOWANCE_BYTES = 128 * 2**20
_KEPT_INTERPRETERS_BYTES = EXTRA_MEMORY_MB * 2**20
"""A container of level ``process`` that has served packages has it for their interpreters."""
_CLOCK_SLACK_S = 0.01


@dataclass(frozen=True)
class ServiceState:
    """The service's own process at one moment."""

    descriptor_count: int
    thread_count: int
    resident_mb: float


@dataclass(frozen=True)
class HostState:
    """What the host sees while no job runs."""

    containers: Mapping[str, ContainerView]
    listed_count: int
    """What the daemon lists, ended containers included."""
    residue: Sequence[str]
    """Anything of a job that is left in any container."""
    service: ServiceState
    at_rest: bool = True
    """Whether containers had stopped coming and going; if not, they cannot be compared."""


@dataclass(frozen=True)
class Sent:
    """One sending of an attack, as the client saw it."""

    execution: Ended
    elapsed_s: float
    queue_time_s: float


def answers(target: Target, sent: Iterable[Sent], *, isolation: str) -> list[str]:
    """P1, the status; P6, what an answer may say."""
    found = []
    for each in sent:
        came = judged(target, each.execution, isolation=isolation)
        if came.fault is not None:
            found.append(f"P1 or P6: {came.fault}")
    return found


def delays(target: Target, sent: Iterable[Sent]) -> list[str]:
    """P1, the time: the wall limit and a second, beside what was spent waiting for a slot or core.

    An execution lasts longer than its wall limit only by what it waited for a core, which the
    limit leaves out; P7 bounds that.
    """
    limits = target.limits
    found = []
    for each in sent:
        usage = each.execution.usage
        ran_s = usage.wall_time_s if usage is not None else 0.0
        waited_s = each.queue_time_s + max(0.0, ran_s - limits.wall_time_s)
        took_s = each.elapsed_s - waited_s
        if took_s > limits.wall_time_s + ANSWER_MARGIN_S:
            found.append(f"P1: answered after {took_s:.1f} s, the limit is {limits.wall_time_s:g}")
    return found


def measures(target: Target, sent: Iterable[Sent], *, isolation: str) -> list[str]:
    """P7: usage is there, within what is possible, and beyond a limit that was reached."""
    limits = target.limits
    peak_max_bytes = limits.memory_mb * 2**20 + _RUNNER_ALLOWANCE_BYTES
    if isolation == "process":
        peak_max_bytes += _KEPT_INTERPRETERS_BYTES
    found = []
    for each in sent:
        execution, usage = each.execution, each.execution.usage
        if usage is None:
            found.append("P7: no usage")
            continue
        if usage.wall_time_s > each.elapsed_s:
            found.append(f"P7: {usage.wall_time_s} s of wall time in {each.elapsed_s:.3f} s")
        if usage.peak_memory_bytes > peak_max_bytes:
            found.append(f"P7: a peak of {usage.peak_memory_bytes} bytes")
        reached_s, limit_s = {
            "cpu_time": (usage.cpu_time_s, limits.cpu_time_s),
            "wall_time": (usage.wall_time_s, limits.wall_time_s),
        }.get(execution.limit or "", (1.0, 0.0))
        if reached_s < limit_s - _CLOCK_SLACK_S:
            found.append(f"P7: {execution.limit} reached after {reached_s} s of {limit_s} s")
        if usage.wall_time_s > _HARD_STOP_FACTOR * limits.wall_time_s + ANSWER_MARGIN_S:
            found.append(f"P7: ran for {usage.wall_time_s} s")
    return found


def canary_delay(which: str, took_s: float, *, usual_s: float) -> list[str]:
    """P2, the time."""
    if took_s <= CANARY_FACTOR * usual_s + CANARY_SLACK_S:
        return []
    return [f"P2: the canary {which} took {took_s * 1e3:.0f} ms, usual are {usual_s * 1e3:.0f}"]


def inside(before: HostState, after: HostState, *, first: HostState) -> list[str]:
    """P3 and P4: nothing of a job in any container, and the supervisors as before.

    A supervisor opens some files at its first execution and keeps them: what those have that were
    used in ``first``, before any attack, is no growth.
    """
    found = [f"P3 or P4: {left}" for left in after.residue]
    if not (before.at_rest and after.at_rest):
        return [*found, "P3: containers were coming and going for too long"]
    usual_count = max((each.init_descriptor_count for each in first.containers.values()), default=0)
    for name, container in after.containers.items():
        earlier = before.containers.get(name)
        if earlier is None:
            continue
        if container.init_pid != earlier.init_pid:
            found.append(f"P3: another supervisor in {name[:12]}")
        # A zygote for further packages is a process and a descriptor of its supervisor.
        allowed = earlier.init_descriptor_count + max(
            0, container.process_count - earlier.process_count
        )
        if container.init_descriptor_count > max(allowed, usual_count):
            found.append(
                f"P3: the supervisor of {name[:12]} has {container.init_descriptor_count} "
                f"descriptors, it had {earlier.init_descriptor_count}"
            )
    return found


def outside(first: HostState, after: HostState, *, containers_max: int) -> list[str]:
    """P5, held against the state before the first attack, so that nothing adds up unseen."""
    found = []
    if after.listed_count > containers_max:
        found.append(f"P5: {after.listed_count} containers, at most {containers_max} are kept")
    base, now = first.service, after.service
    if now.descriptor_count > base.descriptor_count + DESCRIPTOR_SLACK:
        found.append(f"P5: {now.descriptor_count} descriptors, at first {base.descriptor_count}")
    if now.thread_count > base.thread_count + THREAD_SLACK:
        found.append(f"P5: {now.thread_count} threads, at first {base.thread_count}")
    if now.resident_mb > base.resident_mb + MEMORY_SLACK_MB:
        found.append(f"P5: {now.resident_mb:.0f} MiB, at first {base.resident_mb:.0f}")
    return found


def secrets_told(sent: Iterable[Sent], *, secrets: Sequence[str]) -> list[str]:
    """P6: no API key and no path of this checkout anywhere in an answer."""
    texts = [each.execution.model_dump_json() for each in sent]
    return [
        "P6: an answer holds a key or a path" for text in texts if any(s in text for s in secrets)
    ]
