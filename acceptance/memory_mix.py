"""``python -m acceptance.memory_mix``: does a service survive any mix of requests in one gigabyte?

Sends the largest permitted requests of every operation in random order, several at a time, through
two keys, to a service on real sandboxes that cannot have more memory than that; a third key asks
for something small all the while. What the requests are is in ``harness.hostile_requests``.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import random
import resource
import secrets
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from harness.beside import beside
from harness.hostile_requests import REQUESTS, body
from harness.local_service import LocalService
from harness.measurement import conclude, machine_of, say
from harness.meters import peak_resident_mb, resident_mb
from harness.report import RESULTS, Claim, Draw, Findings, number, table

from execbox import Client, ClientConfig
from execbox.wire import Capabilities

_MEMORY_MB = 1024
_KEYS = ("first", "second", "small")
_HOSTILE_KEYS = _KEYS[:2]
_SENDER_COUNT = 8
_ANSWER_TIMEOUT_S = 300.0
_SMALL_EVERY_S = 0.2
_SETTLE_S = 3.0
_SETTINGS = {"receive_timeout_s": "120", "job_time_s_max": "3", "log_level": "error"}
"""A body of 16 MB takes its time among seven others. Of 10,000 executions 3 s take as much of the
service's memory as all do, and the mix ends sooner."""
_AFTERWARDS = "a million arrays"
_REFUSALS = frozenset({413, 429})
_ERROR_FIELDS = {"code", "message", "detail", "retryable"}


@dataclass(frozen=True)
class Asked:
    """One request of the mix."""

    name: str
    key: str


@dataclass(frozen=True)
class Answered:
    """What came of a request. ``fault`` says what is wrong with the answer, if anything is."""

    asked: Asked
    status: int
    took_s: float
    fault: str | None


@dataclass
class Mix:
    """All that came: of the mix, of the small requests beside it, and how much memory was taken."""

    answers: list[Answered] = field(default_factory=list)
    small: list[Answered] = field(default_factory=list)
    sampled_mb: list[tuple[float, float]] = field(default_factory=list)
    took_s: float = 0.0
    before_mb: float = 0.0
    peak_mb: float = 0.0
    after_mb: float = 0.0
    afterwards: list[Answered] = field(default_factory=list)
    """Large requests of the keys that sent the mix: none is refused where nothing is held."""


def mix_of(seed: int, *, count: int) -> list[Asked]:
    """So many requests, every shape as often as the others but for one; who sends each is chance.

    The same seed and count give the same mix.
    """
    chance = random.Random(seed)
    names: list[str] = []
    while len(names) < count:
        names += chance.sample(sorted(REQUESTS), len(REQUESTS))
    return [Asked(name, chance.choice(_HOSTILE_KEYS)) for name in names[:count]]


def fault_of(status: int, text: bytes, *, expected: int) -> str | None:
    """What is wrong with an answer: it may be the expected one, or a refusal, in the one shape."""
    if status not in {expected, *_REFUSALS}:
        return f"status {status} instead of {expected}: {text[:300].decode(errors='replace')}"
    if status == 200:
        return None
    try:
        error = json.loads(text)["error"]
    except (ValueError, TypeError, KeyError):
        return f"status {status} without an error in it: {text[:300].decode(errors='replace')}"
    return None if set(error) == _ERROR_FIELDS else f"an error of other fields: {sorted(error)}"


class _Sender:
    """Sends to one service with its keys."""

    def __init__(self, url: str, keys: dict[str, str]) -> None:
        self._address = url.removeprefix("http://")
        self._keys = keys
        self._bodies_lock = threading.Lock()

    def send(self, asked: Asked) -> Answered:
        """One of the mix."""
        path, expected, make = REQUESTS[asked.name]
        # Made one at a time, so that this program needs less memory than the one it looks at.
        with self._bodies_lock:
            request = make()
        return self._post(asked, request, path=path, expected=expected)

    def small(self) -> Answered:
        """What an honest caller asks for."""
        return self._post(Asked("small", "small"), body(), path="/v1/execute", expected=200)

    def _post(self, asked: Asked, request: bytes, *, path: str, expected: int) -> Answered:
        connection = http.client.HTTPConnection(self._address, timeout=_ANSWER_TIMEOUT_S)
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self._keys[asked.key]}",
        }
        began_s = time.monotonic()
        with closing(connection):
            try:
                connection.request("POST", path, request, headers)
                answer = connection.getresponse()
                text, status = answer.read(), answer.status
            except (OSError, http.client.HTTPException) as error:
                return Answered(asked, 0, time.monotonic() - began_s, f"no answer: {error!r}")
        took_s = time.monotonic() - began_s
        return Answered(asked, status, took_s, fault_of(status, text, expected=expected))


def run_mix(service: LocalService, keys: dict[str, str], mix: Sequence[Asked]) -> Mix:
    """Send all of it; the service keeps running."""
    found, sender = Mix(), _Sender(service.url, keys)
    sender.small()
    found.before_mb = resident_mb(service.pid)
    began_s = time.monotonic()

    def sample() -> None:
        found.sampled_mb.append((time.monotonic() - began_s, resident_mb(service.pid)))

    with (
        beside(0.1, sample),
        beside(_SMALL_EVERY_S, lambda: found.small.append(sender.small())),
        ThreadPoolExecutor(_SENDER_COUNT) as senders,
    ):
        try:
            for answered in senders.map(sender.send, mix):
                found.answers.append(answered)
                if len(found.answers) % 20 == 0:
                    say(f"{len(found.answers)} of {len(mix)}, {resident_mb(service.pid):.0f} MiB")
        finally:
            # What has not begun is not waited for where this is interrupted.
            senders.shutdown(wait=False, cancel_futures=True)
    found.took_s = time.monotonic() - began_s
    time.sleep(_SETTLE_S)
    found.after_mb = resident_mb(service.pid)
    found.afterwards = [sender.send(Asked(_AFTERWARDS, key)) for key in _HOSTILE_KEYS]
    found.peak_mb = peak_resident_mb(service.pid)
    return found


