from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from execbox.dataset.files.append_log import AppendLog
from execbox.dataset.files.json_lines import BadRecord, DatasetError, Value
from execbox.dataset.files.records import Record
from execbox.dataset.files.resume import errors_path, run_path
from execbox.dataset.steps.file_run import run_step, run_step_async
from execbox.dataset.steps.progress import Snapshot, Summary
from execbox.dataset.steps.step import Step, part_of, per_record
from tests.dataset.files import read_lines, write_lines


class Double:
    """A step that doubles ``n``, in random order, and remembers what it was given."""

    def __init__(self, *, settings: object = 1, refused: Sequence[int] = (), retry: bool = False):
        self.given: list[str] = []
        self.refused = frozenset(refused)
        self.retry = retry
        self.step = Step(
            name="double",
            settings={"setting": settings},
            work=per_record(self._work),
            reason_of=lambda value: "even" if value["n"] % 4 == 0 else "odd",  # type: ignore[operator]
            concurrency=5,
        )

    async def _work(self, record: Record) -> Value:
        self.given.append(record.id)
        await asyncio.sleep(random.random() / 500)
        n = record.value["n"]
        assert isinstance(n, int)
        if n in self.refused:
            raise BadRecord("refused", reason="refused", retry=self.retry)
        return {"n": 2 * n}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "in.jsonl", [{"n": n} for n in range(40)])


def run(source: Path, double: Double, *, restart: bool = False) -> tuple[Path, Summary]:
    output = source.with_name("out.jsonl")
    return output, run_step(double.step, source=source, output=output, restart=restart)


def test_run_writes_every_result_once_in_the_order_of_the_input(source: Path) -> None:
    """Concurrency does not show in the file."""
    output, summary = run(source, Double())
    assert read_lines(output) == [{"id": str(n), "n": 2 * n} for n in range(40)]
    assert (summary.counts, summary.failures) == ({"even": 20, "odd": 20}, {})
    assert not errors_path(output).exists()


def test_output_cut_at_any_byte_is_continued_to_the_same_bytes(source: Path) -> None:
    """A torn last line is detected and done again; nothing is lost, nothing comes twice."""
    output, _ = run(source, Double())
    whole = output.read_bytes()
    places = random.Random(3)
    for cut in [0, 1, len(whole) - 1, *(places.randrange(len(whole)) for _ in range(25))]:
        output.write_bytes(whole[:cut])
        double = Double()
        _, summary = run(source, double)
        assert output.read_bytes() == whole
        assert len(double.given) == 40 - summary.resumed_count == 40 - whole[:cut].count(b"\n")


def test_zeros_of_a_power_failure_are_cut_off(source: Path) -> None:
    """A file system may leave zeros where the last lines were."""
    output, _ = run(source, Double())
    whole = output.read_bytes()
    output.write_bytes(whole[:200] + b"\0" * 4096)
    run(source, Double())
    assert output.read_bytes() == whole


def test_damage_in_the_middle_is_refused_and_named(source: Path) -> None:
    """What was never written so is not repaired silently."""
    output, _ = run(source, Double())
    lines = output.read_bytes().splitlines(keepends=True)
    output.write_bytes(b"".join([lines[0], b"garbage\n", *lines[1:]]))
    with pytest.raises(DatasetError, match=r"out\.jsonl:2: .*--restart"):
        run(source, Double())


def test_id_twice_in_the_output_is_refused(source: Path) -> None:
    """Two results for one record would be a duplicate in the training set."""
    output, _ = run(source, Double())
    with output.open("ab") as file:
        file.write(b'{"id": "3", "n": 6}\n')
    with pytest.raises(DatasetError, match="'3' is on line 4 already"):
        run(source, Double())


def test_finished_run_does_nothing_again_and_counts_the_same(source: Path) -> None:
    """Running a finished command is free."""
    _, first = run(source, Double())
    again = Double()
    _, second = run(source, again)
    assert again.given == []
    assert (second.counts, second.resumed_count) == (first.counts, 40)


def test_lines_added_to_the_input_are_done_in_the_next_run(source: Path) -> None:
    """A file that grows is no new run."""
    run(source, Double())
    with source.open("ab") as file:
        file.write(b'{"n": 100}\n')
    double = Double()
    output, _ = run(source, double)
    assert double.given == ["40"]
    assert read_lines(output)[-1] == {"id": "40", "n": 200}


