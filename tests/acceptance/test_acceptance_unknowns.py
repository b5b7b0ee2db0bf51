"""What counts as honest in the run of checks while something fails, and how it is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from acceptance.unknowns.__main__ import ADAPTERS
from acceptance.unknowns.adapter import Adapter, Ask
from acceptance.unknowns.checks import Check, Said, checks_of
from acceptance.unknowns.faults import FAULTS
from acceptance.unknowns.measuring import Tally, asked, counted
from acceptance.unknowns.table import dishonest, in_page, table_of

HONEST, PEER = ADAPTERS[0], ADAPTERS[-1]
CHECKS = checks_of(12)


@pytest.mark.parametrize(
    ("is_right", "said", "counts"),
    [
        (True, Said.ONE, {"right": 1}),
        (False, Said.ZERO, {"right": 1}),
        (True, Said.ZERO, {"false_zeros": 1}),
        (False, Said.ONE, {"false_ones": 1}),
        (True, Said.UNKNOWN, {"unknown": 1}),
        (False, Said.UNKNOWN, {"unknown": 1}),
        (False, Said.OTHER, {"other": 1}),
    ],
)
def test_what_is_said_is_counted_by_what_the_check_is_worth(
    is_right: bool, said: Said, counts: dict[str, int]
) -> None:
    """Each once, and in one place."""
    check = next(each for each in CHECKS if each.is_right is is_right)
    tally = counted([(check, said)])
    kinds = ("right", "false_zeros", "false_ones", "unknown", "other")
    assert {kind: getattr(tally, kind) for kind in kinds if getattr(tally, kind)} == counts
    assert tally.is_honest is (counts.keys() <= {"right", "unknown"})


def test_checks_are_half_right_and_are_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A right one returns what is wanted; run here, as they are our own."""
    monkeypatch.chdir(tmp_path)
    assert [check.is_right for check in CHECKS] == [True, False] * 6
    for check in CHECKS:
        if check.is_right:
            names: dict[str, object] = {}
            exec(check.program.partition("\nprint(")[0], names)
            exec(check.assertion, names)


def adapter_that_says(said: object) -> Adapter:
    @contextmanager
    def opened(url: str) -> Iterator[Ask]:
        assert url == "http://nowhere"

        def ask(checks: Sequence[Check]) -> Sequence[Said]:
            if isinstance(said, Exception):
                raise said
            return [Said.ONE if check.is_right else Said.ZERO for check in checks]

        yield ask

    return Adapter(name="x", unknown_as="never", opened=opened, group_size=5)


def test_every_check_is_asked_for_once_by_however_many_workers() -> None:
    """The last group is a short one."""
    tally = asked(adapter_that_says(None), CHECKS, url="http://nowhere", workers=4)
    assert (tally.count, tally.right, tally.notes) == (12, 12, [])


def test_what_an_adapter_raises_is_neither_a_verdict_nor_unknown() -> None:
    """Its user would have had to make sense of it."""
    raising = adapter_that_says(KeyError("status"))
    tally = asked(raising, CHECKS, url="http://nowhere", workers=2)
    assert (tally.count, tally.other) == (12, 12)
    assert tally.notes == ["3 times KeyError: 'status'"]


def test_table_has_shares_and_names_what_was_false() -> None:
    """What happened once in thousands is no zero; what a plain client makes of it is shown."""
    fault = FAULTS[0].name
    tallies = {
        (HONEST.name, fault): Tally(count=4000, right=3999, unknown=1),
        (PEER.name, fault): Tally(count=4000, right=3000, false_zeros=1000),
    }
    table = table_of(tallies, ADAPTERS, FAULTS)
    assert f"| {HONEST.name} | `ExecboxError` | 99.9 / 0.1 / 0 |" in table
    assert f"| {PEER.name} | never: it is a zero | 75.0 / 0 / **25.0** |" in table
    assert dishonest(tallies, ADAPTERS) == []
    wrong = {(HONEST.name, fault): Tally(count=10, right=8, false_zeros=1, other=1)}
    (said,) = dishonest(wrong, ADAPTERS)
    assert said.startswith(f"{HONEST.name}, {fault}: 1 false zeros, 0 false ones, 1 neither")


def test_table_replaces_the_one_that_a_page_has() -> None:
    """And nothing else of it; a page without a place for one is refused."""
    page = "a\n<!-- python -m acceptance.unknowns --page -->\n\nold\n\n<!-- until here -->\nb\n"
    assert in_page(page, "new") == page.replace("old", "new")
    with pytest.raises(ValueError, match="no place for a table"):
        in_page("a\n", "new")
