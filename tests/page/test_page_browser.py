"""The page in a browser: each tab, by mouse and keyboard, and that it asks no other host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.live_service import LiveService

from .conftest import KEY

SCREENSHOTS = os.environ.get("EXECBOX_SCREENSHOTS")
"""A folder: screenshots for docs/page.md are written there."""
DOUBLE = "def main_solution(n):\n    return n * 2\n"
WITHOUT_PAIRS = Path(__file__).parents[1] / "report" / "data" / "pairs.jsonl.errors.jsonl"
"""What ``generate`` wrote of a function that gave no pair."""
RECORDS: list[object] = [
    {
        "problem_description": "What is twice n?",
        "refcode": DOUBLE,
        "funcname": "main_solution",
        "ios": [{"input": {"n": 2}, "output": 4}, {"input": {"n": 1.0}, "output": 2.0}],
        "meta": {
            "execbox": {
                "stopped": "count",
                "attempts": 9,
                "rejected": {"duplicate_input": 5, "exception": 2},
                "examples": {},
            }
        },
    },
    {
        "id": "0.0.o",
        "messages": [{"role": "user", "content": "twice 2?"}],
        "io_pred": "o",
        "refcode": DOUBLE,
        "funcname": "main_solution",
        "io": {"input": {"n": 2}, "output": 4},
        "output": '{"output": 5}',
        "res": {"status": "failed", "message": "wrong"},
        "verdict": "incorrect",
        "feedback": "That is not what it returns.",
    },
    {
        "prompt": "twice 2?",
        "turn_1": "5",
        "feedback_1": "wrong",
        "turn_2": "4",
        "feedback_2": "right",
        "outcome": "corrected",
    },
    {"file": "functions.jsonl", "line": 3, "reason": "timeout", "message": "no pair in 9 draws"},
]


@dataclass
class Opened:
    """A page, and all that went wrong in it."""

    page: Any
    origin: str
    problems: list[str] = field(default_factory=list)
    requested: set[str] = field(default_factory=set)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.page, name)

    def shows(self, selector: str, text: str) -> bool:
        """Wait until a part of the page has a text in it: scripts fill it after the click."""
        self.page.locator(selector).filter(has_text=text).wait_for()
        return True

    def same_request(self) -> str:
        """The request as text, once it is there."""
        code = self.page.wait_for_selector("#same-code:not(:empty)")
        return str(code.inner_text())

    def result(self) -> str:
        """What is shown as the result, when it is there."""
        self.page.wait_for_selector(
            "#result[aria-busy=false] .chip, #result[aria-busy=false] .notice"
        )
        return str(self.page.inner_text("#result"))

    def example(self, name: str) -> None:
        self.page.select_option("#example", label=name)

    def write(self, mode: str, code: str) -> None:
        """In place of what is in the editor of a mode."""
        self.page.click(f"#{mode} .cm-content")
        self.page.keyboard.press("Control+A")
        self.page.keyboard.press("Delete")
        self.page.keyboard.insert_text(code)

    def run(self) -> str:
        self.page.click("#run")
        return self.result()

    def shoot(self, name: str) -> None:
        """A screenshot for the documentation, where one is asked for."""
        if SCREENSHOTS:
            self.page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")


def opened(browser: Any, service: LiveService, **options: Any) -> Opened:
    """A new page at /, in a context of its own, that notes every complaint."""
    context = browser.new_context(
        viewport={"width": 1200, "height": 900} | options.pop("size", {}), **options
    )
    page = Opened(context.new_page(), service.url)
    page.page.on("pageerror", lambda error: page.problems.append(f"error: {error}"))
    page.page.on(
        "console",
        lambda said: page.problems.append(said.text) if said.type in ("error", "warning") else None,
    )
    page.page.on("request", lambda asked: page.requested.add(asked.url))
    page.page.goto(service.url)
    return page


@pytest.fixture
def page(browser: Any, service: LiveService) -> Iterator[Opened]:
    """One that must end without a complaint, of its policy included, and asks no other host."""
    page = opened(browser, service)
    yield page
    page.page.context.close()
    assert page.problems == []
    assert {url for url in page.requested if not url.startswith((page.origin, "data:"))} == set()


def test_function_run_shows_output_usage_and_the_line_that_failed(page: Opened) -> None:
    """Three calls, of which the last divides by zero."""
    result = page.run()
    assert '{"total": 12, "mean": 4.0}' in result
    assert "ZeroDivisionError: division by zero" in result
    assert "added 3 numbers" in result
    assert page.locator("#result [role=meter]").count() == 9
    marked = page.locator("#function .cm-failed-line")
    assert marked.inner_text().strip() == 'return {"total": total, "mean": total / len(numbers)}'
    page.shoot("playground")


def test_function_not_deterministic_shows_cause_and_outputs_side_by_side(page: Opened) -> None:
    """The order of a set: hash_seed, and a column for each output."""
    page.example("Not deterministic: the order of a set")
    result = page.run()
    assert "Cause: hash_seed" in result
    assert page.locator("#result .side > div").count() >= 2
    assert page.locator("#result .differs").count() >= 1
    page.shoot("determinism")


def test_function_too_large_shows_violations_by_path(page: Opened) -> None:
    """Each with what was measured and the limit."""
    page.example("Too large for a training pair")
    result = page.run()
    assert "output['squares']" in result
    assert "container_items" in result


def test_function_with_a_call_that_is_no_json_says_where(page: Opened) -> None:
    """The reader's mistake, in words, and nothing is sent."""
    page.fill("#function textarea", '{"numbers": [1, 2}')
    assert "Call 1 begins as JSON and is none: a comma or ] is missing (column 18)" in page.run()
    assert not any(url.endswith("/v1/execute") for url in page.requested)


