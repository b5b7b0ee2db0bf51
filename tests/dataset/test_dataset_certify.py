"""``certify``: every way a published pair can be wrong, on a real service; and sorting alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from execbox import wire
from execbox.client import AsyncClient
from execbox.dataset.files.json_lines import BadRecord
from execbox.dataset.files.record_certificates import certificates_of
from execbox.dataset.files.resume import errors_path
from execbox.dataset.steps.certify import open_certify_step
from execbox.dataset.steps.file_run import run_step
from execbox.dataset.steps.run_options import RunOptions
from execbox.dataset.steps.sorting import is_close, same_json, sort_pair
from execbox.errors import InvalidRequest, RequestError
from tests.dataset.fake_service import FakeService
from tests.dataset.files import read_lines, write_lines

_REPOSITORY = Path(__file__).parents[2]


def record(code: str, *ios: Any, **fields: object) -> dict[str, object]:
    """A published function with these (input, output) pairs."""
    return {
        "problem_description": "?",
        "io_requirements": "?",
        "refcode": code,
        "funcname": "main_solution",
        "ios": [{"input": given, "output": output} for given, output in ios],
        "category": None,
        "meta": {"msgidx": 1},
    } | fields


SORT_IN_PLACE = "def main_solution(x):\n    first = x[0]\n    x.sort()\n    return first"
SINK = """
def main_solution(grid):
    count = sum(grid)
    for i in range(len(grid)):
        if grid[i] == 1:
            grid[i] = 0
    return count
"""
COUNTER = "N = 0\ndef main_solution(k):\n    global N\n    N += k\n    return N"
FAILING = """
import os
def main_solution(n):
    if n == 0: return 1 // n
    if n == 1: import no_such_package
    while n == 2: pass
    if n == 3: return {n}
    if n == 4: os._exit(1)
    if n == 5: return None
    if n == 6: return [float('nan')]
    if n == 7: return list(range(30))
    if n == 8: return len(bytearray(10**10))
    return n
