"""``generate`` on a real service and on one that fails on demand; killed and continued."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from execbox import wire
from execbox.client import AsyncClient
from execbox.dataset.files.json_lines import DatasetError
from execbox.dataset.files.record_certificates import certificates_of
from execbox.dataset.files.resume import errors_path
from execbox.dataset.steps.file_run import run_step
from execbox.dataset.steps.generate import GenerateOptions, open_generate_step
from execbox.dataset.steps.run_options import RunOptions
from execbox.errors import ExecboxError, InvalidRequest, ServiceUnavailable
from tests.dataset.fake_service import FakeService
from tests.dataset.files import DOUBLE, read_lines, write_lines

_REPOSITORY = Path(__file__).parents[2]
_KILLS = 10
DRAW = "import random\ndef input_generator(): return {'n': random.randint(0, 99)}\n"
ANSWER = f"""## Main Function
```python
{DOUBLE}```
## Input Output Description
Input: `n` (int)
Output: `return` (int)
## Input Generator
```python
{DRAW}```
## Problem Statement
What is twice `n`?
"""


def function(number: int = 0, **fields: object) -> dict[str, object]:
    """A function that doubles, with its generator."""
    return {
        "problem_description": f"What is twice `n`? (case {number})",
        "io_requirements": "Input: `n` (int)",
        "refcode": f"{DOUBLE}# {number}\n",
        "funcname": "main_solution",
        "input_generator": DRAW,
        "category": None,
        "meta": {"msgidx": number},
    } | fields


def run(*arguments: object, url: str, returncode: int = 0) -> dict[str, Any]:
    """One command to its end; its summary."""
    done = subprocess.run(
        [sys.executable, "-m", "execbox", *map(str, arguments), "--json", "--url", url],
        check=False,
        cwd=_REPOSITORY,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == returncode, done.stderr.decode()
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


@pytest.mark.docker
def test_generate_writes_what_codeio_reads(tmp_path: Path, service_url: str) -> None:
    """The record with its ``ios``; everything of ours is under ``meta.execbox``."""
    source = write_lines(
        tmp_path / "in.jsonl", [function(7), {"output": ANSWER, "messages": [], "model": "m"}]
    )
    output = tmp_path / "out.jsonl"
    summary = run("generate", source, "-o", output, "--count", 4, url=service_url)
    ready, raw = read_lines(output)
    for record in (ready, raw):
        names = set(record) - {"id", "prelude", "input_generator"}
        codeio = {"problem_description", "io_requirements", "refcode", "funcname", "ios"}
        assert names == codeio | {"category", "meta"}
        assert len(record["ios"]) == 4
        for pair in record["ios"]:
            assert set(pair) == {"input", "output"}
            assert pair["output"] == 2 * pair["input"]["n"]
        certificates = certificates_of(record)
        assert len(certificates) == 4
        assert len({certificate.attempt for certificate in certificates}) == 4
    assert ready["meta"]["msgidx"] == 7
    assert (raw["meta"]["msgidx"], raw["meta"]["model"]) == (1, "m")
    assert raw["problem_description"] == "What is twice `n`?"
    assert raw["prelude"] == "codeio"
    assert summary["counts"] == {"complete": 2}
    assert summary["tallies"]["pairs"] == 8


BAD = {
    "missing_field": function(refcode=""),
    "generator_invalid_code": function(input_generator="def other(): return {}"),
    "invalid_input": function(input_generator="def input_generator(): return [1]"),
    "generator_exception": function(input_generator="def input_generator(x, y): return {}"),
    "invalid_code": function(refcode="def main_solution(n:"),
    "exception": function(refcode="def main_solution(n): raise ValueError('no')"),
    "non_deterministic": function(
        refcode="import uuid\ndef main_solution(n): return str(uuid.uuid4())"
    ),
    "missing_section": {"output": "## Main Function\nnothing"},
    "invalid_field": function(funcname="not a name"),
    "not_json": b"{broken",
}


@pytest.mark.docker
def test_generate_names_the_line_of_every_bad_record_and_goes_on(
    tmp_path: Path, service_url: str
) -> None:
    """Each kind of bad record between good ones; nothing is lost, and each has its own reason."""
    lines: list[object] = [function(0)]
    for number, bad in enumerate(BAD.values(), start=1):
        lines += [bad, function(number)]
    lines.append({key: value for key, value in function().items() if key != "refcode"})
    lines.append({key: value for key, value in function().items() if key != "input_generator"})
    source, output = write_lines(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl"
    summary = run("generate", source, "-o", output, "--count", 2, url=service_url, returncode=1)
    assert summary["counts"] == {"complete": len(BAD) + 1}
    errors = read_lines(errors_path(output))
    assert [(entry["line"], entry["reason"]) for entry in errors] == [
        *((2 * number, reason) for number, reason in enumerate(BAD, start=1)),
        (len(lines) - 1, "missing_field"),
        (len(lines), "missing_field"),
    ]
    for entry in errors:
        assert entry["message"].startswith(f"{source}:{entry['line']}: ")
    by_reason = {entry["reason"]: entry for entry in errors}
    assert "defines no input_generator" in by_reason["generator_invalid_code"]["message"]
    assert "[1]" in by_reason["invalid_input"]["message"]
    assert "entropy" in by_reason["non_deterministic"]["message"]
    rejected = by_reason["exception"]["detail"]["execbox"]["rejected"]
    assert sum(rejected.values()) == 50
    assert summary["tallies"]["exception"] == rejected["exception"]


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--count", "-1"], "--count must be a whole number from 1 to 1000, not '-1'"),
        (["--count", "0"], "--count must be"),
        (["--attempts", "-5"], "--attempts must be"),
        (["--seed", "-1"], "--seed must be"),
        (["--runs", "1"], "--runs must be a whole number from 2 to 10, not '1'"),
        (["--requests", "0"], "concurrency must be 1 or more"),
        (["--cpu-time-s", "-1"], "--cpu-time-s must be"),
        (["--memory-mb", "1"], "--memory-mb must be"),
    ],
)
def test_generate_with_a_number_out_of_range_says_which(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], named: str
) -> None:
    """Before anything is read or sent; exit code 2."""
    from execbox.cli import main

    source = write_lines(tmp_path / "in.jsonl", [function()])
    assert main(["generate", str(source), "-o", str(tmp_path / "out.jsonl"), *flags]) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()


def _tear(output: Path, moments: random.Random) -> None:
    """What a power failure does besides: the last line is cut somewhere."""
    if output.exists() and moments.random() < 0.5:
        os.truncate(output, max(0, output.stat().st_size - moments.randrange(1, 300)))


@pytest.mark.docker
def test_generate_killed_ten_times_and_continued_gives_the_same_bytes(
    tmp_path: Path, service_url: str
) -> None:
    """At random moments, with torn files; functions that give no pair stay listed once."""
    lines: list[object] = [function(number) for number in range(60)]
    lines[20] = {"output": ANSWER}
    lines[30] = b"{broken"
    lines[40] = function(refcode="def main_solution(n): return None")
    source = write_lines(tmp_path / "in.jsonl", lines)
    undisturbed, killed = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    common = ("--count", 2, "--give-up-after", 10)
    run("generate", source, "-o", undisturbed, *common, url=service_url, returncode=1)
    command = [sys.executable, "-m", "execbox", "generate", str(source), "-o", str(killed)]
    command += [*map(str, common), "--resume", "--url", service_url]
    moments, cut = random.Random(11), 0
    for _ in range(_KILLS):
        size = killed.stat().st_size if killed.exists() else 0
        process = subprocess.Popen(command, cwd=_REPOSITORY, stderr=subprocess.DEVNULL)
        deadline_s = time.monotonic() + 30
        while time.monotonic() < deadline_s and process.poll() is None:
            if killed.exists() and killed.stat().st_size > size:
                break
            time.sleep(0.005)
        time.sleep(moments.random() * 0.25)
        process.kill()
        cut += process.wait() == -9
        _tear(killed, moments)
    assert cut == _KILLS
    run("generate", source, "-o", killed, *common, url=service_url, returncode=1)
    assert killed.read_bytes() == undisturbed.read_bytes()
    assert errors_path(killed).read_bytes() == errors_path(undisturbed).read_bytes()


# A service that fails on demand


@dataclass
class Pairs(FakeService):
    """Answers with one pair, or raises what ``failures`` has for the function's code."""

    failures: dict[str, ExecboxError] = field(default_factory=dict)
    slots: int = field(default=3, kw_only=True)
    asked: list[str] = field(default_factory=list)

    async def generate(
        self,
        function: wire.Function | str,
        input_generator: wire.InputGenerator | str,
        **options: Any,
    ) -> wire.GenerateResponse:
        assert isinstance(function, wire.Function)
        self.asked.append(function.code)
        answer = await self.one_pair(isolation=options["isolation"])
        if function.code in self.failures:
            raise self.failures[function.code]
        return answer


