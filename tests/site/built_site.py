"""What is wrong with a built site of the documentation: `python -m tests.site.built_site FOLDER`.

Looks at the files as a browser would find them on a disk: every link leads to a file and a heading
that are there, nothing is loaded from another host, and no list or table of the Markdown was left
as text. What scripts do, only a browser shows: ``tests/page/test_site_browser.py``.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

__all__ = ["problems_of"]

_LOADING: Final = {"script", "img", "iframe", "source", "video", "audio", "embed", "object"}
_NOT_LOADED: Final = {"canonical", "alternate", "edit", "next", "prev"}
"""What ``link`` may name without a browser asking for it."""
_IN_STYLE: Final = re.compile(r"(?:url\(|@import\s+)['\"]?((?:https?:)?//[^'\")\s]+)")
_LEFT_AS_TEXT: Final = re.compile(r"^(?:[-*] |\d+\. |\|.*\||```)", re.MULTILINE)


@dataclass
class _Page(HTMLParser):
    """What one page of HTML links to, loads, and can be linked to."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    paragraphs: list[str] = field(default_factory=list)
    inside: list[str] = field(default_factory=list)
    """Of ``p`` and ``code``, those that are open."""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.ids.add(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") not in _NOT_LOADED:
            self.loads.append(given.get("href", ""))
        elif tag in _LOADING:
            self.loads += [given[name] for name in ("src", "data", "srcset") if name in given]
        self.loads += _IN_STYLE.findall(given.get("style", ""))
        if tag in ("p", "code"):
            self.inside.append(tag)
        if tag == "p":
            self.paragraphs.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.inside:
            self.inside.remove(tag)

    def handle_data(self, data: str) -> None:
        if "p" in self.inside:
            self.paragraphs[-1] += "code" if "code" in self.inside else data


def problems_of(folder: Path) -> list[str]:
    """One line each, with the page; empty where all is well."""
    folder = folder.resolve()
    pages = {path: _read(path) for path in sorted(folder.rglob("*.html"))}
    problems = [
        f"{path.relative_to(folder)}: {problem}"
        for path, page in pages.items()
        # Not found is served for any address, so its links begin with a slash.
        if path.name != "404.html"
        for problem in _problems_of_page(page, at=path, pages=pages, root=folder)
    ]
    for path in sorted(folder.rglob("*.css")):
        hosts = _IN_STYLE.findall(path.read_text("utf-8"))
        problems += [f"{path.relative_to(folder)}: loads {host}" for host in hosts]
    return problems


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text("utf-8"))
    return page


def _problems_of_page(page: _Page, *, at: Path, pages: dict[Path, _Page], root: Path) -> list[str]:
    problems = [f"loads {url}, from another host" for url in page.loads if urlsplit(url).netloc]
    for url in [*page.links, *page.loads]:
        parts = urlsplit(url)
        if parts.scheme or parts.netloc:
            continue
        target = (at.parent / unquote(parts.path)).resolve() if parts.path else at
        if not target.is_file() or not target.is_relative_to(root):
            problems.append(f"leads to {url}, which is not there")
        elif target in pages and unquote(parts.fragment) not in {"", *pages[target].ids}:
            problems.append(f"leads to {url}, which has no such heading")
    left = filter(None, map(_LEFT_AS_TEXT.search, page.paragraphs))
    shown = [found.string[found.start() :][:60] for found in left]
    return problems + [f"shows Markdown as text: {text!r}" for text in shown]


def main(argv: list[str]) -> int:
    """Print the problems; 1 where there are any."""
    problems = problems_of(Path(argv[0]))
    found = "\n".join(problems)
    print(found or "Every link leads somewhere; no other host is asked.")  # noqa: T201
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
