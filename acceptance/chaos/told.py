"""What is told of a run of chaos: times to recover as a table, and what has to hold. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from harness.report import Claim, number, table
from harness.trend import Trend

from acceptance.chaos.driving import Recovery
from acceptance.chaos.kinds import KINDS
from acceptance.chaos.left import FLOORS

__all__ = ["in_page", "recovery_table", "slope_claims"]

_BEGIN: Final = "<!-- python -m acceptance.chaos --page -->\n"
_END: Final = "<!-- until here -->\n"


def recovery_table(recoveries: Sequence[Recovery]) -> str:
    """A row for each kind: how often, how long it was made to last, and how long after that the
    first request was answered, as a median and at the most."""
    rows = []
    for kind in KINDS:
        found = [each for each in recoveries if each.kind == kind.name]
        if not found:
            continue
        times_s = sorted(each.recovered_s for each in found)
        rows.append(
            [
                kind.name,
                kind.text,
                str(len(found)),
                number(max(each.lasted_s for each in found)),
                number(times_s[len(times_s) // 2]),
                number(times_s[-1]),
            ]
        )
    head = ["fault", "what was done", "times", "lasted, s", "answered after, s", "at most, s"]
    return table(head, rows, align="llrrrr")


def slope_claims(trends: Mapping[str, Trend]) -> list[Claim]:
    """That nothing grows."""
    return [
        Claim(
            f"no growth: {FLOORS[name][0]}",
            f"{trend.mean:.1f} on average, {trend.growth:+.1f} over the run",
            not trend.grows,
        )
        for name, trend in trends.items()
    ]


def in_page(page: str, made: str) -> str:
    """The page with this table in place of the one it has. Raises ValueError."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the page has no place for a table: {_BEGIN.strip()} … {_END.strip()}")
    return f"{before}{begin}\n{made}\n\n{end}{after}"
