"""The faults of a run of chaos: what is done, for how long, whose fault it is, what a client sees.

Each is done once when it is called, and is over when the call returns.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from acceptance.chaos.clients import Clients
from acceptance.chaos.place import Place

__all__ = ["KINDS", "Kind"]

_PAUSED_S: Final = 3.0
"""Longer than the wall limit of the work."""
_AWAY_S: Final = 1.5
_SLOW_S: Final = 3.0
_FROZEN_S: Final = 3.0
_NETWORK_S: Final = 2.0
_IDLE_S: Final = 0.3
_STILL_S: Final = 3.0
_DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of fault."""

    name: str
    text: str
    """For the page."""
    do: Callable[[Place], None] | None = None
    do_to_clients: Callable[[Clients, random.Random], None] | None = None
    """Returns when what it was done to has gone on. Each kind has one of the two."""


def _container_killed(place: Place) -> None:
    place.kill_container()


def _supervisor_killed(place: Place) -> None:
    place.kill_in_container("supervisor")


def _zygote_killed(place: Place) -> None:
    place.kill_in_container("zygote")


def _containers_paused(place: Place) -> None:
    place.pause_containers(lasts_s=_PAUSED_S)


def _streams_cut(place: Place) -> None:
    place.proxy.break_streams("cut")


def _streams_garbled(place: Place) -> None:
    place.proxy.break_streams("garbled")


def _daemon_away(place: Place) -> None:
    place.proxy.cut()
    time.sleep(_AWAY_S)
    place.proxy.restore()


def _daemon_slow(place: Place) -> None:
    place.proxy.slow_down(delay_s=0.02, piece_bytes=512)
    time.sleep(_SLOW_S)
    place.proxy.restore()


def _daemon_frozen(place: Place) -> None:
    place.daemon.freeze()
    try:
        time.sleep(_FROZEN_S)
    finally:
        place.daemon.thaw()


def _daemon_stopped(place: Place) -> None:
    place.daemon.stop()
    time.sleep(_AWAY_S)
    place.daemon.start()


def _daemon_killed(place: Place) -> None:
    place.daemon.kill()
    time.sleep(_AWAY_S)
    place.daemon.start()


def _service_ended(place: Place) -> None:
    place.end()
    place.begin()


def _service_killed(place: Place) -> None:
    place.end(in_order=False)
    place.begin()


def _network_fails(place: Place) -> None:
    place.network.failing = True
    time.sleep(_NETWORK_S)
    place.network.failing = False


def _idle_connections_end(place: Place) -> None:
    place.network.idle_limit_s = _IDLE_S
    time.sleep(_NETWORK_S)
    place.network.idle_limit_s = None


def _service_stands_still(place: Place) -> None:
    place.stand_still(lasts_s=_STILL_S)


def _date_set(place: Place) -> None:
    for offset_s in (_DAY_S, -_DAY_S, 0.0):
        place.clock.set_back_or_on(offset_s)
        time.sleep(1)


KINDS: Final = (
    Kind(name="container killed", text="`docker kill`", do=_container_killed),
    Kind(name="supervisor killed", text="SIGKILL to a container's PID 1", do=_supervisor_killed),
    Kind(name="zygote killed", text="SIGKILL to what forks executions", do=_zygote_killed),
    Kind(
        name="containers paused",
        text=f"`docker pause` of all for {_PAUSED_S:g} s",
        do=_containers_paused,
    ),
    Kind(name="streams cut", text="each in the middle of an answer", do=_streams_cut),
    Kind(name="streams garbled", text="64 bytes in each answer's middle", do=_streams_garbled),
    Kind(
        name="daemon away",
        text=f"connections cut and refused for {_AWAY_S:g} s",
        do=_daemon_away,
    ),
    Kind(
        name="daemon slow",
        text=f"20 ms for every 512 bytes, for {_SLOW_S:g} s",
        do=_daemon_slow,
    ),
    Kind(name="daemon frozen", text=f"SIGSTOP for {_FROZEN_S:g} s", do=_daemon_frozen),
    Kind(name="daemon stopped", text="SIGTERM, and started again", do=_daemon_stopped),
    Kind(name="daemon killed", text="SIGKILL, and started again", do=_daemon_killed),
    Kind(name="service ended", text="SIGTERM, and started again", do=_service_ended),
    Kind(name="service killed", text="SIGKILL, and started again", do=_service_killed),
    Kind(
        name="network fails",
        text=f"connections refused, broken and silent for {_NETWORK_S:g} s",
        do=_network_fails,
    ),
    Kind(
        name="idle connections end",
        text=f"closed after {_IDLE_S:g} s without a byte, for {_NETWORK_S:g} s",
        do=_idle_connections_end,
    ),
    Kind(
        name="service stands still",
        text=f"SIGSTOP for {_STILL_S:g} s",
        do=_service_stands_still,
    ),
    Kind(
        name="date set",
        text="of the service and its clients, a day on, two back and to where it was",
        do=_date_set,
    ),
    Kind(
        name="client killed",
        text="SIGKILL, and the same command again",
        do_to_clients=Clients.kill_one,
    ),
    Kind(
        name="client stands still",
        text="SIGSTOP for 3 s",
        do_to_clients=Clients.stop_one,
    ),
    Kind(
        name="client's disk full",
        text="until a command has ended of it; then there is room, and the same command again",
        do_to_clients=Clients.fill_disk,
    ),
)
