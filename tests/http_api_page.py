"""docs/http-api.md: what was really sent and answered, and the table of error codes.

``python -m tests.http_api_page --write`` starts a service on real containers, sends each of
EXCHANGES, and writes requests, answers and the codes of ``execbox.wire`` into the page, between
marks that the page has. Tests hold the page to the code and send its requests again.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from execbox.wire import ERROR_CODES
from tests.live_service import live_service

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "http-api.md"
SETTINGS: Final = {"pool_size": "2", "isolation_allowed": "process,container"}
"""Of the service that is asked: level ``process`` answers soonest."""
_NDJSON: Final = "application/x-ndjson"
_ITEMS_SHOWN: Final = 6
_CHARS_SHOWN: Final = 300
_LINES_SHOWN: Final = 8
LEFT_OUT: Final = "…"
_SESSION: Final = "{session_id}"
_BYTES: Final = "application/octet-stream"
_MARKED: Final = "<!-- {kind}: {name} -->\n{text}<!-- end -->"
EXCHANGE: Final = re.compile(
    r"<!-- exchange: (?P<name>\S+) -->\n(?P<text>.*?)<!-- end -->", re.DOTALL
)


@dataclass(frozen=True)
class Exchange:
    """A request of the page."""

    name: str
    method: str
    path: str
    body: str | None = None
    content_type: str = "application/json"

    def send(self, url: str) -> httpx.Response:
        """To a service that runs."""
        if _SESSION in self.path:
            with _begun_session(url) as session_id:
                return self._sent(url + self.path.replace(_SESSION, session_id))
        return self._sent(url + self.path)

    def _sent(self, address: str) -> httpx.Response:
        headers = {} if self.body is None else {"Content-Type": self.content_type}
        return httpx.request(self.method, address, content=self.body, headers=headers, timeout=60)

    def text(self) -> str:
        """As the page shows it."""
        lines = [f"{self.method} {self.path}"]
        if self.body is not None:
            lines += [f"Content-Type: {self.content_type}", "", self.body.rstrip("\n")]
        return "\n".join(lines)


@contextlib.contextmanager
def _begun_session(url: str) -> Iterator[str]:
    """The id of a session that has the file which the page's requests speak of."""
    body = {"files": {"numbers.txt": "1 2 3"}}
    begun = httpx.post(f"{url}/v1/sessions", json=body, timeout=60).raise_for_status().json()
    try:
        yield begun["id"]
    finally:
        httpx.delete(f"{url}/v1/sessions/{begun['id']}", timeout=60)


def _json(value: object) -> str:
    """A body as a person would write it: short things in one line."""
    return _laid_out(value, indent="")


def _laid_out(value: object, *, indent: str) -> str:
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or len(indent) + len(line) <= 96:
        return line
    inner = indent + "  "
    if isinstance(value, dict):
        parts = [
            f"{inner}{json.dumps(key, ensure_ascii=False)}: {_laid_out(part, indent=inner)}"
            for key, part in value.items()
        ]
        return "{\n" + ",\n".join(parts) + f"\n{indent}}}"
    parts = [inner + _laid_out(part, indent=inner) for part in value]
    return "[\n" + ",\n".join(parts) + f"\n{indent}]"


_DIVIDE: Final = {"code": "def main_solution(n):\n    return 100 // n"}
_EXECUTE: Final = {
    "function": _DIVIDE,
    "calls": [{"kwargs": {"n": 7}}, {"args": [0]}, {"expression": "main_solution(n=3) + 1"}],
    "limits": {"cpu_time_s": 2, "memory_mb": 256},
    "checks": {"determinism": {"runs": 2}, "complexity": "codeio"},
}
_GENERATE: Final = {
    "function": {"code": "def main_solution(n):\n    return sum(range(n))"},
    "input_generator": {
        "code": "import random\ndef input_generator():\n    return {'n': random.randint(1, 3)}"
    },
    "count": 3,
    "attempts": 6,
    "seed": 1,
    "checks": {"determinism": {"runs": 2}},
}
_VERIFY: Final = {
    "items": [
        {"id": "a", "kind": "output", "response": 'So {"output": 8}', "output": 8},
        {
            "id": "b",
            "kind": "input",
            "function": {"code": "def main_solution(n):\n    return n * 2"},
            "prediction": {"n": 3},
            "output": 8,
        },
    ]
}
_RUN: Final = {
    "program": {
        "code": "import sys\nn = int(input())\nopen('log', 'w').write(sys.argv[1])\nprint(n * 2)",
        "arguments": ["seen"],
        "fetch": ["*"],
    },
    "cases": [
        {"stdin": "4\n", "expected": {"stdout": "8\n"}},
        {"stdin": "four\n", "expected": {"stdout": "8", "comparator": "trimmed"}},
    ],
    "limits": {"cpu_time_s": 2},
}
_SESSION_BEGUN: Final = {
    "limits": {"cpu_time_s": 2, "memory_mb": 256},
    "files": {"numbers.txt": "1 2 3"},
    "idle_time_s": 60,
}
_CELL: Final = {
    "code": "numbers = open('numbers.txt').read().split()\nprint(len(numbers))\nnumbers[-1]",
    "limits": {"wall_time_s": 1},
}
_BATCH: Final = (
    {"id": "1", "op": "execute", "function": {"code": "def main_solution(n): return n"}}
    | {"calls": [{"args": [1]}]},
    {
        "id": "2",
        "op": "verify",
        "items": [{"id": "a", "kind": "output", "prediction": 8, "output": 8}],
    },
    {"id": "3", "op": "execute", "calls": []},
)