"""

# code, pairs, what becomes of them: the reason, and the output where it is not dropped
CASES: dict[str, tuple[str, list[tuple[Any, Any]], list[tuple[str, Any]]]] = {
    "kept": (
        "def main_solution(n): return {'b': n, 'a': [n / 3]}",
        [({"n": 1}, {"a": [1 / 3], "b": 1}), ({"n": 0}, {"b": 0, "a": [0.0]})],
        [("kept", None), ("kept", None)],
    ),
    "rounding": (
        "def main_solution(n): return [n * 0.1, n]",
        [({"n": 3}, [0.3, 3]), ({"n": 3.0}, [0.30000000000000004, 3])],
        [("rounding", [0.30000000000000004, 3]), ("rounding", [0.30000000000000004, 3.0])],
    ),
    "mutated": (
        SORT_IN_PLACE,
        [({"x": [1, 2, 3]}, 3), ({"x": [9, 2]}, 9)],
        [("mutated_argument", 1), ("kept", None)],
    ),
    "mutated to the end": (
        SINK,
        [({"grid": [0, 0, 0]}, 2), ({"grid": [0, 0]}, 0)],
        [("mutated_argument", 0), ("kept", None)],
    ),
    "state": (
        COUNTER,
        [({"k": 2}, 2), ({"k": 3}, 5)],
        [("kept", None), ("state_between_calls", 3)],
    ),
    "state of an instance": (
        "class Solution:\n    n = 0\n    def add(self, k): self.n += k; return self.n",
        [({"k": 2}, 2), ({"k": 3}, 5)],
        [("kept", None), ("state_between_calls", 3)],
    ),
    "not reproduced": (
        "def main_solution(n): return n + 1",
        [({"n": 1}, 3), ({"n": 1.5}, "no")],
        [("not_reproduced", 2), ("not_reproduced", 2.5)],
    ),
    "random": (
        "import random\ndef main_solution(n): return n if n < 5 else random.random()",
        [({"n": 1}, 1), ({"n": 9}, 0.5)],
        [("kept", None), ("non_deterministic entropy", None)],
    ),
    "hash order": (
        "def main_solution(s): return ''.join(set(s))",
        [({"s": "abcdefgh"}, "hgfedcba"), ({"s": "a"}, "a")],
        [("non_deterministic hash_seed", None), ("kept", None)],
    ),
    "failing": (
        FAILING,
        [({"n": n}, n) for n in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9)],
        [
            ("exception", None),
            ("missing_package", None),
            ("timeout", None),
            ("unserializable", None),
            ("no_result", None),
            ("none_output", None),
            ("non_finite", None),
            ("output_complexity", None),
            ("memory_exceeded", None),
            ("kept", None),
            ("duplicate_input", None),
        ],
    ),
    "large input": (
        "def main_solution(s): return len(s)",
        [({"s": "x" * 100}, 100), ({"s": "x"}, 1)],
        [("input_complexity", None), ("kept", None)],
    ),
    "published NaN": (
        "def main_solution(n): return n",
        [({"n": 1}, float("nan")), ({"n": float("inf")}, 1), ({"n": 2}, 2)],
        [("not_reproduced", 1), ("non_finite", None), ("kept", None)],
    ),
    "prelude": (
        "def main_solution(n): return pow(n, -1, 7) + Counter('aab')['a'] + gcd(4, n)",
        [({"n": 3}, 8)],
        [("kept", None)],
    ),
}


@pytest.fixture(scope="module")
def certified(
    tmp_path_factory: pytest.TempPathFactory, service_url: str
) -> dict[str, dict[str, Any]]:
    """Every case through the command, by name."""
    folder = tmp_path_factory.mktemp("certify")
    lines = [
        record(code, *ios, id=name)
        | ({"funcname": "Solution.add"} if code.startswith("class Solution") else {})
        for name, (code, ios, _) in CASES.items()
    ]
    source = write_lines(folder / "in.jsonl", lines)
    command = ["certify", source, "-o", folder / "out.jsonl", "--cpu-time-s", "0.5"]
    # Little memory, or touching all of it takes a busy machine more time than there is.
    command += ["--memory-mb", "64"]
    done = subprocess.run(
        [sys.executable, "-m", "execbox", *map(str, command), "--url", service_url, "--json"],
        check=False,
        cwd=_REPOSITORY,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    records = {line["id"]: line for line in read_lines(folder / "out.jsonl")}
    records["summary"] = json.loads(done.stdout)
    return records


@pytest.mark.docker
@pytest.mark.parametrize("name", CASES)
def test_certify_sorts_a_pair_with_its_reason(
    certified: dict[str, dict[str, Any]], name: str
) -> None:
    """What is left are true pairs in their old order; the account has all the others."""
    _code, published, expected = CASES[name]
    found = certified[name]
    own = found["meta"]["execbox"]
    reasons = ["kept"] * len(published)
    for entry in [*own["corrected"], *own["dropped"]]:
        cause = f" {entry['cause']}" if "cause" in entry else ""
        reasons[entry["was"]] = entry["reason"] + cause
    assert reasons == [reason for reason, _ in expected]
    dropped = {entry["was"] for entry in own["dropped"]}
    true = [
        {"input": given, "output": output if reason == "kept" else corrected}
        for index, ((given, output), (reason, corrected)) in enumerate(
            zip(published, expected, strict=True)
        )
        if index not in dropped
    ]
    assert json.dumps(found["ios"]) == json.dumps(true) or same_json(found["ios"], true)
    assert len(certificates_of(found)) == len(true)
    for entry in own["corrected"]:
        assert found["ios"][entry["ioid"]]["input"] == published[entry["was"]][0]


@pytest.mark.docker
def test_certify_counts_every_pair_once(certified: dict[str, dict[str, Any]]) -> None:
    """The summary's tallies are the pairs, by what became of them."""
    tallies = certified["summary"]["tallies"]
    assert sum(tallies.values()) == sum(len(ios) for _, ios, _ in CASES.values())
    reasons = Counter(reason for _, _, expected in CASES.values() for reason, _ in expected)
    assert tallies["kept"] == reasons["kept"]
    assert tallies["corrected: not_reproduced"] == reasons["not_reproduced"]
    assert tallies["dropped: non_deterministic (hash_seed)"] == 1