def test_function_refused_by_the_service_says_why(page: Opened) -> None:
    """A limit above the operator's."""
    page.click("#limits summary")
    page.fill("#limits input >> nth=0", "600")
    assert "The service does not take this request (invalid_request)" in page.run()
    # The browser notes every answer that is no success.
    page.problems[:] = [each for each in page.problems if "422" not in each]


def test_program_run_compares_what_it_prints(page: Opened) -> None:
    """Files in, files out."""
    page.click("#mode-program")
    assert "correct" in page.run()
    page.example("Files in, files out")
    result = page.run()
    assert "Save total.txt (" in result
    page.example("Exits with 3")
    assert "exit code\n3" in page.run().replace("\t", "\n")


def test_verify_shows_verdict_and_feedback(page: Opened) -> None:
    """Of a model's text, and of a bare prediction."""
    page.click("#mode-verify")
    page.example("An output, predicted wrong")
    assert "incorrect" in page.run()
    page.example("An input that gives the output")
    assert "The prediction is right." in page.run()


def test_session_keeps_its_variables_and_ends(page: Opened) -> None:
    """Two cells, the second of which needs the first."""
    page.click("#mode-session")
    assert "[0, 1, 4, 9, 16, 25]" in page.run()
    page.example("What the cell before left")
    page.click("#run")
    page.wait_for_selector("#result article:nth-of-type(2)")
    assert page.shows("#result", "9.166666666666666")
    page.click("#end-session")
    page.wait_for_selector("#result .notice.good")


def test_cell_that_is_stopped_is_interrupted_and_its_variables_are_there(page: Opened) -> None:
    """What it printed is seen meanwhile; the next cell does not wait for its end."""
    page.click("#mode-session")
    page.write(
        "session", "import time\nkept = 41\nprint('has begun', flush=True)\ntime.sleep(9)\nkept = 0"
    )
    page.click("#run")
    assert page.shows("#result", "has begun")
    page.click("#stop")
    assert page.shows("#result .notice", "interrupts the cell")
    page.write("session", "kept + 1")
    page.click("#run")
    page.wait_for_selector("#result article")
    assert page.shows("#result article", "42")


def test_link_carries_the_request_and_runs_nothing(
    page: Opened, browser: Any, service: LiveService
) -> None:
    """In its fragment: what another browser opens is filled in, and waits for its reader."""
    page.click("#mode-program")
    page.fill("#program textarea >> nth=0", "7 8 9")
    page.click("#link")
    page.wait_for_function("location.hash.startsWith('#run=')")
    address = page.url
    other = opened(browser, service)
    other.goto(address)
    other.reload()
    other.wait_for_selector("#program:not([hidden])")
    assert other.input_value("#program textarea >> nth=0") == "7 8 9"
    assert not any(url.endswith("/v1/run") for url in other.requested)
    assert other.problems == []
    other.page.context.close()


