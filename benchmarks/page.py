"""``python -m benchmarks.page``: what the page costs a browser, the service, and who waits for it.

Drives Debian's Chromium over loopback, in front of a service whose sandboxes answer at once: bytes
and times of the first load; the service's CPU time with and without the Live tab open, in turns
under the same load, and with nothing to do; and a file of records of 200 MB in the Data tab.
``--write`` puts the figures into docs/page.md. Needs playwright and Chromium.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from harness.instant import InstantService
from harness.local_service import ServiceDidNotStart
from harness.measurement import say

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "page.md"
HEADING: Final = "## What it costs"
LOADS: Final = 5
FILE_BYTES: Final = 200_000_000
_BODY: Final = json.dumps(
    {
        "function": {"code": "def main_solution(n):\n    return n"},
        "calls": [{"kwargs": {"n": 1}}],
        "isolation": "process",
    }
)
# Long tasks are those that keep the main thread for more than 50 ms: nothing is heard meanwhile.
_WATCH: Final = """
window.watched = {paint: 0, tasks: []};
new PerformanceObserver(list => {
  for (const each of list.getEntries())
    if (each.name === 'first-contentful-paint') window.watched.paint = each.startTime;
}).observe({type: 'paint', buffered: true});
new PerformanceObserver(list => {
  for (const each of list.getEntries())
    window.watched.tasks.push([each.startTime, each.duration]);
}).observe({type: 'longtask', buffered: true});
"""
_WATCH_FRAMES: Final = """() => {
  window.watched.tasks = [];
  window.watched.frame = 0;
  let last = performance.now();
  const tick = now => {
    window.watched.frame = Math.max(window.watched.frame, now - last);
    last = now;
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}"""
_LOADED: Final = """() => {
  const [page] = performance.getEntriesByType('navigation');
  const all = [page, ...performance.getEntriesByType('resource')];
  const files = all.filter(each => each.decodedBodySize > 0).map(each =>
    [new URL(each.name).pathname, each.decodedBodySize, each.encodedBodySize]);
  return {files, ready: page.domContentLoadedEventEnd, ...window.watched};
}"""


@dataclass(frozen=True)
class FirstLoad:
    """One load of the page into a browser that has nothing of it."""

    files: list[tuple[str, int, int]]
    """Path, bytes, and bytes as they were sent."""
    paint_ms: float
    interactive_ms: float
    """When the scripts have run and the last long task of the load is over."""
    longest_task_ms: float


@dataclass(frozen=True)
class Costs:
    """CPU seconds of the service over some time."""

    elapsed_s: float
    cpu_s: float
    request_count: int

    def __add__(self, other: Costs) -> Costs:
        return Costs(
            self.elapsed_s + other.elapsed_s,
            self.cpu_s + other.cpu_s,
            self.request_count + other.request_count,
        )


@dataclass(frozen=True)
class OpenedFile:
    """A file of 200 MB in the Data tab, until all of it was counted."""

    record_count: int
    elapsed_s: float
    longest_task_ms: float
    """Of the main thread; 0 where none took 50 ms."""
    longest_frame_ms: float
    """The longest that a frame was waited for."""


NOTHING: Final = Costs(0.0, 0.0, 0)


class Load:
    """Requests one after the other at a steady rate, until the block ends."""

    def __init__(self, port: int, *, per_s: float) -> None:
        self.count = 0
        self._port = port
        self._pause_s = 1 / per_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _send(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        due_s = time.monotonic()
        while not self._done.wait(max(0.0, due_s - time.monotonic())):
            connection.request("POST", "/v1/execute", _BODY, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"the service answered {answer.status}")
            self.count += 1
            due_s = max(due_s + self._pause_s, time.monotonic() - 1)
        connection.close()


@contextlib.contextmanager
def live_page(browser: Any, url: str) -> Iterator[None]:
    """The Live tab, open and drawn."""
    page = browser.new_page()
    page.goto(url)
    page.click("#tab-live")
    page.wait_for_selector("#live figure svg polyline", state="attached")
    yield
    page.close()


def first_load(browser: Any, url: str) -> FirstLoad:
    """In a context of its own, so that nothing is cached."""
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script(_WATCH)
    page.goto(url, wait_until="networkidle")
    page.wait_for_timeout(500)
    seen = page.evaluate(_LOADED)
    context.close()
    ends = [start + duration for start, duration in seen["tasks"]]
    return FirstLoad(
        files=sorted({tuple(each) for each in seen["files"]}),
        paint_ms=seen["paint"],
        interactive_ms=max([seen["ready"], seen["paint"], *ends]),
        longest_task_ms=max([0.0, *(duration for _, duration in seen["tasks"])]),
    )


def costs(service: InstantService, seconds: float, load: Load | None) -> Costs:
    """Of the service, from now on."""
    began_s, cpu_s = time.monotonic(), service.cpu_s()
    count = load.count if load else 0
    time.sleep(seconds)
    sent = (load.count if load else 0) - count
    return Costs(time.monotonic() - began_s, service.cpu_s() - cpu_s, sent)


def in_turns(
    browser: Any, url: str, service: InstantService, *, seconds: float, load: Load | None
) -> tuple[Costs, Costs, float]:
    """Without and with a live page, ten turns of each; and the CPU seconds of the browser in its
    turns. Opening the page is in no turn."""
    without, with_page, browser_s = NOTHING, NOTHING, 0.0
    for turn in range(10):
        without += costs(service, seconds / 20, load)
        with live_page(browser, url):
            time.sleep(2)
            before_s = _browser_cpu_s()
            with_page += costs(service, seconds / 20, load)
            browser_s += _browser_cpu_s() - before_s
        say(f"turn {turn + 1} of 10: {with_page.request_count} requests with the page")
    return without, with_page, browser_s


def _browser_cpu_s() -> float:
    """Of every process below this one that is Chromium's, by the kernel's clock of each."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(folder.name)] = int(
                (folder / "stat").read_text().rpartition(") ")[2].split()[1]
            )
    total_s = 0.0
    for pid in parents:
        above = pid
        while above in parents and above != os.getpid():
            above = parents[above]
        with contextlib.suppress(OSError):
            if above == os.getpid() and "chrom" in os.readlink(f"/proc/{pid}/exe"):
                total_s += time.clock_gettime((~pid << 3) | 2)
    return total_s


