"""``GET /page/live``: what each key is shown, and how the stream begins and ends."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from execbox_service.api.page.live_stream import READERS_MAX
from execbox_service.scheduling.reservations import KeyQueue

from .harness import RunningServer, running_server, wait_until

KEYS = {"pipeline": "key-of-the-pipeline", "trainer": "key-of-the-trainer"}
HASHES = ",".join(
    f"{name}:{hashlib.sha256(key.encode()).hexdigest()}" for name, key in KEYS.items()
)
QUEUES = [KeyQueue("pipeline", 3, 1), KeyQueue("trainer", 5, 2)]


@contextlib.contextmanager
def stream(server: RunningServer, key: str | None = None) -> Iterator[Iterator[tuple[str, Any]]]:
    """The events of one reader, as they come."""
    headers = {"Authorization": f"Bearer {KEYS[key]}"} if key else {}
    with httpx.stream("GET", f"{server.url}/page/live", headers=headers, timeout=10) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        yield events_of(answer.iter_lines())


def events_of(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def test_stream_begins_with_the_history_and_goes_on_with_what_is_now() -> None:
    """The samples so far, then one event for each reading, with the samples since."""
    with running_server() as server, stream(server) as events:
        name, history = next(events)
        assert (name, set(history)) == ("history", {"interval_s", "samples"})
        # One comes with each reading; what was read before is in the history.
        now = next(data for name, data in events if name == "now" and data["samples"])
        assert now["state"]["ready"] is True
        (sample,) = now["samples"][-1:]
        assert sample["time_s"] == pytest.approx(time.time(), abs=5)
        assert sample["requests"] == {"count": 0, "p50_s": None, "p95_s": None, "p99_s": None}


def test_stream_says_what_readyz_complains_of() -> None:
    """In the same words."""
    with running_server() as server:
        server.runtime.ready = False
        with stream(server) as events:
            for name, data in events:
                if name == "now" and data["state"] and data["state"]["ready"] is False:
                    assert data["state"]["reason"] == "no engine"
                    break
        server.runtime.ready = True


@pytest.mark.parametrize(
    ("live_keys", "shown", "others"),
    [
        ("", {"trainer": (5, 2)}, (3, 1)),
        ("pipeline", {"trainer": (5, 2)}, (3, 1)),
        ("trainer", {"pipeline": (3, 1), "trainer": (5, 2)}, (0, 0)),
        ("*", {"pipeline": (3, 1), "trainer": (5, 2)}, (0, 0)),
    ],
)
def test_stream_shows_a_key_its_own_queue_and_others_where_it_may(
    live_keys: str, shown: dict[str, tuple[int, int]], others: tuple[int, int]
) -> None:
    """Of keys it may not see, neither name nor number: only how many wait and run in all."""
    with running_server(api_key_hashes=HASHES, live_keys=live_keys) as server:
        server.runtime.queues = QUEUES
        with stream(server, "trainer") as events:
            next(events)
            _, now = next(events)
    assert {each["key"]: (each["waiting"], each["running"]) for each in now["keys"]} == shown
    assert (now["others"]["waiting"], now["others"]["running"]) == others
    assert now["key"] == "trainer"
    assert ("pipeline" in json.dumps(now)) == ("pipeline" in shown)


def test_stream_without_keys_shows_all() -> None:
    """All callers count as one there."""
    with running_server() as server:
        server.runtime.queues = [KeyQueue("anonymous", 4, 2)]
        with stream(server) as events:
            next(events)
            _, now = next(events)
    assert now["every_key"] is True
    assert now["keys"] == [{"key": "anonymous", "waiting": 4, "running": 2}]


def test_stream_ends_in_time_when_the_service_stops() -> None:
    """Well before the grace that running requests have, and as a complete answer."""
    with contextlib.ExitStack() as reader:
        with running_server(shutdown_grace_s="30") as server:
            events = reader.enter_context(stream(server))
            next(events)
            begun_s = time.monotonic()
        assert time.monotonic() - begun_s < 15
        assert {name for name, _ in events} <= {"now"}


def test_stream_gives_its_place_back_when_its_reader_goes() -> None:
    """One more than there are places is 503; after a reader has gone, there is one again."""
    with running_server() as server, contextlib.ExitStack() as others:
        # Kept, because an iterator that nobody has ends its stream.
        kept = [others.enter_context(stream(server)) for _ in range(READERS_MAX - 1)]
        for events in kept:
            next(events)
        with stream(server) as last:
            next(last)
            refused = httpx.get(f"{server.url}/page/live", timeout=5)
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "too_many_connections"
            assert int(refused.headers["retry-after"]) >= 1

        def has_place() -> bool:
            with httpx.stream("GET", f"{server.url}/page/live", timeout=10) as answer:
                return answer.status_code == 200

        wait_until(has_place)


def test_closed_page_is_no_error_in_the_metrics() -> None:
    """A tab that is closed is how the stream always ends."""
    with running_server() as server:

        def metrics() -> str:
            return httpx.get(f"{server.url}/metrics").text

        with stream(server) as events:
            next(events)
        wait_until(lambda: 'path="/page/live",status="200"' in metrics())
        assert "client_gone" not in metrics()
