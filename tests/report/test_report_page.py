from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from execbox.report import page_of, read_report
from execbox.report.charts import CHARTS, Bars, Intervals, Stacks, chart_of
from execbox.report.page import MARK
from execbox.report.reading import Report
from execbox.report.svg import svg_of
from tests.dataset.files import answered, write_lines
from tests.report.hostile import ASKING, ATTACKS, Seen

_ON = {"isolation": "container", "engine": "docker", "image": "sha256:0", "queue_time_s": 0.5}


def _hostile_lines(attack: str) -> list[dict[str, Any]]:
    """A record of each kind, with the attack wherever a text of its own is shown."""
    own = {
        "stopped": attack,
        "attempts": 3,
        "rejected": {attack: 2},
        "examples": {"x": {"cause": attack, "violations": [{"rule": attack}]}},
    }
    certified = {"pairs": 2, "dropped": [{"reason": attack, "cause": attack}]}
    certificate = {
        "runs": 2,
        "variations": [],
        "seed": 0,
        "attempt": 0,
        "engine": attack,
        "image": attack,
        "python": attack,
        "packages": {},
        "limits": {},
        "execbox": attack,
    }
    ios = [{"input": {attack: attack}, "output": attack}]
    summary = {
        "step": attack,
        "counts": {attack: 1},
        "failures": {},
        "tallies": {},
        "retryable_count": 0,
        "resumed_count": 0,
        "elapsed_s": 1.0,
        "line_count": 1,
    }
    leet = {"question": attack, "sample": 1, "verdict": "correct", "difficulty": attack}
    answer: dict[str, Any] = {
        "id": attack,
        "res": {"status": attack, "message": attack},
        "model": attack,
    }
    return [
        {"ios": ios, "meta": {"execbox": own | {"certificate": certificate}}},
        {"ios": ios, "meta": {"execbox": certified}},
        {"reason": attack, "message": attack, "detail": {"execbox": own}},
        answered(0, attack, **answer),
        {"turn_1": attack, "outcome": attack, "io_pred": attack},
        {"ended": attack, "transcript": [], "verdict": attack, "blocks": [{"status": attack}]},
        {"error": {"code": attack, "message": attack, "retryable": False}},
        {"id": attack, "mode": attack, "outcomes": [attack]},
        leet,
        summary,
        {attack: attack},
        {"executions": [{"status": attack}], **_ON},
    ]


@pytest.mark.parametrize("attack", ATTACKS)
def test_page_of_hostile_records_shows_them_as_text_and_stays_whole(
    tmp_path: Path, attack: str
) -> None:
    """No element of theirs, none left open or closed too early, and no control character."""
    # The file's own name is on the page, too.
    path = tmp_path / (attack.replace("/", "").replace("\x00", "").replace("\ud800", "") + ".jsonl")
    write_lines(path, _hostile_lines(attack))
    page = page_of(read_report([path]))
    page.encode("utf-8")
    seen = Seen(page)
    assert seen.open == []
    assert not seen.tags & ASKING
    assert not {name for name in seen.attributes if name.startswith("on")}
    assert re.search(r"[\x00-\x08\x0b-\x1f\u202e\u2066]", page) is None
    if "<" in attack:
        assert attack[:20] in seen.text


def test_page_holds_no_request_to_anywhere(run_files: list[Path]) -> None:
    """No address in any attribute or in the style, and a policy that would refuse one."""
    page = page_of(read_report(run_files))
    seen = Seen(page)
    assert not seen.tags & ASKING
    assert not seen.attributes & {"src", "href", "srcset", "action", "style", "xlink:href"}
    assert not re.search(r"https?:|//|url\(|@import|javascript:", page)


