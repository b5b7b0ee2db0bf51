"""The documentation's site in a browser: it is searched and read, and asks no other host."""

from __future__ import annotations

import functools
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as files."""
    pytest.importorskip("zensical")
    built = tmp_path_factory.mktemp("site") / "docs"
    command = [ROOT / "scripts" / "build-docs.sh", built]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return built


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """The site behind a server of files."""
    handler = functools.partial(_Files, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def asked(browser: Any) -> Iterator[tuple[Any, list[str]]]:
    """A page, and the addresses that it asks for."""
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    yield page, urls
    page.close()


def _open_search(page: Any) -> None:
    """The key is heard once the page's script runs; until then, letters lead to other pages."""
    for _ in range(200):
        page.keyboard.press("Control+k")
        if page.evaluate("document.activeElement !== document.body"):
            return
        page.wait_for_timeout(50)
    raise AssertionError("the search does not open")


def test_site_is_searched_and_asks_no_other_host(
    asked: tuple[Any, list[str]], address: str
) -> None:
    """From its first page to the one that is meant, by its search, which runs in the browser."""
    page, urls = asked
    page.goto(f"{address}/index.html")
    _open_search(page)
    page.keyboard.type("forgets the last number")
    page.get_by_text("A model that forgets the last number").first.wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url("**/docs/start/revision-loop.html**")
    assert len(urls) > 5
    assert [url for url in urls if not url.startswith((address, "data:", "blob:"))] == []


def test_site_is_read_from_a_disk_and_asks_no_host_at_all(
    asked: tuple[Any, list[str]], folder: Path
) -> None:
    """Its pages, pictures and links; it is not searched there."""
    page, urls = asked
    page.goto((folder / "index.html").as_uri())
    page.locator(".md-tabs").get_by_role("link", name="Start").click()
    page.get_by_role("link", name="the data pipeline", exact=True).click()
    page.wait_for_url("**/docs/start/pipeline.html")
    picture = page.locator("img[alt='Such a report']")
    picture.scroll_into_view_if_needed()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    assert [url for url in urls if not url.startswith(("file:", "data:", "blob:"))] == []
