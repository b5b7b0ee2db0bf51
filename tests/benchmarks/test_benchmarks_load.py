from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from acceptance.busy_machine import burners
from acceptance.verdicts import (
    Verdict,
    differences,
    not_deterministic_functions,
    unexcused,
    verdict_of,
)
from benchmarks.load import memory_trend
from benchmarks.load_numbers import brief, fixed_cost, flatness, windows
from harness.findings import Claim, Findings, number, table

from execbox.wire import Execution, ExecutionError, Status

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize(
    ("latencies_s", "expected_ms"),
    [
        ([], (0, 0, 0, 0)),
        ([0.1], (100, 100, 100, 100)),
        ([0.003, 0.001, 0.002], (2, 3, 3, 3)),
        ([n / 1000 for n in range(1, 101)], (50, 95, 99, 100)),
        ([0.001] * 98 + [1.0, 2.0], (1, 1, 1000, 2000)),
    ],
)
def test_brief_gives_the_percentiles(
    latencies_s: list[float], expected_ms: tuple[float, ...]
) -> None:
    """In milliseconds, each a latency that was there."""
    found = brief(latencies_s)
    assert found.count == len(latencies_s)
    assert (found.p50_ms, found.p95_ms, found.p99_ms, found.max_ms) == pytest.approx(expected_ms)


def test_windows_sort_answers_by_when_they_ended() -> None:
    """In order of time; a stretch without any is left out."""
    found = windows([0.1, 0.9, 3.5, 1.2], [0.001, 0.003, 0.009, 0.005], length_s=1.0)
    assert [(one.begin_s, one.brief.count) for one in found] == [(0.0, 2), (1.0, 1), (3.0, 1)]
    assert [one.brief.max_ms for one in found] == pytest.approx([3, 5, 9])


@pytest.mark.parametrize(
    ("costs", "deviation", "flat"),
    [
        ([5.0], 0.0, True),
        ([5.0, 5.0, 5.0], 0.0, True),
        ([4.5, 5.0, 5.5], 0.1, True),
        ([5.0, 5.0, 6.0], 0.2, False),
        ([4.0, 5.0, 5.0], 0.2, False),
        ([10.0, 20.0], 1 / 3, False),
        ([100.0, 100.0, 86.0, 114.0], 0.14, True),
    ],
)
def test_flatness_is_the_largest_deviation_from_the_median(
    costs: list[float], deviation: float, flat: bool
) -> None:
    """Either way, as a share of the median."""
    found = flatness(costs, tolerance=0.15)
    assert found.deviation == pytest.approx(deviation)
    assert found.is_flat is flat


@pytest.mark.parametrize(("fixed", "each"), [(0.0, 5.0), (20.0, 4.0), (300.0, 0.5)])
def test_fixed_cost_is_told_from_the_cost_of_each(fixed: float, each: float) -> None:
    """From costs per execution, as they are measured."""
    counts = [10, 100, 1000, 10_000]
    costs = [(fixed + each * count) / count for count in counts]
    assert list(fixed_cost(counts, costs)) == pytest.approx([fixed, each], abs=1e-6)


def test_fixed_cost_of_one_size_is_none() -> None:
    """Nothing can be told apart."""
    assert fixed_cost([10, 10], [5.0, 5.0]) == (0.0, 5.0)


@pytest.mark.parametrize(
    ("per_minute_mb", "grows"), [(0.0, False), (0.5, False), (5.0, True), (-5.0, False)]
)
def test_memory_trend_is_of_what_comes_after_the_beginning(
    per_minute_mb: float, grows: bool
) -> None:
    """Caches fill in the first fifth; growth afterwards counts if it comes to some megabytes."""
    times_s = [float(n) for n in range(300)]
    noise_mb = [0.3 * (n % 3 - 1) for n in range(300)]
    service_mb = [
        100 + min(time_s, 60) + noise + per_minute_mb * time_s / 60
        for time_s, noise in zip(times_s, noise_mb, strict=True)
    ]
    trend = memory_trend(times_s, service_mb)
    assert trend is not None
    assert trend.grows is grows


OK = Verdict("ok", "1", None, None)
OTHER = Verdict("ok", "2", None, None)
TIMEOUT = Verdict("timeout", "null", None, "cpu_time")