def test_page_has_a_policy_under_which_its_own_style_alone_counts(run_files: list[Path]) -> None:
    """The digest is that of the style that is there."""
    page = page_of(read_report(run_files))
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    (policy,) = (
        str(attributes["content"])
        for tag, attributes in Seen(page).elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_page_says_the_numbers_of_a_run(run_files: list[Path]) -> None:
    """Those that ``test_report_reading.py`` counts by hand, where people read them."""
    text = " ".join(Seen(page_of(read_report(run_files))).text.split())
    for said in (
        "draws rejected 50 of 58",
        "verified answers 16",
        "right after turn 1 66.7 %",
        "right after turn 2 91.7 %",
        "turn 2: 12",
        "wrong, becomes right",
        "hash_seed",
    ):
        assert said in text


def test_page_of_lines_that_were_not_used_names_them(tmp_path: Path) -> None:
    """And says so where nothing was."""
    path = write_lines(tmp_path / "x.jsonl", [b"nothing", {"a": 1}])
    text = Seen(page_of(read_report([path]))).text
    assert f"{path}:1: " in text
    assert f"{path}:2: " in text
    assert "There is nothing in these files that a report counts." in text


def test_page_of_later_rounds_alone_says_what_is_missing(run_files: list[Path]) -> None:
    """Shares would be of the wrong ones only."""
    text = Seen(page_of(read_report([run_files[3]]))).text
    assert "Revision rounds are not shown" in text
    assert "right after turn" not in text


def test_page_of_the_same_files_is_the_same(run_files: list[Path]) -> None:
    """No time of day and no order of a set is in it."""
    assert page_of(read_report(run_files)) == page_of(read_report(run_files))
    assert page_of(read_report(run_files)).startswith(MARK)


# Pictures


def _report_of_everything(tmp_path: Path, run_files: list[Path]) -> Report:
    usage = {"cpu_time_s": 0.25, "wall_time_s": 0.5, "peak_memory_bytes": 3 * 2**20}
    certified = {"pairs": 2, "dropped": [{"reason": "timeout"}]}
    lines = [
        {"executions": [{"status": "ok", "usage": usage}], **_ON},
        {"ios": [{"input": {}, "output": 1}], "meta": {"execbox": certified}},
    ]
    return read_report([*run_files, write_lines(tmp_path / "more.jsonl", lines)])


def test_every_chart_is_on_the_page_of_a_run_that_has_everything(
    tmp_path: Path, run_files: list[Path]
) -> None:
    """With its title, its picture and its table."""
    report = _report_of_everything(tmp_path, run_files)
    page = page_of(report)
    assert page.count("<svg ") == len(CHARTS)
    for name in CHARTS:
        chart = chart_of(report, name)
        assert chart is not None, name
        assert f"<h2>{chart.title}</h2>" in page


@pytest.mark.parametrize("name", CHARTS)
def test_no_chart_is_made_of_nothing(tmp_path: Path, name: Any) -> None:
    """An empty file has no picture, and no division by zero."""
    assert chart_of(read_report([write_lines(tmp_path / "x.jsonl", [])]), name) is None


def test_bars_are_as_long_as_their_counts(run_files: list[Path]) -> None:
    """8 of 58 draws were kept: the bar beside the longest one is as much shorter."""
    chart = chart_of(read_report(run_files), "draws")
    assert isinstance(chart, Bars)
    widths = [float(width) for width in re.findall(r'<rect [^>]*width="([\d.]+)"', svg_of(chart))]
    assert widths[0] / widths[1] == pytest.approx(8 / 50, rel=0.01)


def test_stacks_fill_their_width_with_parts_in_proportion(run_files: list[Path]) -> None:
    """Turn 2: 8, 3 and 1 of 12."""
    chart = chart_of(read_report(run_files), "turns")
    assert isinstance(chart, Stacks)
    found = re.findall(r'class="tone-(\w+)" x="[\d.]+" y="\d+" width="([\d.]+)"', svg_of(chart))
    shares = [(tone, round(float(width) / 380 * 12)) for tone, width in found]
    assert shares == [("main", 8), ("bad", 4), ("main", 8), ("good", 3), ("bad", 1)]


def test_verdicts_beyond_the_colours_are_drawn_together(tmp_path: Path) -> None:
    """Six kinds of wrong: two have a colour of their own, the rest share one; none is lost."""
    verdicts = ["correct", *"abbcccddddeeeeeffffff"]
    lines = [answered(n, "4", verdict=verdict) for n, verdict in enumerate(verdicts)]
    chart = chart_of(read_report([write_lines(tmp_path / "v.jsonl", lines)]), "verdicts")
    assert isinstance(chart, Stacks)
    labels = [segment.label for segment in chart.segments]
    assert labels == ["correct", "f", "e", "all others"]
    assert list(chart.stacks[0].counts) == [1, 6, 5, 10]


def test_bars_of_many_words_show_the_commonest_and_how_many_more(tmp_path: Path) -> None:
    """A page with a thousand bars is no picture."""
    own = {"attempts": 400, "rejected": {f"r{n}": n for n in range(1, 25)}}
    line = {"ios": [], "meta": {"execbox": own}}
    chart = chart_of(read_report([write_lines(tmp_path / "p.jsonl", [line])]), "rejected")
    assert isinstance(chart, Bars)
    assert [row.label for row in chart.rows][:2] == ["r24", "r23"]
    assert chart.rows[-1].label == "8 more"
    assert sum(row.value for row in chart.rows) == sum(range(1, 25))


def test_scores_of_files_of_one_name_are_all_shown_by_their_full_names(tmp_path: Path) -> None:
    """A folder for each model is usual: neither takes the other's place."""
    paths = [tmp_path / folder / "verified-1.jsonl" for folder in "ab"]
    for path, verdict in zip(paths, ("correct", "incorrect"), strict=True):
        path.parent.mkdir()
        write_lines(path, [answered(0, "4", verdict=verdict)])
    report = read_report(paths, ks=(1,))
    text = Seen(page_of(report)).text
    chart = chart_of(report, "passes")
    assert isinstance(chart, Intervals)
    assert [row.label for row in chart.rows] == [f"pass@1, {path}" for path in paths]
    for path, share in zip(paths, ("100.0 %", "0.0 %"), strict=True):
        assert re.search(rf"pass@1, {re.escape(str(path))}\s+{share}", text)


@pytest.mark.parametrize("elapsed_s", [0.0, 5e-324])
def test_page_of_a_run_that_took_no_time_has_no_rate(tmp_path: Path, elapsed_s: float) -> None:
    """What the division comes to is no number."""
    (summary,) = (line for line in _hostile_lines("x") if "step" in line)
    path = write_lines(
        tmp_path / "s.jsonl", [summary | {"elapsed_s": elapsed_s, "counts": {"x": 2**62}}]
    )
    report = read_report([path])
    assert (len(report.summaries), report.problems) == (1, [])
    assert f"{2**62:,}" in page_of(report)
    assert "inf" not in Seen(page_of(report)).text


def test_numbers_as_json_are_those_of_the_page(run_files: list[Path]) -> None:
    """For programs; a plain JSON value."""
    from execbox.report.numbers import numbers_of

    numbers = json.loads(json.dumps(numbers_of(read_report(run_files))))
    assert numbers["turns"][1]["becomes_right_count"] == 3
    assert numbers["pairs"]["rejected"] == {"non_deterministic": 50}
    assert numbers["files"][0]["kinds"] == {"pairs": 2}
