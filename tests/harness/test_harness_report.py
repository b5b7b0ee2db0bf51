"""Writing what was found: tables, numbers, claims, and the three files of a report."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.report import Claim, Findings, as_json, number, ratio, table


def test_findings_are_written_as_table_json_and_plot(tmp_path: Path) -> None:
    """Whatever does not hold is seen at once."""
    findings = Findings("one", {"cores": "2"}, {"minutes": "1"})
    findings.tables.append(table(["what", "ms"], [["it", number(1.234)]]))
    findings.claims += [Claim("fast", "yes", True), Claim("right", "no", False)]
    findings.data["values"] = [1, 2]

    def draw(path: Path) -> None:
        path.write_bytes(b"plot")

    findings.write(tmp_path, draw)
    assert not findings.hold
    text = (tmp_path / "one.md").read_text()
    assert "| it | 1.23 |" in text
    assert "| right | no | NO |" in text
    assert '"values"' in (tmp_path / "one.json").read_text()
    assert (tmp_path / "one.png").read_bytes() == b"plot"


def test_table_aligns_as_asked_and_keeps_cells_in_their_cells() -> None:
    """A bar or a line's end in a text would end the cell."""
    assert table(["a", "b"], [["x|y", "1\n2"]], align="rl") == (
        "| a | b |\n| ---: | --- |\n| x\\|y | 1 2 |"
    )
    assert table(["a", "b", "c"], []).splitlines()[1] == "| --- | ---: | ---: |"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.123, "0.12"), (9.999, "10.00"), (12.34, "12.3"), (1234.5, "1234")],
)
def test_number_has_three_digits_or_so(value: float | None, text: str) -> None:
    """What was not measured is no zero."""
    assert number(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.987, "0.99"), (12.34, "12"), (345.6, "346")])
def test_ratio_has_two_digits_or_so(value: float, text: str) -> None:
    """More would say more than was measured."""
    assert ratio(value) == text


def test_json_has_dataclasses_as_objects_and_refuses_the_unknown() -> None:
    """Wherever they are; what has no JSON form is a mistake of the program."""
    assert '"text": "fast"' in as_json({"claims": [Claim("fast", "yes", True)]})
    with pytest.raises(TypeError, match="object has no JSON form"):
        as_json({"it": object()})