def test_differences_are_found_and_excused_only_where_the_code_explains_them() -> None:
    """A function known as not deterministic may differ, and nothing else; no answer is never
    excused."""
    quiet = {(1, 0): OK, (1, 1): OK, (2, 0): OK, (3, 0): OK, (4, 0): OK}
    busy = {(1, 0): OK, (1, 1): OTHER, (2, 0): OTHER, (3, 0): TIMEOUT}
    found = differences(quiet, busy)
    assert [one.key for one in found] == [(1, 1), (2, 0), (3, 0), (4, 0)]
    left = unexcused(found, not_deterministic=frozenset({2, 4}))
    assert [one.key for one in left] == [(1, 1), (3, 0), (4, 0)]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"output": 1}, {"output": 1}, True),
        ({"output": 1}, {"output": 2}, False),
        ({"output": [1.0]}, {"output": [1.0000001]}, False),
        ({"output": None, "output_text": "NaN"}, {"output": None, "output_text": "NaN"}, True),
        ({"output": None, "output_text": "NaN"}, {"output": None, "output_text": "-NaN"}, False),
        ({"status": "timeout", "limit": "cpu_time"}, {"status": "timeout"}, False),
        (
            {"status": "exception", "error": ExecutionError(type="A", message="m")},
            {"status": "exception", "error": ExecutionError(type="A", message="n")},
            False,
        ),
        ({"output": 1, "stdout": "a"}, {"output": 1, "stdout": "b"}, True),
    ],
)
def test_verdicts_are_the_same_if_status_output_and_error_are(
    one: dict[str, object], other: dict[str, object], same: bool
) -> None:
    """Measurements and what was printed are no part of a verdict."""
    first, second = (
        Execution.model_validate({"status": Status.OK} | fields) for fields in (one, other)
    )
    assert (verdict_of(first) == verdict_of(second)) is same


def test_functions_that_are_not_deterministic_are_read_from_the_page() -> None:
    """The page's list, and no other table's numbers."""
    found = not_deterministic_functions(DOCS / "determinism.md")
    assert {317, 899, 974} <= found
    assert 266 not in found


def test_functions_are_not_read_from_a_page_without_the_list(tmp_path: Path) -> None:
    """Excusing nobody by mistake would be as bad as excusing all."""
    page = tmp_path / "page.md"
    page.write_text("| 1 |\n")
    with pytest.raises(ValueError, match="no table"):
        not_deterministic_functions(page)


def test_burners_end_with_the_block() -> None:
    """Whatever happens in it, none is left."""
    pids: list[int] = []

    def fail() -> None:
        with burners(2) as started:
            pids.extend(started)
            assert all(Path(f"/proc/{pid}").exists() for pid in pids)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_burners_end_with_a_program_that_is_killed() -> None:
    """They look for their parent, which a killed program cannot do for them."""
    program = "import time\nfrom acceptance.busy_machine import burners\n"
    program += "with burners(1) as pids:\n    print(pids[0], flush=True)\n    time.sleep(60)\n"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=DOCS.parent, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        burner = Path(f"/proc/{int(process.stdout.readline())}/stat")
        assert burner.exists()
        process.kill()
    deadline_s = time.monotonic() + 20
    while burner.exists() and ") Z " not in burner.read_text():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_findings_are_written_as_table_json_and_plot(tmp_path: Path) -> None:
    """Whatever does not hold is seen at once."""
    findings = Findings("one", {"cores": "2"}, {"minutes": "1"})
    findings.tables.append(table(["what", "ms"], [["it", number(1.234)]]))
    findings.claims += [Claim("fast", "yes", True), Claim("right", "no", False)]
    findings.data["values"] = [1, 2]

    def draw(path: Path) -> None:
        path.write_bytes(b"plot")

    findings.write(tmp_path, draw)
    assert not findings.hold
    text = (tmp_path / "one.md").read_text()
    assert "| it | 1.23 |" in text
    assert "| right | no | NO |" in text
    assert '"values"' in (tmp_path / "one.json").read_text()
    assert (tmp_path / "one.png").read_bytes() == b"plot"
