"""``python -m acceptance.other_records``: two other projects' published records, checked.

Absolute Zero's seed records are replayed: which still give their output, and which are not
deterministic, beside two calls in one process, which is the check they passed. reasoning_gym's
functions draw inputs with the generators they came with, and what these give is certified.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.corpus_files import DEFAULT_FOLDER
from harness.local_service import LocalService
from harness.report import table

from execbox import BatchResult, Client, wire

_AZR, _GYM = "azr_seeds.jsonl.gz", "reasoning_gym.jsonl.gz"
_PAIRS, _ATTEMPTS = 3, 30
_CUT_AT = 400
_LIMITS = {"cpu_time_s": 10, "wall_time_s": 20}


def main(argv: Sequence[str] | None = None) -> int:
    """Print both accounts; 1 where a record stayed without an answer."""
    parser = argparse.ArgumentParser(prog="python -m acceptance.other_records", description=__doc__)
    parser.add_argument("--corpus", type=Path, default=DEFAULT_FOLDER, metavar="FOLDER")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N records of each")
    args = parser.parse_args(argv)
    with LocalService() as service, Client(config=service.config()) as client:
        lost = _azr(client, _pairs(_records(args.corpus / _AZR, args.limit)))
        lost += _gym(client, _records(args.corpus / _GYM, args.limit))
    return 1 if lost else 0


def _records(path: Path, limit: int | None) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines][:limit]


def _pairs(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A record for each input and output: some have several."""
    pairs = []
    for record in records:
        inputs = record.get("inputs") or [record["input"]]
        outputs = record.get("outputs") or [record["output"]]
        for given, published in zip(inputs, outputs, strict=True):
            pairs.append({**record, "input": given, "output": published})
    return pairs


def _azr(client: Client, records: Sequence[Mapping[str, Any]]) -> int:
    began_s = time.monotonic()
    lines = [line for number, record in enumerate(records) for line in _azr_lines(number, record)]
    results = _answers(client, lines)
    counts: Counter[str] = Counter()
    for number, record in enumerate(records):
        counts.update(_azr_account(record, results[f"{number}"], results[f"{number} twice"]))
    _show("pairs of Absolute Zero's seed records", len(records), counts, time.monotonic() - began_s)
    return counts["unknown"]


def _azr_lines(number: int, record: Mapping[str, Any]) -> Iterator[dict[str, object]]:
    code = "\n".join([*record["imports"], record["snippet"]])
    call = f"f(\n{record['input']}\n)"
    common = {
        "op": "execute",
        "function": {"code": code, "entry_point": "f"},
        "limits": _LIMITS,
        "isolation": "process",
    }
    equal = f"bool((\n{record['output']}\n) == {call})"
    yield {
        "id": f"{number}",
        **common,
        "checks": {"determinism": {"runs": 3}},
        "calls": [{"expression": f"repr({call})"}, {"expression": equal}],
    }
    yield {"id": f"{number} twice", **common, "calls": [{"expression": f"bool({call} == {call})"}]}


def _azr_account(
    record: Mapping[str, Any], checked: BatchResult, twice: BatchResult
) -> Iterator[str]:
    if not isinstance(checked.answer, wire.ExecuteResponse) or not isinstance(
        twice.answer, wire.ExecuteResponse
    ):
        yield "unknown"
        return
    (execution, equal), (same,) = checked.answer.executions, twice.answer.executions
    passes_twice = same.status is wire.Status.OK and same.output is True
    differ = "differ" if same.status is wire.Status.OK else same.status.value
    yield f"two calls in one process: {'equal' if passes_twice else differ}"
    if execution.determinism is not None and not execution.determinism.deterministic:
        yield f"not deterministic: {execution.determinism.cause}"
        if passes_twice:
            yield "not deterministic, and equal in two calls"
    elif execution.status is not wire.Status.OK:
        yield f"does not return: {execution.status}"
    elif equal.output is True or _cut(str(execution.output)) == str(record["output"]).strip():
        yield "reproduced"
    else:
        yield "deterministic, and not what was published"


def _cut(text: str) -> str:
    half = _CUT_AT // 2
    return text if len(text) <= _CUT_AT else f"{text[:half]}...{text[-half:]}"


def _gym(client: Client, records: Sequence[Mapping[str, Any]]) -> int:
    began_s = time.monotonic()
    results = _answers(client, [_gym_line(number, each) for number, each in enumerate(records)])
    counts: Counter[str] = Counter()
    for number in range(len(records)):
        counts.update(_gym_account(results[f"{number}"]))
    _show("reasoning_gym's functions", len(records), counts, time.monotonic() - began_s)
    return counts["unknown"]


def _gym_line(number: int, record: Mapping[str, Any]) -> dict[str, object]:
    return {
        "id": f"{number}",
        "op": "generate",
        "function": {"code": record["code_sample"]},
        "input_generator": {"code": record["input_generator"], "entry_point": "generate_inputs"},
        "count": _PAIRS,
        "attempts": _ATTEMPTS,
        "limits": _LIMITS,
        "isolation": "process",
    }


def _gym_account(result: BatchResult) -> Iterator[str]:
    answer = result.answer
    if not isinstance(answer, wire.GenerateResponse):
        yield "unknown"
        return
    shown = answer.examples.get("non_deterministic")
    if shown is not None and shown.determinism is not None:
        yield f"not deterministic: {shown.determinism.cause}"
    elif len(answer.pairs) == _PAIRS:
        yield f"{_PAIRS} certified pairs"
    elif answer.pairs:
        yield f"1 to {_PAIRS - 1} certified pairs in {_ATTEMPTS} draws"
    else:
        reason = max(answer.rejected, key=lambda name: answer.rejected[name])
        yield f"no pair in {_ATTEMPTS} draws, mostly {reason}"


def _answers(client: Client, lines: Sequence[dict[str, object]]) -> dict[str, BatchResult]:
    found: dict[str, BatchResult] = {}
    for result in client.batch(lines):
        found[str(result.id)] = result
        if len(found) % 100 == 0:
            print(f"{len(found)} of {len(lines)}", file=sys.stderr, flush=True)
    return found


def _show(title: str, count: int, counts: Counter[str], elapsed_s: float) -> None:
    print(f"{title}: {count}, in {elapsed_s:.0f} s")
    print(table(["outcome", "records"], [[name, str(n)] for name, n in sorted(counts.items())]))


if __name__ == "__main__":
    sys.exit(main())