def test_other_settings_are_refused_with_what_differs_and_restart_discards(source: Path) -> None:
    """Results of two kinds never share a file by accident."""
    run(source, Double(settings="a"))
    with pytest.raises(DatasetError, match=r"setting was 'a' and is 'b' now.*--restart"):
        run(source, Double(settings="b"))
    double = Double(settings="b")
    _, summary = run(source, double, restart=True)
    assert (len(double.given), summary.resumed_count) == (40, 0)


def test_file_of_somebody_else_is_never_written_to(source: Path) -> None:
    """An --output typed wrongly costs nothing."""
    output = source.with_name("out.jsonl")
    output.write_text("precious\n")
    with pytest.raises(DatasetError, match="was not written by this command"):
        run(source, Double())
    assert output.read_text() == "precious\n"


def test_input_as_output_is_refused(source: Path) -> None:
    """The same file cannot be read and written."""
    with pytest.raises(DatasetError, match="input and the output at once"):
        run_step(Double().step, source=source, output=source)


def test_second_run_on_the_same_output_is_refused(source: Path) -> None:
    """Two processes would write over each other."""
    output = source.with_name("out.jsonl")
    refused: list[str] = []

    async def work(record: Record) -> Value:
        if not refused:
            try:
                await asyncio.to_thread(run, source, Double())
            except DatasetError as error:
                refused.append(str(error))
        return record.value

    step = Step(name="double", settings={}, work=per_record(work), reason_of=lambda _: "done")
    run_step(step, source=source, output=output)
    assert "another run is writing this output" in refused[0]


def test_refused_records_are_listed_in_order_and_not_tried_again(source: Path) -> None:
    """What is the record's own fault is found out once."""
    output, summary = run(source, Double(refused=[30, 7]))
    listed = read_lines(errors_path(output))
    assert [(entry["line"], entry["reason"], entry["retry"]) for entry in listed] == [
        (8, "refused", False),
        (31, "refused", False),
    ]
    assert listed[0]["message"] == f"{source}:8: refused"
    again = Double(refused=[30, 7])
    _, second = run(source, again)
    assert again.given == []
    assert second.failures == summary.failures == {"refused": 2}
    assert read_lines(errors_path(output)) == listed


@pytest.mark.parametrize(
    ("reason", "detail", "given"),
    [
        ("missing_field", None, ["7"]),
        ("invalid_field", None, ["7"]),
        ("invalid_record", None, ["7"]),
        ("no_pairs", None, ["7"]),
        ("invalid_pair", None, ["7"]),
        ("not_json", None, ["7"]),
        ("non_finite", None, ["7"]),
        ("missing_section", None, ["7"]),
        ("unverified", None, ["7"]),
        ("answer_too_large", None, []),
        ("non_finite", {"execbox": {"attempts": 1000}}, []),
    ],
)
def test_record_put_right_since_a_check_that_costs_nothing_gets_its_result(
    source: Path, reason: str, detail: Value | None, given: list[str]
) -> None:
    """What a service was asked for stays as it is, whatever it calls its reason."""
    first = Double()

    async def refuse(record: Record) -> Value:
        if record.value["n"] == 7:
            raise BadRecord("refused", reason=reason, detail=detail)
        return record.value

    first.step = replace(first.step, work=per_record(refuse))
    _, summary = run(source, first)
    assert (summary.failures, summary.retryable_count) == ({reason: 1}, 0)
    again = Double()
    _, summary = run(source, again)
    assert again.given == given
    assert summary.failures == ({} if given else {reason: 1})


def test_failures_to_be_tried_again_are_and_leave_no_trace(source: Path) -> None:
    """What was our failure, or a model's, is put right by the same command."""
    output, summary = run(source, Double(refused=[30, 7], retry=True))
    assert summary.retryable_count == 2
    again = Double()
    run(source, again)
    assert sorted(again.given) == ["30", "7"]
    assert [line["n"] for line in read_lines(output)] == [2 * n for n in range(40)]
    assert not errors_path(output).exists()


def test_bad_lines_are_listed_with_their_text_and_only_once(tmp_path: Path) -> None:
    """Each run says again what is wrong, and says it once."""
    source = write_lines(tmp_path / "in.jsonl", [{"n": 1}, b"{bad", {"n": 2}])
    for _ in range(2):
        output, summary = run(source, Double())
        assert summary.failures == {"not_json": 1}
        (entry,) = read_lines(errors_path(output))
        assert (entry["line"], entry["text"], entry["id"]) == (2, "{bad", None)


