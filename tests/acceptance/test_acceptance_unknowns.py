"""What counts as honest in the run of checks while something fails, and how it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from acceptance.unknowns.__main__ import ADAPTERS, CHOSEN_FAULTS
from acceptance.unknowns.adapter import Adapter, Ask
from acceptance.unknowns.answer_log import AnswerLog, OtherRun
from acceptance.unknowns.checks import PART_COUNT, Check, Said, checks_of, part_of
from acceptance.unknowns.faults import FAULTS
from acceptance.unknowns.measuring import Answered, Tally, asked, counted
from acceptance.unknowns.table import dishonest, in_page, spared, table_of
from acceptance.unknowns.waves import Run, ask_all, waves_of

HONEST, PEER = ADAPTERS[0], ADAPTERS[-1]
CHECKS = checks_of(12)
URL = "http://nowhere"


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
    tally = counted([Answered([check], [said])])
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
        assert url == URL

        def ask(checks: Sequence[Check]) -> Sequence[Said]:
            if isinstance(said, Exception):
                raise said
            return [Said.ONE if check.is_right else Said.ZERO for check in checks]

        yield ask

    return Adapter(name="x", unknown_as="never", opened=opened, group_size=5)


def test_every_check_is_asked_for_once_by_however_many_workers() -> None:
    """The last group is a short one."""
    answers = list(asked(adapter_that_says(None), CHECKS, url=URL, in_flight=20))
    assert sorted(len(each.checks) for each in answers) == [2, 5, 5]
    tally = counted(answers)
    assert (tally.count, tally.right, tally.notes) == (12, 12, [])


def test_what_an_adapter_raises_is_neither_a_verdict_nor_unknown() -> None:
    """Its user would have had to make sense of it."""
    raising = adapter_that_says(KeyError("status"))
    tally = counted(asked(raising, CHECKS, url=URL, in_flight=10))
    assert (tally.count, tally.other) == (12, 12)
    assert tally.notes == ["3 times KeyError: 'status'"]


def test_adapter_that_is_not_installed_is_said_to_be_so() -> None:
    """And nothing is taken for an answer."""

    @contextmanager
    def opened(_url: str) -> Iterator[Ask]:
        raise ImportError("no such package")
        yield

    missing = Adapter(name="x", unknown_as="never", opened=opened)
    with pytest.raises(ImportError, match="no such package"):
        list(asked(missing, CHECKS, url=URL, in_flight=4))


def test_run_that_is_cut_off_asks_for_no_further_group() -> None:
    """What is under way is waited for, and the rest is left for the next run."""
    groups: list[Sequence[Check]] = []
    may_go_on = threading.Event()

    @contextmanager
    def opened(_url: str) -> Iterator[Ask]:
        def ask(checks: Sequence[Check]) -> Sequence[Said]:
            groups.append(checks)
            assert len(groups) == 1 or may_go_on.wait(10)
            return [Said.ONE] * len(checks)

        yield ask

    adapter = Adapter(name="x", unknown_as="never", opened=opened)
    answers = asked(adapter, CHECKS, url=URL, in_flight=1)
    next(answers)
    threading.Timer(0.2, may_go_on.set).start()
    answers.close()
    assert len(groups) <= 2


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({}, 64),
        ({"group_size": 40}, 2),
        ({"group_size": 20, "one_by_one": True}, 64),
        ({"group_size": 20, "one_by_one": True, "workers_max": 12}, 12),
    ],
)
def test_workers_have_as_many_checks_under_way_as_asked_for(
    settings: dict[str, Any], count: int
) -> None:
    """A group counts whole, where its checks are under way together."""
    adapter = Adapter(name="x", unknown_as="never", opened=HONEST.opened, **settings)
    assert adapter.workers(64) == count


def test_waves_begin_with_batches_and_end_with_the_impatient() -> None:
    """Every adapter is in one of them."""
    many, single, last = waves_of(ADAPTERS)
    assert sorted(each.name for each in [*many, *single, *last]) == sorted(
        each.name for each in ADAPTERS
    )
    assert {each.name for each in many} >= {"Client.batch", "TRL, program_reward", "code-judge"}
    assert {each.name for each in single} >= {"Client.run", "smolagents"}
    assert {each.name for each in last} == {"SandboxFusion, SkyRL", PEER.name}
    assert waves_of([PEER]) == [[PEER]]


class Calm:
    """A place in which nothing fails and nothing is served."""

    class network:  # noqa: N801 - as it is called there
        url = URL

    @contextmanager
    def served(self, _settings: object) -> Iterator[None]:
        yield

    def wait_until_ready(self) -> None:
        pass


def test_adapters_of_a_wave_are_asked_together(tmp_path: Path) -> None:
    """Neither of two that wait for each other stands still, and what both said is in the log."""
    both = threading.Barrier(2)

    @contextmanager
    def opened(_url: str) -> Iterator[Ask]:
        both.wait(10)
        yield lambda checks: [Said.ONE] * len(checks)

    adapters = [Adapter(name=name, unknown_as="never", opened=opened) for name in ("x", "y")]
    log, run = logged(tmp_path), Run(checks=CHECKS, in_flight=2)
    place: Any = Calm()
    asked_through = ask_all(place, FAULTS[0], adapters=adapters, log=log, run=run)
    assert {each.name for each in asked_through} == {"x", "y"}
    part_size = len(CHECKS) // PART_COUNT
    assert {log.tally(name, FAULTS[0].name).count for name in ("x", "y")} == {part_size}


def test_parts_of_checks_are_all_of_them_once() -> None:
    """Each fault of a run that names none gets a different one."""
    checks = checks_of(2003)
    parts = [part_of(checks, number) for number in range(PART_COUNT)]
    assert [check for part in parts for check in part] == checks
    assert [len(part) for part in parts] == [500, 500, 500, 503]
    assert sorted(each.part for each in CHOSEN_FAULTS) == list(range(PART_COUNT))


def logged(folder: Path, *, anew: bool = False, count: int = 12) -> AnswerLog:
    return AnswerLog(folder, checks=checks_of(count), anew=anew)


def test_log_that_is_read_again_leaves_what_has_no_answer(tmp_path: Path) -> None:
    """However the run before ended, and counts what both came to."""
    log = logged(tmp_path)
    log.add("a", "daemon", answered=Answered(CHECKS[:2], [Said.ONE, Said.UNKNOWN]))
    log.asked_for("a", "daemon", took_s=1.5, strike_count=2)
    with (tmp_path / "unknowns.jsonl").open("a") as file:
        file.write('{"adapter": "a", "fault": "daemon", "checks": [2')
    log = logged(tmp_path)
    assert log.left("a", "daemon", of=CHECKS[:4]) == CHECKS[2:4]
    assert log.left("a", "queue", of=CHECKS[:4]) == CHECKS[:4]
    raised = Answered(CHECKS[2:3], [Said.OTHER], "KeyError: 'status'")
    log.add("a", "daemon", answered=raised)
    log.asked_for("a", "daemon", took_s=1.0, strike_count=1)
    log = logged(tmp_path)
    assert log.cells == [("a", "daemon")]
    assert log.tally("a", "daemon") == Tally(
        count=3,
        right=1,
        unknown=1,
        other=1,
        took_s=2.5,
        strike_count=3,
        notes=["1 times KeyError: 'status'"],
    )


def test_log_of_other_checks_is_refused_unless_begun_anew(tmp_path: Path) -> None:
    """Its parts are different ones."""
    log = logged(tmp_path)
    log.add("a", "daemon", answered=Answered(CHECKS[:1], [Said.ONE]))
    with pytest.raises(OtherRun, match=r"--checks 12, and this is one with 20; give --anew"):
        logged(tmp_path, count=20)
    assert logged(tmp_path, count=20, anew=True).cells == []


def test_log_without_a_whole_line_is_begun(tmp_path: Path) -> None:
    """As one is that was cut off at its first."""
    (tmp_path / "unknowns.jsonl").write_text('{"check_co')
    log = logged(tmp_path)
    log.add("a", "daemon", answered=Answered(CHECKS[:1], [Said.ONE]))
    assert logged(tmp_path).cells == [("a", "daemon")]


def test_cell_whose_fault_never_struck_says_nothing() -> None:
    """It is named, unless nothing was to fail."""
    quiet = Tally(count=10, right=10, took_s=0.6)
    tallies = {(HONEST.name, "daemon"): quiet, (HONEST.name, "nothing"): quiet}
    (said,) = spared(tallies)
    assert said.startswith(f"{HONEST.name}, daemon: it never struck in 0.6 s")
    assert spared({(HONEST.name, "daemon"): Tally(count=10, right=10, strike_count=1)}) == []


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
    short = table_of(
        {(HONEST.name, fault): Tally(count=7, right=7)}, ADAPTERS, FAULTS, whole_count=8
    )
    assert "| 100 / 0 / 0 (of 7) |" in short
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