def opened_file(browser: Any, url: str, folder: Path) -> OpenedFile:
    """Made of the examples, again and again."""
    path = folder / "records.jsonl"
    count = _write_records(path)
    page = browser.new_page()
    page.add_init_script(_WATCH)
    page.goto(url)
    page.click("#tab-data")
    page.evaluate(_WATCH_FRAMES)
    began_s = time.monotonic()
    page.set_input_files("#data input[type=file]", path)
    said = page.locator("#data > [role=status]", has_text=re.compile(f": {count} records$"))
    said.wait_for(timeout=300_000)
    seconds = time.monotonic() - began_s
    watched = page.evaluate("window.watched")
    page.close()
    longest_ms = max([0.0, *(duration for _, duration in watched["tasks"])])
    return OpenedFile(count, seconds, longest_ms, watched["frame"])


def _write_records(path: Path) -> int:
    lines = (ROOT / "examples" / "functions.jsonl").read_bytes().splitlines(keepends=True)
    size, count = 0, 0
    with path.open("wb") as file:
        while size < FILE_BYTES:
            size += file.write(lines[count % len(lines)])
            count += 1
    return count


def section(loads: Sequence[FirstLoad], file: OpenedFile, live: str) -> str:
    """The figures as docs/page.md shows them."""
    rows = loads[0].files
    total = ("all", sum(row[1] for row in rows), sum(row[2] for row in rows))
    paint_ms, interactive_ms, task_ms = (
        median(each)
        for each in zip(
            *((load.paint_ms, load.interactive_ms, load.longest_task_ms) for load in loads),
            strict=True,
        )
    )
    longest = (
        f"the longest task of the page's main thread took {file.longest_task_ms:.0f} ms"
        if file.longest_task_ms
        else "no task of the page's main thread took 50 ms"
    )
    return "\n".join(
        [
            HEADING,
            "",
            (
                "Over loopback, in Debian's Chromium without a window, on two cores on which other "
                "work ran, too (`python -m benchmarks.page --write`):"
            ),
            "",
            "| file | bytes | as sent, gzip |",
            "|---|---:|---:|",
            *(f"| `{path}` | {size:,} | {sent:,} |" for path, size, sent in rows),
            f"| {total[0]} | {total[1]:,} | {total[2]:,} |",
            "",
            (
                f"With nothing cached, medians of {len(loads)} loads: first contentful paint "
                f"after {paint_ms:.0f} ms, interactive (all scripts have run, and no task of more "
                f"than 50 ms comes after) after {interactive_ms:.0f} ms; the longest task took "
                f"{task_ms:.0f} ms."
            ),
            "",
            live,
            "",
            (
                f"A file of {FILE_BYTES // 10**6} MB with {file.record_count:,} records is read "
                f"and counted in {file.elapsed_s:.0f} s; meanwhile {longest}, and no frame was "
                f"waited for longer than {file.longest_frame_ms:.0f} ms."
            ),
            "",
        ]
    )