def test_exception_in_the_work_ends_the_run_and_keeps_what_is_done(source: Path) -> None:
    """A service that is gone ends the run at once; nothing done is lost."""

    async def work(record: Record) -> Value:
        if record.index == 20:
            await asyncio.sleep(0.01)
            raise ConnectionError("gone")
        return record.value

    step = Step(
        name="s", settings={}, work=per_record(work), reason_of=lambda _: "x", concurrency=1
    )
    output = source.with_name("out.jsonl")
    with pytest.raises(ConnectionError):
        run_step(step, source=source, output=output)
    assert len(read_lines(output)) == 20


def test_work_under_way_never_exceeds_the_concurrency(source: Path) -> None:
    """Bounded: a long file is not read into tasks."""
    under_way = most = 0

    async def work(record: Record) -> Value:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1
        return record.value

    step = Step(
        name="s", settings={}, work=per_record(work), reason_of=lambda _: "x", concurrency=3
    )
    run_step(step, source=source, output=source.with_name("out.jsonl"))
    assert most == 3


def test_parts_of_a_line_are_resumed_one_by_one_in_their_order(source: Path) -> None:
    """One line with several results is done to the end after a cut between them."""

    def parts(record: Record) -> Sequence[Record]:
        return [part_of(record, i, suffix=f".{i}", value={"i": i}) for i in range(3)]

    async def work(record: Record) -> Value:
        await asyncio.sleep(random.random() / 500)
        return record.value

    step = Step(name="s", settings={}, work=per_record(work), parts=parts, reason_of=lambda _: "x")
    output = source.with_name("out.jsonl")
    run_step(step, source=source, output=output)
    whole = output.read_bytes()
    assert [line["id"] for line in read_lines(output)[:4]] == ["0.0", "0.1", "0.2", "1.0"]
    for cut in (30, 101, len(whole) - 5):
        output.write_bytes(whole[:cut])
        run_step(step, source=source, output=output)
        assert output.read_bytes() == whole


def test_listener_hears_counts_and_how_much_has_been_read(source: Path) -> None:
    """A display has something to show, and the end is told."""
    heard: list[Snapshot] = []
    run_step(
        Double().step,
        source=source,
        output=source.with_name("out.jsonl"),
        listener=heard.append,
    )
    assert heard[-1].share == 1.0
    assert sum(heard[-1].counts.values()) == 40
    assert heard[-1].read_bytes == source.stat().st_size


def test_file_system_that_refuses_is_one_error(tmp_path: Path) -> None:
    """A full disk, here a directory in the way, is told by name."""
    (tmp_path / "out.jsonl").mkdir()
    with pytest.raises(DatasetError, match=r"out\.jsonl"):
        AppendLog(tmp_path / "out.jsonl")


def test_settings_of_a_run_can_be_looked_up_beside_the_output(source: Path) -> None:
    """Where a file came from stays known."""
    output, _ = run(source, Double(settings="a"))
    assert '"setting": "a"' in run_path(output).read_text()


def test_run_step_where_an_event_loop_runs_says_what_to_call_instead(tmp_path: Path) -> None:
    """As in a notebook: the twin to await does the same there."""
    source = write_lines(tmp_path / "in.jsonl", [{"id": "a", "n": 1}])

    async def cell() -> Summary:
        with pytest.raises(DatasetError, match=r"await run_step_async\(\.\.\.\)"):
            run_step(Double().step, source=source, output=tmp_path / "out.jsonl")
        assert not (tmp_path / "out.jsonl").exists()
        return await run_step_async(Double().step, source=source, output=tmp_path / "out.jsonl")

    assert asyncio.run(cell()).result_count == 1


def test_note_of_a_run_cut_at_any_byte_behind_its_settings_is_gone_on_with(source: Path) -> None:
    """Whether a run came to its end is noted behind them, also on a disk that takes no more."""
    output, _ = run(source, Double())
    finished = run_path(output).read_bytes()
    for end in (b"", b"u", b"unfinish", b"unfinished", b"unfinished\n"):
        run_path(output).write_bytes(finished + end)
        again = Double()
        run(source, again)
        assert again.given == []
        assert run_path(output).read_bytes() == finished