EXCHANGES: Final = (
    Exchange("execute", "POST", "/v1/execute", _json(_EXECUTE)),
    Exchange("generate", "POST", "/v1/generate", _json(_GENERATE)),
    Exchange("verify", "POST", "/v1/verify", _json(_VERIFY)),
    Exchange("run", "POST", "/v1/run", _json(_RUN)),
    Exchange("batch", "POST", "/v1/batch", "\n".join(map(json.dumps, _BATCH)) + "\n", _NDJSON),
    Exchange("session-begin", "POST", "/v1/sessions", _json(_SESSION_BEGUN)),
    Exchange("session-run", "POST", f"/v1/sessions/{_SESSION}/run", _json(_CELL)),
    Exchange(
        "session-stream", "POST", f"/v1/sessions/{_SESSION}/run", _json({**_CELL, "stream": True})
    ),
    Exchange("session-info", "GET", f"/v1/sessions/{_SESSION}"),
    Exchange("session-put", "PUT", f"/v1/sessions/{_SESSION}/files/a/b.txt", "hello", _BYTES),
    Exchange("session-get", "GET", f"/v1/sessions/{_SESSION}/files/numbers.txt"),
    Exchange("session-end", "DELETE", f"/v1/sessions/{_SESSION}"),
    Exchange("capabilities", "GET", "/v1/capabilities"),
    Exchange("healthz", "GET", "/healthz"),
    Exchange("readyz", "GET", "/readyz"),
    Exchange("metrics", "GET", "/metrics"),
    Exchange(
        "error",
        "POST",
        "/v1/execute",
        _json({"function": _DIVIDE, "calls": [], "limits": {"cpu_time_s": 1000}}),
    ),
)


def shortened(value: Any) -> Any:
    """A value without the rest of what is long; the mark stands where something is missing."""
    match value:
        case dict():
            shown = {key: shortened(part) for key, part in list(value.items())[:60]}
            if all(isinstance(part, str | int | float) for part in value.values()) and (
                len(value) > 2 * _ITEMS_SHOWN
            ):
                shown = dict(list(shown.items())[:_ITEMS_SHOWN]) | {LEFT_OUT: LEFT_OUT}
            return shown
        case list() if len(value) > _ITEMS_SHOWN:
            return [*map(shortened, value[:_ITEMS_SHOWN]), LEFT_OUT]
        case list():
            return [shortened(part) for part in value]
        case str() if len(value) > _CHARS_SHOWN:
            return value[:_CHARS_SHOWN] + LEFT_OUT
    return value


def shown_answer(response: httpx.Response) -> str:
    """An answer as the page shows it."""
    status = f"{response.status_code} {response.reason_phrase}"
    if "content-type" not in response.headers:
        return status
    media_type = response.headers["content-type"].split(";")[0]
    head = f"{status}\nContent-Type: {media_type}\n\n"
    if media_type == _NDJSON:
        # Answered in any order; shown in that of the lines.
        lines = sorted(
            map(json.loads, response.text.splitlines()), key=lambda line: line.get("id", "")
        )
        return head + "\n".join(json.dumps(shortened(line), ensure_ascii=False) for line in lines)
    if media_type == "application/json":
        return head + _json(shortened(response.json()))
    lines = response.text.splitlines()
    if media_type == _BYTES:
        return head + response.text
    return head + "\n".join([*lines[:_LINES_SHOWN], LEFT_OUT])


def recorded(url: str) -> Iterator[tuple[str, str]]:
    """Send each request; its name and what the page shows of it."""
    for exchange in EXCHANGES:
        answer = shown_answer(exchange.send(url))
        yield exchange.name, f"```http\n{exchange.text()}\n```\n\n```http\n{answer}\n```\n"


def table_of_errors() -> str:
    """A row for each code, in their order."""
    rows = [
        "| code | status | whose | again? | what happened | what to do |",
        "|---|---|---|---|---|---|",
    ]
    for code, facts in ERROR_CODES.items():
        again = "yes" if facts.retryable else "no"
        rows.append(
            f"| `{code}` | {facts.http_status} | {facts.fault} | {again} | {facts.meaning} | "
            f"{facts.remedy} |"
        )
    return "\n".join(rows) + "\n"


def put(page: str, *, kind: str, name: str, text: str) -> str:
    """The page with this text between the marks of that name. Raises ValueError without them."""
    marked = re.compile(rf"<!-- {kind}: {name} -->\n.*?<!-- end -->", re.DOTALL)
    if len(marked.findall(page)) != 1:
        raise ValueError(f"docs/http-api.md needs one place marked <!-- {kind}: {name} -->")
    replacement = _MARKED.format(kind=kind, name=name, text=text)
    return marked.sub(lambda _: replacement, page)


def main() -> None:
    """Write the page anew."""
    page = put(PAGE.read_text("utf-8"), kind="made", name="errors", text=table_of_errors())
    with live_service(SETTINGS) as service:
        for name, text in recorded(service.url):
            page = put(page, kind="exchange", name=name, text=text)
    PAGE.write_text(page, "utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.http_api_page --write")
    main()
