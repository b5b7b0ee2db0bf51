"""``certify`` and ``generate`` and time: how much is asked for, and when a record is given up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from execbox import wire
from execbox.dataset.files.resume import errors_path
from execbox.dataset.steps.certify import open_certify_step
from execbox.dataset.steps.file_run import run_step
from execbox.dataset.steps.run_options import RunOptions, settled_for
from tests.dataset.fake_service import FakeService
from tests.dataset.files import read_lines, write_lines

TIMES = [
    ({}, 2, 1, 60),
    ({}, 2, 10, 150),
    ({}, 2, 500, 3600),
    ({}, 10, 10, 950),
    ({}, None, 100, 500),
    ({"cpu_time_s": 0.1}, 2, 10, 60),
    ({"cpu_time_s": 60}, 2, 10, 1800),
    ({"job_time_s": 30}, 2, 500, 30),
]


@pytest.mark.parametrize(("limits", "runs", "calls", "job_time_s"), TIMES)
def test_limits_for_grow_with_what_is_asked_unless_time_was_set(
    limits: dict[str, float], runs: int | None, calls: int, job_time_s: float
) -> None:
    """Each call once, and varied runs at twice the limits; never under a minute."""
    options = RunOptions(limits=wire.Limits.model_validate(limits), runs=runs)
    assert options.limits_for(calls).job_time_s == job_time_s
    assert options.limits_for(calls).cpu_time_s == limits.get("cpu_time_s", 5)


async def test_limits_for_stay_within_what_the_service_permits() -> None:
    """A service may permit less than an hour."""
    permitted = (await FakeService().capabilities()).model_copy(
        update={"limits_max": {"job_time_s": 100.0}}
    )
    assert settled_for(RunOptions(), permitted).limits_for(500).job_time_s == 100


@dataclass(kw_only=True)
class EndlessFrom(FakeService):
    """Runs calls in order; from ``endless_from`` on each takes all the time it may."""

    endless_from: int
    asked: list[wire.Limits] = field(default_factory=list)

    async def execute(
        self,
        function: wire.Function | str,
        calls: Sequence[wire.Call | Mapping[str, object]],
        *,
        limits: wire.Limits | None = None,
        checks: wire.Checks | None = None,
        isolation: wire.Isolation | None = None,
        convert: wire.Conversion | None = None,
        give_up_after: int | None = None,
    ) -> wire.ExecuteResponse:
        assert limits is not None
        self.asked.append(limits)
        executions: list[dict[str, Any]] = []
        for number, call in enumerate(calls):
            assert isinstance(call, wire.Call)
            assert call.kwargs is not None
            if number < self.endless_from:
                found: dict[str, object] = {
                    "deterministic": True,
                    "cause": None,
                    "outputs": [],
                    "runs": 2,
                }
                output = {"status": "ok", "output": call.kwargs["n"], "determinism": found}
                executions.append(output)
            elif number < self.endless_from + (give_up_after or len(calls)):
                executions.append({"status": "timeout", "limit": "cpu_time"})
            else:
                executions.append({"status": "not_run"})
        return wire.ExecuteResponse.model_validate(
            {
                "executions": executions,
                "isolation": "process",
                "engine": "fake",
                "image": "sha256:0",
                "queue_time_s": 0.0,
                "certificate": None,
            }
        )


def certified(tmp_path: Path, service: EndlessFrom, count: int) -> tuple[Path, Any]:
    value: dict[str, object] = {
        "problem_description": "?",
        "io_requirements": "?",
        "refcode": "def main_solution(n): return n",
        "funcname": "main_solution",
        "ios": [{"input": {"n": n}, "output": n} for n in range(count)],
        "category": None,
        "meta": {},
    }
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write_lines(source, [value])
    return output, run_step(open_certify_step(service), source=source, output=output)


@dataclass(kw_only=True)
class TooShort(EndlessFrom):
    """No job has time for the calls numbered ``long``; it ends where one of them begins."""

    long: frozenset[int]

    async def execute(  # type: ignore[override]
        self,
        function: wire.Function | str,
        calls: Sequence[wire.Call],
        **options: Any,
    ) -> wire.ExecuteResponse:
        numbers = [(call.kwargs or {})["n"] for call in calls]
        reached = next((at for at, n in enumerate(numbers) if n in self.long), len(numbers))
        self.endless_from = reached
        response = await super().execute(function, calls, **options)
        rest = [wire.Execution.model_validate({"status": "not_run"})] * (len(numbers) - reached)
        return response.model_copy(update={"executions": [*response.executions[:reached], *rest]})


@pytest.mark.parametrize(
    ("long", "requests", "kept"),
    [({9}, 3, 11), ({0, 6}, 4, 10), (set(range(12)), 5, 0), (set(range(2, 12)), 6, 2)],
)
def test_certify_drops_the_pairs_that_no_job_has_time_for_and_keeps_the_others(
    tmp_path: Path, long: set[int], requests: int, kept: int
) -> None:
    """Also those behind them; after five in a row the rest is not asked for one by one."""
    service = TooShort(endless_from=0, long=frozenset(long))
    output, summary = certified(tmp_path, service, 12)
    assert len(service.asked) == requests
    if kept:
        (value,) = read_lines(output)
        assert len(value["ios"]) == kept
        own = value["meta"]["execbox"]
    else:
        assert summary.failures == {"job_time": 1}
        (entry,) = read_lines(errors_path(output))
        assert "give it more with --job-time-s" in entry["message"]
        own = entry["detail"]["execbox"]
    assert [(one["was"], one["reason"]) for one in own["dropped"]] == [
        (n, "job_time") for n in sorted(long)
    ]


@pytest.mark.parametrize(
    ("endless_from", "kept", "given_up"), [(3, 3, 12), (0, 0, 15), (14, 14, 1)]
)
def test_certify_gives_up_after_five_endless_pairs_and_keeps_those_before(
    tmp_path: Path, endless_from: int, kept: int, given_up: int
) -> None:
    """What was not run is dropped as that, and not as a timeout."""
    service = EndlessFrom(endless_from=endless_from)
    output, _summary = certified(tmp_path, service, 20)
    assert len(service.asked) == 1
    assert service.asked[0].job_time_s == 300
    if kept:
        (value,) = read_lines(output)
        assert len(value["ios"]) == kept
        own = value["meta"]["execbox"]
    else:
        (entry,) = read_lines(errors_path(output))
        own = entry["detail"]["execbox"]
    reasons = [dropped["reason"] for dropped in own["dropped"]]
    assert reasons == ["timeout"] * 5 + ["given_up"] * given_up
