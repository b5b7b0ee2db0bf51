"""How many sandboxes are made at once: the number is found, kept, and looked for again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from execbox_service.sandboxes.creating_count import COUNT_MIN, CreatingCount

Rate = Callable[[int], float]
"""Ready ones a second, by how many are under way."""


def run(creating: CreatingCount, rate: Rate, *, seconds: float, now_s: float = 0.0) -> list[int]:
    """An engine under full demand; the number after each that became ready."""
    seen = []
    end_s = now_s + seconds
    while now_s < end_s:
        now_s += 1 / rate(creating.count)
        creating.ready(now_s=now_s)
        seen.append(creating.count)
    return seen


def table(rates: dict[int, float]) -> Rate:
    return lambda count: rates.get(count, rates[max(rates)])


@pytest.mark.parametrize(
    ("rates", "best"),
    [
        pytest.param({2: 6.2, 3: 7.0, 4: 7.6, 5: 7.6, 6: 7.2}, 4, id="Docker 20.10"),
        pytest.param({2: 11.9, 3: 13.0, 4: 13.9, 5: 14.8, 6: 14.9, 7: 14.0}, 5, id="Docker 28"),
        pytest.param({2: 10.2, 3: 9.0}, 2, id="an engine that two keep busy"),
        pytest.param({2: 4.0, 3: 6.0, 4: 8.0, 5: 10.0, 6: 12.0, 7: 14.0, 8: 16.0}, 8, id="many"),
    ],
)
def test_count_comes_to_the_one_that_gives_the_most(rates: dict[int, float], best: int) -> None:
    """Within half a minute, and is that one nearly always from then on."""
    creating = CreatingCount(count_max=8)
    run(creating, table(rates), seconds=30)
    seen = run(creating, table(rates), seconds=60, now_s=30.0)
    assert max(set(seen), key=seen.count) == best
    made_per_s = len(seen) / 60
    assert made_per_s > 0.93 * rates[best]


def test_count_never_leaves_its_bounds() -> None:
    """However fast more would be."""
    seen = run(CreatingCount(count_max=4), float, seconds=120)
    assert (min(seen), max(seen)) == (COUNT_MIN, 4)


def test_count_follows_an_engine_that_becomes_different() -> None:
    """As when other work of the machine begins: the number is looked for again."""
    creating = CreatingCount(count_max=8)
    run(creating, table({2: 4.0, 3: 6.0, 4: 8.0, 5: 8.0}), seconds=60)
    assert creating._best == 4
    seen = run(creating, table({2: 6.0, 3: 5.0, 4: 4.0}), seconds=120, now_s=60.0)
    assert creating._best == COUNT_MIN
    assert seen[-200:].count(COUNT_MIN) > 120


def test_count_is_judged_while_all_are_needed_only() -> None:
    """A pause between two would count as slowness of the number tried."""
    creating = CreatingCount(count_max=8)
    now_s = 0.0
    for _ in range(40):
        for _ in range(6):
            now_s += 0.1
            creating.ready(now_s=now_s)
        creating.rest()
        now_s += 100
    assert creating.count == COUNT_MIN
    assert creating._rates == {}
