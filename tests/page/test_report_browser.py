"""A report in a browser: it asks for nothing, runs nothing, and fits a phone in light and dark."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from execbox.report import page_of, read_report
from tests.dataset.files import answered, write_lines
from tests.report.conftest import DATA, NAMES
from tests.report.hostile import ATTACKS

SCREENSHOTS = os.environ.get("EXECBOX_SCREENSHOTS")
"""A folder: the picture for docs/dataset.md is written there."""
WIDTHS = {"phone": 400, "screen": 1200}


@dataclass
class Shown:
    """A page, and all that went wrong in it or was asked for."""

    page: Any
    address: str
    problems: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)


@contextmanager
def opened(browser: Any, folder: Path, what: str, *, bypass_csp: bool = False) -> Iterator[Shown]:
    """The report ``WIDTH-SCHEME-OF`` of the real run or of hostile records, which must end without
    a complaint. ``bypass_csp`` lets a test bring what looks at the page."""
    width, scheme, of = what.split("-")
    paths = [DATA / name for name in NAMES]
    if of == "hostile":
        lines = [answered(n, a, verdict=a, id=a) for n, a in enumerate(ATTACKS)]
        paths = [write_lines(folder / "lines.jsonl", lines)]
    file = folder / "report.html"
    file.write_text(page_of(read_report(paths)), "utf-8")
    size = {"width": WIDTHS[width], "height": 900}
    context = browser.new_context(viewport=size, color_scheme=scheme, bypass_csp=bypass_csp)
    found = Shown(context.new_page(), file.as_uri())
    found.page.on("pageerror", lambda error: found.problems.append(str(error)))
    found.page.on("console", lambda said: found.problems.append(said.text))
    found.page.on("dialog", lambda dialog: found.problems.append(dialog.message))
    found.page.on("request", lambda asked: found.requested.append(asked.url))
    found.page.goto(found.address)
    yield found
    context.close()
    assert found.problems == []
    assert found.requested == [found.address]


@pytest.fixture
def shown(browser: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shown]:
    """The report that the test's parameter names."""
    with opened(browser, tmp_path, request.param) as found:
        yield found


REAL = [f"{width}-{scheme}-run" for width in WIDTHS for scheme in ("light", "dark")]
HOSTILE = ["phone-light-hostile"]


@pytest.mark.parametrize("shown", [*REAL, *HOSTILE], indirect=True)
def test_report_fits_the_width_of_the_screen(shown: Shown) -> None:
    """Nothing moves sideways but tables inside their frames; letters are readable."""
    assert shown.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    heights = shown.page.evaluate(
        "[...document.querySelectorAll('svg text')].map(one => one.getBoundingClientRect().height)"
    )
    assert min(heights) >= 10


@pytest.mark.parametrize("shown", REAL, indirect=True)
def test_report_is_drawn_in_the_colours_that_the_reader_asked_for(
    shown: Shown, request: pytest.FixtureRequest
) -> None:
    """The style counts under the page's own policy, and every bar has a colour."""
    back = shown.page.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = "dark" in request.node.name
    assert back == ("rgb(18, 22, 27)" if dark else "rgb(245, 246, 248)")
    fills = shown.page.evaluate(
        "[...document.querySelectorAll('svg rect')].map(bar => getComputedStyle(bar).fill)"
    )
    assert len(fills) > 20
    assert "rgb(0, 0, 0)" not in fills
    if SCREENSHOTS and not dark and "screen" in request.node.name:
        shown.page.screenshot(path=Path(SCREENSHOTS) / "report.png")


@pytest.mark.parametrize("shown", HOSTILE, indirect=True)
def test_report_of_hostile_records_runs_nothing(shown: Shown) -> None:
    """What is in the records is text, and an element that got in would ask for nothing."""
    assert shown.page.locator("script, img, iframe, base, a").count() == 0
    assert "<script>alert(1)</script>" in shown.page.inner_text("body")


@pytest.mark.parametrize("shown", ["phone-dark-run"], indirect=True)
def test_report_opens_the_numbers_of_a_picture_by_keyboard(shown: Shown) -> None:
    """The table below a picture is what a screen reader reads."""
    numbers = shown.page.locator("summary").first
    numbers.focus()
    shown.page.keyboard.press("Enter")
    shown.page.locator("details[open] table").wait_for()


@pytest.mark.parametrize("what", REAL[:2])
def test_report_has_no_serious_fault_for_people_with_disabilities(
    browser: Any, tmp_path: Path, checkout: Path, what: str
) -> None:
    """By axe-core's rules of WCAG 2.1 AA, contrast included, in both colour schemes."""
    with opened(browser, tmp_path, what, bypass_csp=True) as shown:
        shown.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        shown.page.add_script_tag(path=str(checkout / "node_modules" / "axe-core" / "axe.min.js"))
        found = shown.page.evaluate(
            "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})"
        )
        faults = [
            (each["id"], [node["html"][:160] for node in each["nodes"][:3]])
            for each in found["violations"]
        ]
        assert faults == []
