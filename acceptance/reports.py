"""``python -m acceptance.reports``: inputs made after public bug reports, and what happens now.

Sends every request of ``../shared/reports/cases.jsonl`` to a service of its own and prints one row
of Markdown for each: its id, its kind of fault, what was expected, what came. Whether that is right
is said by people, in ``docs/reports.md``. Cases that are no request are held by tests.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.local_service import LocalService

_CASES = Path(__file__).resolve().parents[2] / "shared" / "reports" / "cases.jsonl"
_SHOWN_CHARS = 110
_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Case:
    """One request, and what its reporter expects of it."""

    id: str
    kind: str
    path: str
    body: Any
    expected: str


def read_cases(path: Path) -> list[Case]:
    """The cases that are requests, in the order of the file."""
    # Not splitlines: cases hold U+2028 and its like, which end no line of a JSONL file.
    records = [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]
    return [
        Case(
            id=record["id"],
            kind=record["kind"],
            path=record["input"]["path"],
            body=record["input"]["body"],
            expected=str(record["expected"]),
        )
        for record in records
        if isinstance(record["input"], dict) and "path" in record["input"]
    ]


def brief(answer: Any) -> str:
    """The part of an answer that a reader wants, on one line."""
    if "error" in answer:
        return f"{answer['error']['code']}: {answer['error']['message']}"
    if "executions" in answer:
        return "; ".join(map(_execution, answer["executions"]))
    if "pairs" in answer:
        rejected = json.dumps(answer["rejected"])
        return f"{len(answer['pairs'])} pairs, stopped by {answer['stopped']}, rejected {rejected}"
    return "; ".join(
        f"{item['verdict']}, extracted {json.dumps(item['extracted'])}" for item in answer["items"]
    )


def _execution(execution: Any) -> str:
    parts = [execution["status"]]
    if execution["status"] == "ok":
        parts.append(json.dumps(execution["output"])[:_SHOWN_CHARS])
    if execution["signal"]:
        parts.append(execution["signal"])
    if execution["error"]:
        line = execution["error"]["line"]
        where = f" (line {line})" if line else ""
        parts.append(f"{execution['error']['type']}: {execution['error']['message']}{where}")
    if execution["complexity"]:
        rules = sorted({each["rule"] for each in execution["complexity"]["violations"]})
        parts.append("within the size rule" if not rules else f"breaks {', '.join(rules)}")
    return " ".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")[: 3 * _SHOWN_CHARS]


def ask(url: str, case: Case) -> Any:
    """The service's answer to a case, an error's body included."""
    request = urllib.request.Request(
        url + case.path,
        data=json.dumps(case.body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        return json.load(error)


def main(arguments_given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m acceptance.reports", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--cases", type=Path, default=_CASES, help="the file of cases")
    arguments = parser.parse_args(arguments_given)
    if not arguments.cases.exists():
        print(f"reports: {arguments.cases} is not there; name the file with --cases")
        return 2
    print("| case | kind | expected | now |\n| --- | --- | --- | --- |")
    with LocalService() as service:
        for case in read_cases(arguments.cases):
            cells = [case.id, case.kind, case.expected, brief(ask(service.url, case))]
            shown = (
                cell.replace("|", "\\|").replace("\n", " ")[: 3 * _SHOWN_CHARS] for cell in cells
            )
            print("| " + " | ".join(shown) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