def test_damaged_link_says_so(page: Opened) -> None:
    """Nothing is filled in."""
    page.goto(page.origin + "/#run=AAAA")
    page.reload()
    page.wait_for_selector("#result .notice.bad")
    assert page.shows("#result", "This link is damaged")


@pytest.mark.parametrize("form", ["curl", "python", "cli"])
@pytest.mark.parametrize(
    ("mode", "example", "expected"),
    [
        ("function", "Too large for a training pair", "container_items"),
        ("program", "Sum of what is read", "sum 21"),
        ("verify", "An output, predicted wrong", "incorrect"),
        ("session", "A variable that stays", "[0, 1, 4, 9, 16, 25]"),
    ],
)
def test_same_request_as_text_runs(
    page: Opened, tmp_path: Path, form: str, mode: str, example: str, expected: str
) -> None:
    """What is copied is pasted, and gives what the page gave."""
    page.click(f"#mode-{mode}")
    page.example(example)
    page.click("#same summary")
    page.click(f"#form-{form}")
    text = page.same_request()
    bin_folder = Path(sys.executable).parent
    command = [sys.executable, "-c", text] if form == "python" else ["bash", "-euc", text]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": f"{bin_folder}:{os.environ['PATH']}", "HOME": str(tmp_path)},
    )
    assert expected in done.stdout, (text, done.stdout, done.stderr)


def test_live_shows_slots_statuses_and_readiness(page: Opened) -> None:
    """After a run, its executions are among those of the last ten minutes."""
    page.run()
    page.click("#tab-live")
    page.wait_for_selector("#live figure svg polyline", state="attached")
    page.wait_for_function("document.querySelector('#live table')?.innerText.includes('exception')")
    assert page.shows("#live", "Ready: executions can run.")
    assert page.shows("#live .tile >> nth=0", "of 2")
    assert page.locator("#live figure svg[role=img]").count() == 5
    page.shoot("live")


def records_file(folder: Path) -> Path:
    path = folder / "records.jsonl"
    lines = [json.dumps(record) for record in RECORDS]
    path.write_text("\n".join([*lines, "", '{"broken": ', '{"prompt": NaN}']) + "\n")
    return path


def test_data_counts_by_reason_and_drills_down_to_one_record(page: Opened, tmp_path: Path) -> None:
    """Bad lines are counted too; a count leads to its records, and a record to its parts."""
    page.click("#tab-data")
    page.set_input_files("#data input[type=file]", records_file(tmp_path))
    page.wait_for_selector("#data table >> nth=1")
    assert page.shows("#data > [role=status]", "6 records")
    counts = page.inner_text("#data table >> nth=0")
    for row in (
        "kind\tnot JSON\t1",
        "rejected\tduplicate_input\t1\t5",
        "outcome\tcorrected",
        "reason\ttimeout",
    ):
        assert row in counts.replace("\n", "\t").replace("\t\t", "\t"), counts
    page.click("#data button:has-text('incorrect')")
    page.wait_for_selector("caption:has-text('1 to 1 of 1')")
    page.click("#data table >> nth=1 >> button.plain")
    page.wait_for_selector("#data section h2:has-text('Record 2')")
    assert page.shows("#data", "That is not what it returns.")
    page.shoot("data")
    page.click("button:has-text('Run this again')")
    assert page.locator("#verify").is_visible()
    assert "incorrect" in page.run()


def test_data_counts_causes_and_what_became_of_certified_pairs(
    page: Opened, tmp_path: Path
) -> None:
    """As ``generate`` and ``certify`` write them; a record counts once for each cause and reason,
    and as often as it has pairs."""
    clock = {"reason": "non_deterministic", "cause": "clock"}
    certified = {
        "pairs": 5,
        "corrected": [{"ioid": 0, "was": 0, "reason": "rounding"}],
        "dropped": [{"was": 1, **clock}, {"was": 2, **clock}],
    }
    record = {"refcode": DOUBLE, "ios": [], "meta": {"execbox": certified}}
    path = tmp_path / "records.jsonl"
    path.write_bytes(WITHOUT_PAIRS.read_bytes() + json.dumps(record).encode() + b"\n")
    page.click("#tab-data")
    page.set_input_files("#data input[type=file]", path)
    page.wait_for_selector("#data table >> nth=1")
    counts = page.inner_text("#data table >> nth=0").replace("\n", "\t").replace("\t\t", "\t")
    for row in (
        "cause of non-determinism\thash_seed\t1",
        "cause of non-determinism\tclock\t1",
        "pairs dropped\tnon_deterministic\t1\t2",
        "pairs corrected\trounding\t1",
    ):
        assert row in counts, counts