@pytest.mark.docker
def test_certify_puts_records_without_a_pair_aside_with_their_account(
    tmp_path: Path, service_url: str
) -> None:
    """A record that is none, that has no pairs, and whose pairs all fall."""
    lines = [
        record("def main_solution(n): return n", ({"n": 1}, 1)),
        record("def main_solution(n): return n"),
        {"refcode": "x = 1"},
        record("def main_solution(n): return id(n)", ({"n": [1]}, 1), ({"n": [2]}, 2)),
        record("def main_solution(n): return n", ios=[{"input": [1], "output": 1}, 7]),
        record("def main_solution(n: return n", ({"n": 1}, 1)),
    ]
    source, output = write_lines(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl"
    summary = run_step(open_certify_step(AsyncClient(service_url)), source=source, output=output)
    assert summary.result_count == 1
    errors = read_lines(errors_path(output))
    assert [(entry["line"], entry["reason"]) for entry in errors] == [
        (2, "no_pairs"),
        (3, "missing_field"),
        (4, "non_deterministic"),
        (5, "invalid_pair"),
        (6, "invalid_code"),
    ]
    assert len(errors[2]["detail"]["execbox"]["dropped"]) == 2
    again = run_step(open_certify_step(AsyncClient(service_url)), source=source, output=output)
    assert (again.result_count, again.failure_count) == (1, 5)
    assert again.tallies == summary.tallies


@pytest.mark.docker
def test_certify_without_checks_only_runs(tmp_path: Path, service_url: str) -> None:
    """Both checks can be left out; then there is no certificate, and size is no reason."""
    source = write_lines(
        tmp_path / "in.jsonl", [record("def main_solution(n): return 'x' * n", ({"n": 200}, "?"))]
    )
    output = tmp_path / "out.jsonl"
    options = RunOptions(runs=None, complexity=None)
    run_step(open_certify_step(AsyncClient(service_url), options), source=source, output=output)
    (found,) = read_lines(output)
    assert found["ios"][0]["output"] == "x" * 200
    assert certificates_of(found) == []


@pytest.mark.docker
def test_certify_keeps_a_record_whose_inputs_cannot_be_sent_together(
    tmp_path: Path, service_url: str
) -> None:
    """All inputs in one list are nested too deeply, where each by itself was not."""
    deep: Any = []
    for _ in range(59):
        deep = [deep]
    code = "def main_solution(x): return 1"
    source = write_lines(tmp_path / "in.jsonl", [record(code, ({"x": deep}, 2), ({"x": []}, 1))])
    output = tmp_path / "out.jsonl"
    options = RunOptions(complexity=None)
    summary = run_step(
        open_certify_step(AsyncClient(service_url), options), source=source, output=output
    )
    assert summary.failures == {}
    assert summary.tallies == {"corrected: not_reproduced": 1, "kept": 1}


@pytest.mark.docker
def test_certify_takes_no_text_of_a_records_own_code_for_json(
    tmp_path: Path, service_url: str
) -> None:
    """In a row it gives an integer of more digits than Python reads; that ends no run."""
    code = (
        "import sys\nsys.set_int_max_str_digits(0)\nseen = []\n"
        "def main_solution(k):\n    seen.append(k)\n    return k if len(seen) == 1 else 10**5000"
    )
    source = write_lines(tmp_path / "in.jsonl", [record(code, ({"k": 1}, 1), ({"k": 2}, 7))])
    summary = run_step(
        open_certify_step(AsyncClient(service_url)), source=source, output=tmp_path / "out.jsonl"
    )
    assert summary.tallies == {"corrected: not_reproduced": 1, "kept": 1}


@dataclass
class Answering(FakeService):
    """Answers every call with 1, and inquiries about the record with ``refusal``."""

    refusal: RequestError

    async def execute(
        self,
        function: wire.Function | str,
        calls: Sequence[wire.Call | Mapping[str, object]],
        *,
        isolation: wire.Isolation | None = None,
        **_: object,
    ) -> wire.ExecuteResponse:
        assert isinstance(function, wire.Function)
        if function.entry_point != "main_solution":
            raise self.refusal
        return wire.ExecuteResponse(
            executions=[wire.Execution(status=wire.Status.OK, output=1) for _ in calls],
            isolation=isolation or "container",
            engine="fake",
            image="sha256:0",
            queue_time_s=0.0,
        )


@pytest.mark.parametrize(("http_status", "ends"), [(None, False), (422, False), (401, True)])
def test_certify_ends_for_a_refused_inquiry_only_where_the_key_is_refused(
    tmp_path: Path, http_status: int | None, ends: bool
) -> None:
    """What an inquiry would have explained is a detail; the record is checked without."""
    source = write_lines(tmp_path / "in.jsonl", [record("", ({}, 2)) | {"refcode": "x"}])
    refusing = Answering(InvalidRequest("no", http_status=http_status))
    options = RunOptions(runs=None)
    output = tmp_path / "out.jsonl"
    if ends:
        with pytest.raises(InvalidRequest):
            run_step(open_certify_step(refusing, options), source=source, output=output)
        return
    assert (
        run_step(open_certify_step(refusing, options), source=source, output=output).result_count
        == 1
    )


@pytest.mark.parametrize(
    ("left", "right", "close"),
    [
        (0.1 + 0.2, 0.3, True),
        (1, 1.0, True),
        ([1, {"a": 2.0}], [1.0, {"a": 2}], True),
        (10**400, 1e300, False),
        (1, 2, False),
        (10**20, 10**20 + 1, False),
        (True, 1, False),
        ("1", 1, False),
        (None, 0, False),
        ([1], [1, 2], False),
        ({"a": 1}, {"b": 1}, False),
        (float("nan"), 1.0, False),
        (0.0, 1e-13, True),
    ],
)
def test_closeness_is_of_the_last_digits_only(left: object, right: object, close: bool) -> None:
    """Structure, text and integers must be the same."""
    assert is_close(left, right) == is_close(right, left) == close


def test_sorting_looks_at_determinism_before_anything_is_compared() -> None:
    """A lucky agreement with what was published keeps no random pair."""
    execution = wire.Execution(
        status=wire.Status.OK,
        output=5,
        determinism=wire.Determinism(
            deterministic=False,
            cause="entropy",
            runs=2,
            hints=[wire.Hint(line=3, name="random.random", reads="entropy")],
        ),
    )
    found = sort_pair(5, execution)
    assert (found.group, found.counted_as) == ("dropped", "dropped: non_deterministic (entropy)")
    assert found.message == "line 3 reads random.random"


def test_certificates_that_do_not_fit_the_pairs_are_refused() -> None:
    """A file somebody has edited is not believed."""
    value: dict[str, object] = {
        "ios": [{}, {}],
        "meta": {"execbox": {"certificate": {}, "certificates": [{}]}},
    }
    with pytest.raises(BadRecord, match="a different number"):
        certificates_of(value)
