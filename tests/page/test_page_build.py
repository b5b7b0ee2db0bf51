"""The built page in the package is what its sources and lock file give, byte for byte."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "service" / "execbox_service" / "api" / "page" / "static"
UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH")
NPM = shutil.which("npm")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's sources, with what its lock file names installed beside them."""
    if NPM is None:
        pytest.skip("needs node and npm")
    folder = tmp_path_factory.mktemp("page") / "page"
    shutil.copytree(ROOT / "page", folder, ignore=shutil.ignore_patterns("node_modules"))
    installed = run(folder, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    if any(code in installed.stderr for code in UNREACHABLE):
        pytest.skip("the npm registry cannot be reached")
    assert installed.returncode == 0, installed.stderr
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert NPM is not None
    return subprocess.run(
        [NPM, *arguments], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )


def test_built_page_is_what_its_sources_give(checkout: Path, tmp_path: Path) -> None:
    """Whoever changes page/ builds it: `cd page && npm ci --ignore-scripts && npm run build`."""
    target = tmp_path / "static"
    built = run(checkout, "run", "build", "--", str(target))
    assert built.returncode == 0, built.stderr
    made = {path.name: path.read_bytes() for path in target.iterdir()}
    kept = {path.name: path.read_bytes() for path in BUILT.iterdir()}
    assert made.keys() == kept.keys()
    assert [name for name in made if made[name] != kept[name]] == []


def test_sources_of_the_page_have_no_type_errors(checkout: Path) -> None:
    """TypeScript, strict; esbuild takes types away without looking at them."""
    checked = run(checkout, "run", "check")
    assert checked.returncode == 0, checked.stdout


def test_lock_file_of_the_page_names_no_host() -> None:
    """Versions and hashes only, so that any registry serves."""
    lock = (ROOT / "page" / "package-lock.json").read_text("utf-8")
    assert "://" not in lock
    assert lock.count('"integrity": "sha512-') >= 20