def test_data_pairs_run_again_keep_their_numbers(page: Opened, tmp_path: Path) -> None:
    """1.0 stays 1.0, and each pair is held against its output."""
    page.click("#tab-data")
    page.set_input_files("#data input[type=file]", records_file(tmp_path))
    page.wait_for_selector("#data table >> nth=1")
    page.click("#data table >> nth=1 >> button.plain >> nth=0")
    page.click("button:has-text('Run this again')")
    assert page.input_value("#function textarea") == '{"n": 2}\n{"n": 1.0}'
    result = page.run()
    assert result.count("The certified output still holds.") == 2


def test_data_search_finds_text_in_records(page: Opened, tmp_path: Path) -> None:
    """In any part of a record."""
    page.click("#tab-data")
    page.set_input_files("#data input[type=file]", records_file(tmp_path))
    page.wait_for_selector("#data table >> nth=1")
    page.fill("#data input[type=search]", "9 DRAWS")
    page.wait_for_selector("caption:has-text('1 to 1 of 1')")


def test_key_is_asked_for_and_a_wrong_one_refused(browser: Any, keyed: LiveService) -> None:
    """Then everything works; the key is in no text to copy, and in this tab only."""
    page = opened(browser, keyed)
    page.wait_for_selector("#key-dialog[open]")
    page.fill("#key-input", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("#key-why:has-text('does not know that key')")
    page.fill("#key-input", KEY)
    page.keyboard.press("Enter")
    page.wait_for_selector("#service-state:has-text('slots')")
    assert "ZeroDivisionError" in page.run()
    page.click("#same summary")
    assert "$EXECBOX_API_KEY" in page.same_request()
    assert KEY not in page.content()
    page.click("#tab-live")
    page.wait_for_selector("#live figure svg polyline", state="attached")
    assert page.evaluate("Object.keys(localStorage).length") == 0
    page.page.context.close()


def test_tabs_and_run_by_keyboard_alone(page: Opened) -> None:
    """Arrows move between tabs; control and Enter runs; escape and Tab leave the editor."""
    page.focus("#tab-playground")
    page.keyboard.press("ArrowRight")
    assert page.locator("#live").is_visible()
    page.keyboard.press("Home")
    page.focus("#function .cm-content")
    page.keyboard.press("Control+Enter")
    assert "ZeroDivisionError" in page.result()
    page.focus("#function .cm-content")
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "TEXTAREA"


@pytest.mark.parametrize("part", ["playground", "live", "data"])
@pytest.mark.parametrize("width", [360, 1200])
def test_page_fits_its_width(browser: Any, service: LiveService, part: str, width: int) -> None:
    """A phone's, too: nothing is wider than the window."""
    page = opened(browser, service, size={"width": width, "height": 800})
    page.run()
    page.click(f"#tab-{part}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width == 360:
        page.shoot(f"phone-{part}")
    page.page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("part", ["playground", "live", "data"])
def test_page_has_no_serious_fault_for_people_with_disabilities(
    browser: Any, service: LiveService, checkout: Path, tmp_path: Path, part: str, scheme: str
) -> None:
    """By axe-core's rules of WCAG 2.1 AA, contrast included, in both colour schemes."""
    page = opened(browser, service, color_scheme=scheme, bypass_csp=True)
    page.example("Not deterministic: the order of a set")
    page.run()
    page.click("#same summary")
    page.click("#limits summary")
    page.click(f"#tab-{part}")
    if part == "data":
        page.set_input_files("#data input[type=file]", records_file(tmp_path))
        page.wait_for_selector("#data table >> nth=1")
        page.click("#data table >> nth=1 >> button.plain >> nth=0")
        page.wait_for_selector("#data section h2")
    if part == "live":
        page.wait_for_selector("#live figure svg polyline", state="attached")
    if scheme == "dark":
        page.shoot(f"dark-{part}")
    page.add_script_tag(path=str(checkout / "node_modules" / "axe-core" / "axe.min.js"))
    found = page.evaluate("axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})")
    faults = [
        (each["id"], [node["html"][:160] for node in each["nodes"][:3]])
        for each in found["violations"]
    ]
    assert faults == []
    page.page.context.close()
