"""Asking through all adapters together while one fault strikes, in three waves, and logging it.

One service and one run of the fault serve all adapters of a wave, because what a fault costs (a
daemon that is away, containers that are made again) is then paid once and not by each adapter. What
asks for many checks at once comes first, because the service gives a batch as many turns as all
single requests together; what asks for one at a time comes second, but for clients that wait two
seconds for their turn, which come last: beside the others they would be told of the load, and not
of the fault. What an adapter is, is in ``adapter``, and how one is asked in ``measuring``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass

from harness.measurement import say

from acceptance.unknowns.adapter import Adapter
from acceptance.unknowns.answer_log import AnswerLog
from acceptance.unknowns.checks import Check, part_of
from acceptance.unknowns.faults import Fault, Strikes
from acceptance.unknowns.measuring import asked
from acceptance.unknowns.place import Place

__all__ = ["Run", "ask_all", "waves_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What every cell has in common."""

    checks: Sequence[Check]
    in_flight: int
    """Checks under way at once, of all adapters of a wave together; but each adapter has one group
    of its own, whatever its size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wave:
    """What the adapters that are asked together have in common."""

    place: Place
    fault: Fault
    strikes: Strikes
    log: AnswerLog
    in_flight: int
    """Of each adapter."""
    is_over: threading.Event
    """Whether nothing further is to be asked for."""


def ask_all(
    place: Place, fault: Fault, *, adapters: Sequence[Adapter], log: AnswerLog, run: Run
) -> Iterator[Adapter]:
    """Ask for what has no answer in the log yet, with the service as it should be between two
    waves; each adapter once it is through."""
    part = part_of(run.checks, fault.part)
    left = {each.name: log.left(each.name, fault.name, of=part) for each in adapters}
    waves = waves_of([each for each in adapters if left[each.name]])
    if not waves:
        return
    with place.served(fault.settings):
        for wave in waves:
            place.wait_until_ready()
            yield from _asked_together(place, fault, adapters=wave, left=left, log=log, run=run)


def waves_of(adapters: Sequence[Adapter]) -> list[list[Adapter]]:
    """Those that ask for many checks at once, those that ask for one, and the impatient."""
    last = [each for each in adapters if each.asked_last]
    others = [each for each in adapters if not each.asked_last]
    many = [each for each in others if each.group_size > 1 and not each.one_by_one]
    single = [each for each in others if each not in many]
    return [wave for wave in (many, single, last) if wave]


def _asked_together(
    place: Place,
    fault: Fault,
    *,
    adapters: Sequence[Adapter],
    left: Mapping[str, Sequence[Check]],
    log: AnswerLog,
    run: Run,
) -> Iterator[Adapter]:
    is_over = threading.Event()
    with fault.failing(place) as strikes, ThreadPoolExecutor(len(adapters)) as threads:
        wave = _Wave(
            place=place,
            fault=fault,
            strikes=strikes,
            log=log,
            in_flight=max(1, run.in_flight // len(adapters)),
            is_over=is_over,
        )
        asking = {threads.submit(_ask, wave, each, left[each.name]): each for each in adapters}
        try:
            for done in as_completed(asking):
                try:
                    done.result()
                except ImportError as error:
                    say(f"{asking[done].name}: passed over, {error}")
                    continue
                yield asking[done]
        finally:
            # A run that is cut off waits for what is under way only.
            is_over.set()


def _ask(wave: _Wave, adapter: Adapter, checks: Sequence[Check]) -> None:
    began_s, struck_before = time.monotonic(), wave.strikes.count
    try:
        asking = asked(adapter, checks, url=wave.place.network.url, in_flight=wave.in_flight)
        with closing(asking) as answers:
            for answered in answers:
                wave.log.add(adapter.name, wave.fault.name, answered=answered)
                if wave.is_over.is_set():
                    return
    finally:
        wave.log.asked_for(
            adapter.name,
            wave.fault.name,
            took_s=time.monotonic() - began_s,
            strike_count=wave.strikes.count - struck_before,
        )