def judge(found: Mix, *, bound_mb: int) -> list[Claim]:
    """What must hold of a mix."""
    faults = [answered for answered in found.answers if answered.fault]
    small_faults = [
        answered for answered in found.small if answered.fault or answered.status != 200
    ]
    longest_s = max((answered.took_s for answered in found.small), default=0.0)
    return [
        Claim(
            "each request is answered, or refused in the one shape",
            f"{len(found.answers) - len(faults)} of {len(found.answers)}",
            bool(found.answers) and not faults,
        ),
        Claim(
            f"the service takes less than {bound_mb} MiB",
            f"{found.peak_mb:.0f} MiB resident at most",
            0 < found.peak_mb < bound_mb,
        ),
        Claim(
            "a third key's small requests are all answered 200",
            f"{len(found.small) - len(small_faults)} of {len(found.small)}, "
            f"the slowest after {number(longest_s)} s",
            bool(found.small) and not small_faults,
        ),
        Claim(
            "afterwards each key's large request is answered 200",
            ", ".join(str(answered.status) for answered in found.afterwards),
            {answered.status for answered in found.afterwards} == {200},
        ),
    ]


def _measured(asked: argparse.Namespace) -> tuple[Findings, Draw]:
    keys = {name: secrets.token_hex(16) for name in _KEYS}
    hashes = ",".join(
        f"{name}:{hashlib.sha256(key.encode()).hexdigest()}" for name, key in keys.items()
    )
    bytes_max = asked.memory_mb * 2**20
    with LocalService(api_key_hashes=hashes, **_SETTINGS) as service:
        resource.prlimit(service.pid, resource.RLIMIT_DATA, (bytes_max, bytes_max))
        able = _capabilities(service.url, keys["small"])
        found = run_mix(service, keys, mix_of(asked.seed, count=asked.requests))
    settings = {
        "requests": str(asked.requests),
        "shapes": str(len(REQUESTS)),
        "seed": str(asked.seed),
        "memory": f"{asked.memory_mb} MiB",
        "at once": str(_SENDER_COUNT),
    } | _SETTINGS
    findings = Findings("memory_mix", machine_of(able), settings)
    findings.tables += [_statuses(found), _memory(found), _faults(found)]
    findings.claims += judge(found, bound_mb=asked.memory_mb)
    findings.data |= {"answers": found.answers, "small": found.small, "mb": found.sampled_mb}
    return findings, lambda path: _draw(found, path, bound_mb=asked.memory_mb)


def _capabilities(url: str, key: str) -> Capabilities:
    with Client(config=ClientConfig(base_url=url, api_key=key)) as client:
        return client.capabilities()


def _statuses(found: Mix) -> str:
    by_operation: dict[str, Counter[int]] = defaultdict(Counter)
    for answered in found.answers:
        by_operation[REQUESTS[answered.asked.name][0]][answered.status] += 1
    statuses = sorted({status for counts in by_operation.values() for status in counts})
    rows = [
        [path, *(str(counts[status]) for status in statuses)]
        for path, counts in sorted(by_operation.items())
    ]
    return table(["answers", *map(str, statuses)], rows)


def _memory(found: Mix) -> str:
    rows = [
        ["before, MiB", number(found.before_mb)],
        ["at most, MiB", number(found.peak_mb)],
        ["afterwards, MiB", number(found.after_mb)],
        ["seconds", number(found.took_s)],
    ]
    return table(["resident memory of the service", ""], rows)


def _faults(found: Mix) -> str:
    faults = [answered for answered in (*found.answers, *found.small) if answered.fault]
    if not faults:
        return "No answer was wrong."
    lines = [f"- {answered.asked.name}: {answered.fault}" for answered in faults]
    return "Wrong answers:\n\n" + "\n".join(lines)


def _draw(found: Mix, path: Path, *, bound_mb: int) -> None:
    from harness.plot_style import OURS, picture

    with picture(path, (8, 3)) as figure:
        axes = figure.subplots()
        axes.plot(*zip(*found.sampled_mb, strict=True), color=OURS)
        axes.axhline(bound_mb, linestyle="--", color="gray")
        axes.set(xlabel="s", ylabel="resident memory, MiB", ylim=(0, None))


def main(argv: Sequence[str] | None = None) -> int:
    """Send the mix, print what came; 1 if the service did not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m acceptance.memory_mix",
        description="The largest permitted requests, mixed, on a service with little memory.",
    )
    parser.add_argument("--requests", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--seed", type=int, default=7, help="of the order (default 7)")
    parser.add_argument(
        "--memory-mb", type=int, default=_MEMORY_MB, help="what the service may have (default 1024)"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for what is found")
    asked = parser.parse_args(argv)
    return conclude("acceptance.memory_mix", lambda: _measured(asked), folder=asked.output)


if __name__ == "__main__":
    sys.exit(main())