def _lost() -> ServiceUnavailable:
    return ServiceUnavailable("two sandboxes in a row were lost", code="sandbox_lost")


def test_generate_keeps_the_servers_slots_busy_and_no_more(tmp_path: Path) -> None:
    """Concurrency is from the capabilities: half as many requests again as there are slots."""
    source = write_lines(tmp_path / "in.jsonl", [function(number) for number in range(40)])
    pairs = Pairs(slots=4)
    run_step(open_generate_step(pairs), source=source, output=tmp_path / "out.jsonl")
    assert pairs.most_under_way == 6
    one = Pairs(slots=4)
    options = GenerateOptions(run=RunOptions(concurrency=1))
    run_step(open_generate_step(one, options), source=source, output=tmp_path / "other.jsonl")
    assert one.most_under_way == 1


def test_generate_tries_again_what_the_service_failed_at(tmp_path: Path) -> None:
    """One record that loses its sandbox does not end the run; the next run asks for it alone."""
    lines = [function(number) for number in range(9)]
    source, output = write_lines(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl"
    poison = str(lines[4]["refcode"])
    summary = run_step(open_generate_step(Pairs({poison: _lost()})), source=source, output=output)
    assert (summary.result_count, summary.retryable_count) == (8, 1)
    assert summary.failures == {"sandbox_lost": 1}
    again = Pairs()
    assert run_step(open_generate_step(again), source=source, output=output).result_count == 9
    assert again.asked == [poison]
    assert [record["meta"]["msgidx"] for record in read_lines(output)] == list(range(9))


def test_generate_ends_when_nothing_is_answered_any_more(tmp_path: Path) -> None:
    """A service that fails at everything is no fault of a million records."""
    lines = [function(number) for number in range(50)]
    source, output = write_lines(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl"
    failing = Pairs({str(line["refcode"]): _lost() for line in lines[10:]}, slots=1)
    with pytest.raises(ServiceUnavailable):
        run_step(open_generate_step(failing), source=source, output=output)
    assert len(failing.asked) < 20
    assert len(read_lines(output)) == 10
    assert run_step(open_generate_step(Pairs()), source=source, output=output).result_count == 50


def test_generate_goes_on_after_records_that_cannot_be_sent(tmp_path: Path) -> None:
    """What the client refuses itself tells nothing of the service, and never gets better."""
    lines = [function(number) for number in range(9)]
    source, output = write_lines(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl"
    odd = InvalidRequest("function.code: a lone surrogate", code="unsendable_value")
    pairs = Pairs({str(line["refcode"]): odd for line in lines[:8]}, slots=1)
    summary = run_step(open_generate_step(pairs), source=source, output=output)
    assert (summary.result_count, summary.failures) == (1, {"unsendable_value": 8})
    assert summary.retryable_count == 0
    again = Pairs()
    run_step(open_generate_step(again), source=source, output=output)
    assert again.asked == []


def test_generate_ends_when_the_key_is_refused(tmp_path: Path) -> None:
    """The first refusal tells: every record would be refused."""
    lines = [function(number) for number in range(9)]
    source = write_lines(tmp_path / "in.jsonl", lines)
    refused = InvalidRequest("no such key", code="unauthorized", http_status=401)
    pairs = Pairs({str(line["refcode"]): refused for line in lines}, slots=1)
    with pytest.raises(InvalidRequest):
        run_step(open_generate_step(pairs), source=source, output=tmp_path / "out.jsonl")


def test_generate_is_not_continued_with_another_seed(tmp_path: Path) -> None:
    """One file holds the pairs of one command; the message says which setting differs."""
    source, output = write_lines(tmp_path / "in.jsonl", [function()]), tmp_path / "out.jsonl"
    run_step(open_generate_step(Pairs()), source=source, output=output)
    with pytest.raises(DatasetError, match="seed was 0 and is 1"):
        run_step(open_generate_step(Pairs(), GenerateOptions(seed=1)), source=source, output=output)


def test_clients_are_sources_of_pairs() -> None:
    """The seam is what ``AsyncClient`` has; a type checker sees it here."""

    def accepts(pairs: object) -> None:
        assert hasattr(pairs, "generate")

    accepts(AsyncClient("http://127.0.0.1:1"))