def live_words(
    without: Costs, with_page: Costs, idle: tuple[Costs, Costs], *, browser_s: float
) -> str:
    """What the Live tab costs."""
    both = without + with_page
    per_s = both.request_count / both.elapsed_s
    return (
        f"The Live tab: of {both.elapsed_s / 60:.0f} minutes at {per_s:.0f} requests a second, in "
        f"twenty turns without and with the tab open, the service used {_ms_each(without):.2f} ms "
        f"of CPU time for each of {without.request_count:,} requests without it, and "
        f"{_ms_each(with_page):.2f} ms for each of {with_page.request_count:,} with it; 1 % of a "
        f"core would have been {10 / per_s:.2f} ms more. With nothing else to do it used "
        f"{_percent(idle[0]):.2f} % of a core without and {_percent(idle[1]):.2f} % with the tab "
        f"open. The browser itself used {100 * browser_s / with_page.elapsed_s:.1f} % of a core. "
        "Sandboxes answered at once, so that all of it is the service's own time."
    )


def _ms_each(costs: Costs) -> float:
    return 1000 * costs.cpu_s / costs.request_count


def _percent(costs: Costs) -> float:
    return 100 * costs.cpu_s / costs.elapsed_s


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.page", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--load-s", type=float, default=300, help="seconds of load (default 300)")
    parser.add_argument("--idle-s", type=float, default=80, help="without load (default 80)")
    parser.add_argument("--per-s", type=float, default=50, help="requests (default 50)")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/page.md")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 2 if something that it needs is not there."""
    arguments = _parser().parse_args(argv)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if chromium is None:
        print("benchmarks.page: needs chromium and playwright: apt-get install chromium; make test")
        return 2
    service = InstantService(ROOT)
    try:
        service.start()
    except ServiceDidNotStart as error:
        print(f"benchmarks.page: {error}", file=sys.stderr)
        return 2
    url = f"http://127.0.0.1:{service.port}/"
    try:
        with sync_playwright() as started, tempfile.TemporaryDirectory() as folder:
            browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            loads = [first_load(browser, url) for _ in range(LOADS)]
            file = opened_file(browser, url, Path(folder))
            say(f"first loads: {loads}; file: {file}")
            idle = in_turns(browser, url, service, seconds=arguments.idle_s, load=None)
            with Load(service.port, per_s=arguments.per_s) as load:
                without, with_page, browser_s = in_turns(
                    browser, url, service, seconds=arguments.load_s, load=load
                )
            browser.close()
    finally:
        service.stop()
    live = live_words(without, with_page, idle[:2], browser_s=browser_s)
    text = section(loads, file, live)
    print(text)
    if arguments.write:
        before, _, rest = PAGE.read_text("utf-8").partition(f"{HEADING}\n")
        PAGE.write_text(before + text + "\n## " + rest.partition("\n## ")[2], "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
