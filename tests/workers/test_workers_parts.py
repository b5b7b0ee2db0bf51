"""The parts of several workers that decide something by themselves: names, sums, turns, counts."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
from collections import Counter

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client import Counter as CounterMetric

from execbox.wire import ErrorCode
from execbox_service.engines.docker.container_names import belongs_to, new_name
from execbox_service.failures import CallerMistake, Overloaded, RequestFailed, ServiceFailure
from execbox_service.settings import load_settings
from execbox_service.workers.board import Board, board_keys
from execbox_service.workers.counted_keys import SharedSessionRoom
from execbox_service.workers.handing_out import HandingOut
from execbox_service.workers.metric_sums import MetricSums, as_json
from execbox_service.workers.session_calls import as_failure, failure_values
from execbox_service.workers.silence import Silence
from execbox_service.workers.worker import read_hello


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({"slot_count": "2"}, 1),
        ({"slot_count": "7"}, 1),
        ({"slot_count": "8"}, 2),
        ({"slot_count": "16"}, 4),
        ({"slot_count": "64"}, 16),
        ({"slot_count": "1024"}, 16),
        ({"slot_count": "2", "workers": "3"}, 3),
        ({"slot_count": "64", "workers": "1"}, 1),
    ],
)
def test_workers_unset_go_by_the_slots(settings: dict[str, str], count: int) -> None:
    """One on small machines, and never more than are asked for."""
    assert load_settings(settings).worker_count == count


@pytest.mark.parametrize("count", [1, 2, 3, 16])
def test_each_container_belongs_to_exactly_one_worker(count: int) -> None:
    """Also one that an earlier service made with more workers, and one that has only its id."""
    names = [new_name(number) for number in (1, 2, 3, 16, 64)] + ["f00d" * 16, "another"]
    for name in names:
        owners = [
            number
            for number in range(1, count + 1)
            if belongs_to(name, worker_number=number, worker_count=count)
        ]
        assert len(owners) == 1
    for number in range(1, count + 1):
        assert belongs_to(new_name(number), worker_number=number, worker_count=count)


def test_connections_go_where_their_peer_has_fewest() -> None:
    """Two of one client to two workers, although the second has more in all."""
    handing_out = HandingOut()
    for peer in ("x", "y", "z", "x", "x"):
        handing_out.opened(1 if peer == "x" else 2, peer=peer)
    handing_out.closed(1, peer="x")
    assert handing_out.next_of((1, 2), peer="y") == 1
    assert handing_out.next_of((1, 2), peer="x") == 2
    handing_out.forget(1)
    assert handing_out.open_count(1) == 0
    assert handing_out.open_count(2) == 2


def test_connections_of_many_peers_go_to_each_worker_in_turn() -> None:
    """Each opened and closed at once, so that all are equal."""
    handing_out, counts = HandingOut(), Counter[int]()
    for number in range(30):
        worker = handing_out.next_of((1, 2, 3), peer=str(number))
        handing_out.opened(worker, peer=str(number))
        handing_out.closed(worker, peer=str(number))
        counts[worker] += 1
    assert counts == {1: 10, 2: 10, 3: 10}


def _said(count: float, gauge: float) -> list[object]:
    registry = CollectorRegistry()
    counted = CounterMetric("execbox_x", "X", ["status"], registry=registry)
    counted.labels("ok").inc(count)
    Gauge("execbox_warm", "W", registry=registry).set(gauge)
    Gauge("execbox_engine_ready", "E", registry=registry).set(gauge > 0)
    Gauge("execbox_sandboxes_behind_seconds", "B", registry=registry).set(gauge)
    return as_json(registry.collect())


def _values(sums: MetricSums) -> dict[str, float]:
    lines = sums.exposition([]).decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs if "_created" not in name}


def test_metrics_of_workers_are_added_and_outlive_them() -> None:
    """Counters stay when a worker ends, and what is a state now does not."""
    sums = MetricSums()
    sums.keep(1, _said(3, 2))
    sums.keep(2, _said(4, 0))
    both = {
        'execbox_x_total{status="ok"}': 7,
        "execbox_warm": 2,
        "execbox_engine_ready": 0,
        "execbox_sandboxes_behind_seconds": 2,
    }
    assert _values(sums) == both
    sums.ended(2)
    sums.keep(2, _said(1, 5))
    assert _values(sums) == both | {
        'execbox_x_total{status="ok"}': 8,
        "execbox_warm": 7,
        "execbox_engine_ready": 1,
        "execbox_sandboxes_behind_seconds": 5,
    }


@pytest.mark.parametrize(
    "failure",
    [
        CallerMistake(ErrorCode.SESSION_GONE, "gone", detail={"id": "x"}),
        ServiceFailure(ErrorCode.SANDBOX_LOST, "lost", retry_after_s=3.0),
        Overloaded(ErrorCode.SESSIONS_TOO_MANY, "many", retry_after_s=10.0),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_failure_is_the_same_at_the_other_end(failure: RequestFailed) -> None:
    """Kind, code, message, detail and time."""
    there = as_failure(failure_values(failure))
    assert type(there) is type(failure)
    assert vars(there) == vars(failure)


def _count_without_end(fd: int) -> None:
    board = Board(fd, keys=board_keys(["a"]), worker_count=2)
    while True:
        with board.exclusive():
            board.count_under_way("a", worker_number=2, change=1)


def test_board_is_usable_after_a_worker_was_killed_in_the_middle() -> None:
    """The kernel takes the lock from the dead, and the front clears what it had counted."""
    fd = Board.create()
    os.set_inheritable(fd, True)
    board = Board(fd, keys=board_keys(["a"]), worker_count=2)
    board.count_under_way("a", worker_number=1, change=2)
    worker = multiprocessing.get_context("fork").Process(target=_count_without_end, args=(fd,))
    worker.start()
    while board.under_way_count("a") < 1000:
        pass
    os.kill(worker.pid or 0, signal.SIGKILL)
    worker.join()
    board.forget(2)
    assert board.under_way_count("a") == 2
    os.close(fd)


def test_sessions_of_two_workers_are_counted_together() -> None:
    """Of a key, and of all."""
    board = Board(Board.create(), keys=board_keys(["a", "b", "c"]), worker_count=2)
    one, two = (
        SharedSessionRoom(board, worker_number=number, count_max=3, key_count_max=2)
        for number in (1, 2)
    )
    one.take("a")
    two.take("a")
    with pytest.raises(Overloaded, match="this key has 2 sessions"):
        one.take("a")
    one.take("b")
    with pytest.raises(Overloaded, match="the service has 3 sessions"):
        two.take("c")
    two.leave("a")
    two.take("c")


# The start


def test_worker_reads_its_hello_and_leaves_what_was_said_after_it() -> None:
    """A worker that ends at its start has the front tell the others to end at once: so early that
    both are there when a slow one reads its hello."""
    values = load_settings({"slot_count": "3"}).model_dump(mode="json")
    front_end, worker_end = socket.socketpair()
    with front_end, worker_end:
        said = json.dumps(["hello", values, 2, 4, "/folder", None, None]).encode()
        front_end.sendall(said + b'\n["drain"]\n')
        hello = read_hello(worker_end)
        assert (hello.settings.slot_count, hello.number, hello.count) == (3, 2, 4)
        assert worker_end.recv(100) == b'["drain"]\n'


def test_worker_whose_front_is_gone_before_its_hello_ends() -> None:
    """There is nobody to serve for."""
    front_end, worker_end = socket.socketpair()
    with worker_end:
        front_end.sendall(b'["hello", {')
        front_end.close()
        with pytest.raises(SystemExit):
            read_hello(worker_end)


# Silence


@pytest.mark.parametrize(
    ("look_count", "leaves_out", "ends_it"),
    [(0, False, False), (4, False, False), (5, True, False), (29, True, False), (30, True, True)],
)
def test_silence_after_so_many_looks_leaves_out_then_ends(
    look_count: int, leaves_out: bool, ends_it: bool
) -> None:
    """Just under and just over either number of looks."""
    silence = Silence()
    for _ in range(look_count):
        silence.look()
    assert (silence.leaves_out, silence.ends_it) == (leaves_out, ends_it)


def test_silence_is_over_with_one_word() -> None:
    """Whose hearing says whether the worker had been left out."""
    silence = Silence()
    silence.look()
    assert not silence.heard()
    for _ in range(5):
        silence.look()
    assert silence.heard()
    assert not silence.leaves_out
    assert not silence.heard()
