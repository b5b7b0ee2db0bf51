"""Writing what was found: tables, numbers, claims, and the three files of a report."""

from __future__ import annotations

from pathlib import Path

from harness.findings import Claim, Findings, number, table


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
