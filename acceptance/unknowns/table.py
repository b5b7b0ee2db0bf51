"""The table of adapter by fault, and what in it must not be. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from harness.report import table

from acceptance.unknowns.adapter import Adapter
from acceptance.unknowns.faults import NOTHING, Fault
from acceptance.unknowns.measuring import Tally

__all__ = ["Tallies", "dishonest", "in_page", "spared", "table_of"]

Tallies: TypeAlias = dict[tuple[str, str], Tally]
"""By the names of adapter and fault."""
_BEGIN: Final = "<!-- python -m acceptance.unknowns --page -->\n"
_END: Final = "<!-- until here -->\n"


def table_of(
    tallies: Mapping[tuple[str, str], Tally],
    adapters: Sequence[Adapter],
    faults: Sequence[Fault],
    *,
    whole_count: int = 0,
) -> str:
    """A row for each adapter that was asked, a column for each fault. A cell of fewer checks than
    ``whole_count`` says of how many it is."""
    shown = [each for each in faults if any(fault == each.name for _, fault in tallies)]
    rows = []
    for adapter in adapters:
        found = [tallies.get((adapter.name, each.name)) for each in shown]
        if any(found):
            cells = [_cell(tally, whole_count) for tally in found]
            rows.append([adapter.name, adapter.unknown_as, *cells])
    head = ["asked through", "no verdict is", *(each.name for each in shown)]
    return table(head, rows, align="ll" + "r" * len(shown))


def _cell(tally: Tally | None, whole_count: int) -> str:
    if tally is None or not tally.count:
        return "-"
    shares = (tally.right, tally.unknown, tally.false_zeros)
    right, unknown, false = (_share(each, tally.count) for each in shares)
    extra = f", false ones {_share(tally.false_ones, tally.count)}" if tally.false_ones else ""
    extra += f", other {_share(tally.other, tally.count)}" if tally.other else ""
    extra += f" (of {tally.count})" if tally.count < whole_count else ""
    return f"{right} / {unknown} / {f'**{false}**' if tally.false_zeros else false}{extra}"


def _share(part: int, whole: int) -> str:
    """In percent; nothing is 0, and what is not nothing is never 0.0."""
    if part in (0, whole):
        return "100" if part and part == whole else "0"
    return f"{min(99.9, max(0.1, 100 * part / whole)):.1f}"


def dishonest(tallies: Mapping[tuple[str, str], Tally], adapters: Sequence[Adapter]) -> list[str]:
    """A sentence for each pair where a failure became something else than unknown."""
    held = {each.name for each in adapters if not each.takes_failures_for_zeros}
    return [
        f"{adapter}, {fault}: {tally.false_zeros} false zeros, {tally.false_ones} false ones, "
        f"{tally.other} neither a verdict nor unknown"
        for (adapter, fault), tally in tallies.items()
        if adapter in held and not tally.is_honest
    ]


def spared(tallies: Mapping[tuple[str, str], Tally]) -> list[str]:
    """A sentence for each pair that says nothing, because its fault never struck."""
    return [
        f"{adapter}, {fault}: it never struck in {tally.took_s:.1f} s; ask for more checks"
        for (adapter, fault), tally in tallies.items()
        if fault != NOTHING and not tally.strike_count
    ]


def in_page(page: str, made: str) -> str:
    """The page with this table in place of the one it has. Raises ValueError."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the page has no place for a table: {_BEGIN.strip()} … {_END.strip()}")
    return f"{before}{begin}\n{made}\n\n{end}{after}"
