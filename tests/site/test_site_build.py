"""The documentation's site as `make docs` builds it, and that its check sees what is wrong."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.site.built_site import problems_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built into a folder of the tests' own."""
    pytest.importorskip("zensical")
    folder = tmp_path_factory.mktemp("site") / "docs"
    run = subprocess.run(
        [ROOT / "scripts" / "build-docs.sh", folder],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


def test_every_link_leads_somewhere_and_no_other_host_is_asked(site: Path) -> None:
    """Links to files outside docs/, too; and Markdown is rendered, not shown."""
    assert problems_of(site) == []
    assert len(list(site.rglob("*.html"))) > 60
    assert (site / "deploy" / "kubernetes" / "execbox.yaml").is_file()


def in_order(part: object) -> Iterator[str]:
    """The pages of a part of the navigation."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        for below in part.values():
            yield from in_order(below)
    elif isinstance(part, list):
        for below in part:
            yield from in_order(below)


def test_every_page_has_its_place_in_the_site() -> None:
    """Decisions have theirs in their index, to which another test holds them."""
    order = list(in_order(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]))
    pages = {str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md")}
    decisions = {page for page in pages if page.startswith("docs/decisions/0")}
    assert pages - decisions - set(order) == set(), "put them into `nav` of mkdocs.yml"
    assert [page for page in order if not (ROOT / page).is_file()] == []
    assert len(order) == len(set(order))


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ('<a href="b.html#there">b</a><img src="a.png">', None),
        ('<h2 id="here">Here</h2><a href="#here">here</a>', None),
        ('<a href="https://elsewhere.example/">a link is no request</a>', None),
        ('<link rel="canonical" href="https://elsewhere.example/">', None),
        ("<p>A - b, and <code>- c</code></p>", None),
        ('<a href="c.html">c</a>', "c.html, which is not there"),
        ('<a href="b.html#gone">b</a>', "b.html#gone, which has no such heading"),
        ('<a href="#gone">here</a>', "#gone, which has no such heading"),
        ('<a href="../outside.html">out</a>', "../outside.html, which is not there"),
        ('<img src="b.png">', "b.png, which is not there"),
        ('<script src="https://cdn.example/x.js"></script>', "https://cdn.example/x.js, from"),
        ('<link rel="preconnect" href="//fonts.example">', "//fonts.example, from another host"),
        ('<p style="background: url(https://cdn.example/x.png)">a</p>', "https://cdn.example/x"),
        ("<p>These:\n- one\n- two</p>", "Markdown as text: '- one"),
        ("<p>\n| a | b |</p>", "Markdown as text: '| a | b |'"),
    ],
)
def test_check_sees_what_is_wrong_with_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, html: str, problem: str | None
) -> None:
    """And nothing else; the folder is named as a user would, from where he is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outside.html").write_text("not part of the site")
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"")
    (folder / "b.html").write_text('<h2 id="there">There</h2>')
    (folder / "a.html").write_text(html)
    found = problems_of(Path("site"))
    assert (problem is None) == (found == []), found
    assert problem is None or (len(found) == 1 and problem in found[0])


def test_check_sees_a_style_sheet_that_asks_another_host(tmp_path: Path) -> None:
    """A font, most often."""
    (tmp_path / "a.css").write_text('@import "https://fonts.example/x.css";')
    assert problems_of(tmp_path) == ["a.css: loads https://fonts.example/x.css"]
