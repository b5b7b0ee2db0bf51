"""The snippets of ``docs/fleet.md`` do what they show, on two real servers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.client.fleet_node import FleetNode, fleet_of

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "fleet.md").read_text("utf-8")
SNIPPETS = [
    snippet
    for snippet in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    # Those need a cluster: ``tests/ray_cluster``.
    if "ray." not in snippet
]


def test_page_has_snippets() -> None:
    """Otherwise the next test would hold nothing."""
    assert len(SNIPPETS) == 3


def test_snippets_of_the_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In their order, with the addresses of two nodes in the place of the page's."""
    monkeypatch.chdir(tmp_path)
    with fleet_of(FleetNode(), FleetNode()) as urls:
        for snippet in SNIPPETS:
            code = snippet
            for number, url in enumerate(urls, start=1):
                code = code.replace(f"http://10.0.0.{number}:8080", url)
            assert "10.0.0" not in code
            exec(compile(code, "docs/fleet.md", "exec"), {"__name__": "snippet"})
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "42"
    assert out[1] == f"{urls[0]} ready 2 0"
    assert out[3:] == ["2", "4"]
