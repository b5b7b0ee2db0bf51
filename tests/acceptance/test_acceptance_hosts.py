"""A host's row and the page of all rows: what passed is counted, and nothing else is called so."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from acceptance.host_rows import (
    NOT_RUN,
    PAGE,
    ROWS,
    STEPS,
    Row,
    earlier_run,
    page,
    read_rows,
)
from acceptance.hosts import failures, main, summary, with_share

ROW = Row(
    host="engine-28",
    engine="Docker 28.5.2",
    kernel="6.18.44",
    cgroups="v1",
    python="3.11.2",
    user="root",
    date="2026-11-27",
    command="scripts/hosts/run.sh engine-28",
    results=dict.fromkeys(STEPS, "ok") | {"speed": NOT_RUN},
    weaker=["no AppArmor"],
)


@pytest.mark.parametrize(
    ("printed", "counted"),
    [
        ("....\n24 passed, 22 deselected in 9.17s\n", "24 passed"),
        ("=== 1 failed, 23 passed, 2 skipped in 9.17s ===\n", "1 failed, 23 passed, 2 skipped"),
        ("ERROR: no such file\n", "no test ran"),
        ("22 deselected in 0.1s\n", "no test ran"),
    ],
)
def test_summary_of_tests_counts_what_ran(printed: str, counted: str) -> None:
    """A run in which nothing ran did not pass."""
    assert summary(printed) == counted


@pytest.mark.parametrize(
    ("printed", "named"),
    [
        ("x\nFAILED a - b\nFAILED c\n2 failed in 1s\n", ["FAILED a - b", "FAILED c"]),
        ("2 functions: 2 ok\nNOT as expected: a\nIf this is slow\n", ["NOT as expected: a"]),
        ("Traceback\nOSError: gone\n\n", ["OSError: gone"]),
        ("", ["nothing was printed"]),
    ],
)
def test_failures_name_what_failed_or_the_last_words(printed: str, named: list[str]) -> None:
    """Whoever reads the page need not run it again to know."""
    assert failures(printed) == named


def test_share_of_a_step_is_named_beside_what_it_took() -> None:
    """A cell of a share says so: ten of ten could be read as all of them."""
    assert with_share("10 of 10", "one of each group", 301.4) == (
        "10 of 10 (one of each group; 301 s)"
    )


def test_step_left_out_keeps_what_the_row_has_of_the_same_host_and_day(tmp_path: Path) -> None:
    """Steps are run one by one, failures and weaknesses included; nothing is kept of others."""
    file = tmp_path / "row.json"
    file.write_text(json.dumps(asdict(replace(ROW, failed=["demo: it ended", "speed: slow"]))))
    now = replace(ROW, results={}, weaker=[], failed=[])
    now.take("demo", earlier_run(file, now))
    assert now.results == {"demo": "ok"}
    assert (now.failed, now.weaker) == (["demo: it ended"], ["no AppArmor"])


@pytest.mark.parametrize(
    ("status", "printed", "cell", "failed"),
    [
        ("0", "Every function ended as its record says it must.\n", "ok", []),
        ("2", "apt could not install it\n", "FAILED (2)", ["demo: apt could not install it"]),
    ],
)
def test_demo_that_was_made_before_is_the_rows(
    tmp_path: Path, status: str, printed: str, cell: str, failed: list[str]
) -> None:
    """On a host that had nothing, what writes the row can only be run after it."""
    said = tmp_path / "demo.log"
    said.write_text(printed)
    rest = [step for step in STEPS if step != "demo"]
    options = ("--share", "--made-demo", status, "1070", str(said), "--without", *rest)
    assert main(["bare", "--rows", str(tmp_path), *options]) == (1 if failed else 0)
    (row,) = read_rows(tmp_path)
    assert row.results["demo"] == f"{cell} (make demo from nothing, 10 s of CPU a call; 1070 s)"
    assert row.failed == failed


@pytest.mark.parametrize(
    "changed", [{"date": "2026-11-28"}, {"engine": "Docker 29"}, {"kernel": "7.2"}, {"python": "4"}]
)
def test_step_left_out_is_not_run_where_the_row_is_of_another(
    tmp_path: Path, changed: dict[str, str]
) -> None:
    """What an engine of yesterday did says nothing of today's."""
    file = tmp_path / "row.json"
    assert earlier_run(file, ROW) is None
    file.write_text(json.dumps(asdict(ROW)))
    now = Row(**asdict(ROW) | changed | {"results": {}})
    now.take("demo", earlier_run(file, now))
    assert now.results == {"demo": NOT_RUN}


def test_page_shows_each_row_with_what_is_weaker_and_what_failed(tmp_path: Path) -> None:
    """Made from the rows' files alone."""
    broken = replace(ROW, host="engine-26", failed=["demo: it ended"], weaker=[])
    for row in (ROW, broken):
        (tmp_path / f"{row.host}.json").write_text(json.dumps(asdict(row)))
    assert read_rows(tmp_path) == [broken, ROW]
    target = tmp_path / "hosts.md"
    assert main(["--rows", str(tmp_path), "--page", str(target)]) == 0
    text = target.read_text()
    assert text == page([broken, ROW])
    assert "| `engine-28` | Docker 28.5.2 | 6.18.44, v1 |" in text
    assert "- `engine-28`: no AppArmor" in text
    assert "- `engine-26`: demo: it ended" in text
    assert NOT_RUN in text


def test_page_where_hosts_share_a_weakness_names_them_in_one_line() -> None:
    """Two hosts with one engine lack the same."""
    text = page([ROW, replace(ROW, host="engine-29")])
    assert "- `engine-28`, `engine-29`: no AppArmor" in text


def test_page_in_the_documentation_is_the_one_that_the_rows_give() -> None:
    """Nobody writes a result into it by hand."""
    assert PAGE.read_text("utf-8") == page(read_rows(ROWS))
