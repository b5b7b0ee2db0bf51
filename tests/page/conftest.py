"""A real browser in front of a real service: Playwright drives Debian's Chromium."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from execbox_service.settings import hash_api_key
from tests.live_service import LiveService, live_service
from tests.required import skip_or_fail

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
KEY = "the-key-of-the-page"
ROOT = Path(__file__).resolve().parents[2]
NPM = shutil.which("npm")
UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH")


@pytest.fixture(autouse=True, scope="package")
def _no_settings_from_outside() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("EXECBOX_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="package")
def service(_no_settings_from_outside: None) -> Iterator[LiveService]:
    """One without keys, on the engine that needs no daemon."""
    if shutil.which("bwrap") is None:
        pytest.skip("needs bubblewrap")
    with live_service({"engine": "bubblewrap", "slot_count": "2"}) as running:
        yield running


@pytest.fixture(scope="package")
def keyed(_no_settings_from_outside: None) -> Iterator[LiveService]:
    """One with a key."""
    if shutil.which("bwrap") is None:
        pytest.skip("needs bubblewrap")
    hashes = f"reader:{hash_api_key(KEY)}"
    with live_service({"engine": "bubblewrap", "api_key_hashes": hashes}) as running:
        yield running


def _without(what: str) -> NoReturn:
    skip_or_fail(f"there is no {what}", by="EXECBOX_REQUIRE_BROWSER")


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """One browser for all tests; skipped where there is none."""
    if CHROMIUM is None:
        _without("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _without("playwright")
    with sync_playwright() as started:
        # Root may not use Chromium's own sandbox; it shows pages of this service only.
        running = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's sources, with what its lock file names installed beside them."""
    if NPM is None:
        pytest.skip("needs node and npm")
    folder = tmp_path_factory.mktemp("page") / "page"
    shutil.copytree(ROOT / "page", folder, ignore=shutil.ignore_patterns("node_modules"))
    installed = npm(folder, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    if any(code in installed.stderr for code in UNREACHABLE):
        pytest.skip("the npm registry cannot be reached")
    assert installed.returncode == 0, installed.stderr
    return folder


def npm(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run npm in a folder."""
    assert NPM is not None
    return subprocess.run(
        [NPM, *arguments], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
