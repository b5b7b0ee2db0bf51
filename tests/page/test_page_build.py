"""The built page in the package is what its sources and lock file give, byte for byte."""

from __future__ import annotations

from pathlib import Path

from .conftest import npm

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "service" / "execbox_service" / "api" / "page" / "static"


def test_built_page_is_what_its_sources_give(checkout: Path, tmp_path: Path) -> None:
    """Whoever changes page/ builds it: `cd page && npm ci --ignore-scripts && npm run build`."""
    target = tmp_path / "static"
    built = npm(checkout, "run", "build", "--", str(target))
    assert built.returncode == 0, built.stderr
    made = {path.name: path.read_bytes() for path in target.iterdir()}
    kept = {path.name: path.read_bytes() for path in BUILT.iterdir()}
    assert made.keys() == kept.keys()
    assert [name for name in made if made[name] != kept[name]] == []


def test_sources_of_the_page_have_no_type_errors(checkout: Path) -> None:
    """TypeScript, strict; esbuild takes types away without looking at them."""
    checked = npm(checkout, "run", "check")
    assert checked.returncode == 0, checked.stdout


def test_lock_file_of_the_page_names_no_host() -> None:
    """Versions and hashes only, so that any registry serves."""
    lock = (ROOT / "page" / "package-lock.json").read_text("utf-8")
    assert "://" not in lock
    assert lock.count('"integrity": "sha512-') >= 20
