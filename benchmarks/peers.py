"""Other services that run code over HTTP, if the reader has one running: each as a way.

Nothing here starts or installs them. Both take a whole script; what they answer is only looked at
for whether the script ended well.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from benchmarks.ways import Runs, Way, spread
from benchmarks.work import Check

_TIMEOUT_S = 120


@dataclass(frozen=True)
class Peer:
    """How one kind of service is asked, and how its answer says that all went well."""

    name: str
    path: str
    body: Callable[[str], dict[str, Any]]
    ended_well: Callable[[dict[str, Any]], bool]


SNEKBOX = Peer(
    name="snekbox",
    path="/eval",
    body=lambda script: {"input": script},
    ended_well=lambda answer: answer.get("returncode") == 0,
)
SANDBOX_FUSION = Peer(
    name="SandboxFusion",
    path="/run_code",
    body=lambda script: {"code": script, "language": "python"},
    ended_well=lambda answer: answer.get("status") == "Success",
)


@contextmanager
def over_peer(peer: Peer, url: str, *, concurrency: int) -> Iterator[Way]:
    """Each check a request of its own, with the whole check as a script."""
    local = threading.local()
    opened: list[http.client.HTTPConnection] = []
    address = urlsplit(url).netloc

    def run(body: bytes) -> bool:
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_S)
            opened.append(local.connection)
        headers = {"Content-Type": "application/json"}
        local.connection.request("POST", peer.path, body, headers)
        answer = json.loads(local.connection.getresponse().read())
        return isinstance(answer, dict) and peer.ended_well(answer)

    def run_all(checks: Sequence[Check], rounds: int) -> Runs:
        bodies = [json.dumps(peer.body(as_script(check))).encode() for check in checks] * rounds
        return spread(run, bodies, concurrency)

    try:
        yield Way(peer.name, concurrency, run_all)
    finally:
        for connection in opened:
            connection.close()


def as_script(check: Check) -> str:
    """A program that makes the call and prints the output as JSON."""
    return (
        f"import json\n"
        f"namespace = {{'__name__': 'check'}}\n"
        f"exec(compile({check.code!r}, 'check.py', 'exec'), namespace)\n"
        f"kwargs = json.loads({json.dumps(check.kwargs)!r})\n"
        f"print(json.dumps(namespace[{check.entry_point!r}](**kwargs)))\n"
    )
