"""What is installed stands still: lock files agree with pyproject.toml and name all they need."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
SANDBOX_LOCK = ROOT / "sandbox-image" / "requirements.lock"
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)(?: ; (.*?))? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")
BASE_IMAGE = re.compile(r"^ARG BASE_IMAGE=(.*)$", re.MULTILINE)


def project() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def asked_for(lock: str) -> list[Requirement]:
    """What pyproject.toml wants to be in the lock of that name."""
    extras = project()["project"]["optional-dependencies"]
    groups = project()["dependency-groups"]
    build = groups["build"]
    wanted = {
        "build": build,
        "service": extras["service"],
        "benchmarks": extras["benchmarks"],
        "integrations": groups["integrations"],
        "docs": groups["docs"],
        "dev": [*extras["service"], *extras["cli"], *extras["data"], *extras["dev"], *build],
    }[lock]
    base = [] if lock == "build" else project()["project"]["dependencies"]
    return [Requirement(text) for text in [*base, *wanted]]


def normal(name: str) -> str:
    """A distribution's name as it is compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(lock: Path) -> dict[str, str]:
    """The version of each distribution."""
    found = {}
    for line in lock.read_text("utf-8").splitlines():
        if pin := PINNED.match(line):
            found[normal(pin[1])] = pin[2]
    return found


def test_locks_are_there() -> None:
    """The next tests rest on it."""
    assert [lock.stem for lock in LOCKS] == [
        "benchmarks",
        "build",
        "dev",
        "docs",
        "integrations",
        "service",
    ]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.stem))
def test_lock_has_every_requirement_of_pyproject_in_a_permitted_version(lock: Path) -> None:
    """A changed requirement that has not been locked would be installed as it was before."""
    versions = locked(lock)
    for requirement in asked_for(lock.stem):
        version = versions.get(normal(requirement.name))
        assert version is not None, f"{requirement.name} is not in {lock.name}: run `make lock`"
        assert requirement.specifier.contains(version, prereleases=True), (
            f"{lock.name} has {requirement.name} {version}, pyproject.toml wants "
            f"{requirement.specifier}: run `make lock`"
        )


@pytest.mark.parametrize("lock", [*LOCKS, SANDBOX_LOCK], ids=lambda lock: str(lock.parent.name))
def test_lock_holds_nothing_but_pins_with_hashes(lock: Path) -> None:
    """No index, no address and no option: where files come from is each machine's own affair."""
    lines = [line for line in lock.read_text("utf-8").splitlines() if not re.match(r"\s*#", line)]
    assert [line for line in lines if not PINNED.match(line) and not HASH.match(line)] == []
    pins = [number for number, line in enumerate(lines) if PINNED.match(line)]
    assert pins
    assert all(HASH.match(lines[number + 1]) for number in pins)


def test_locks_agree_on_versions() -> None:
    """What is shipped is what was tested, and one .venv may have what several locks name."""
    tested: dict[str, str] = {}
    for lock in LOCKS:
        for name, version in locked(lock).items():
            assert tested.setdefault(name, version) == version, f"{lock.name}: {name}"


def test_images_start_from_one_base_with_a_digest() -> None:
    """A tag is moved by its owner; a digest names bytes."""
    bases = {
        BASE_IMAGE.search((ROOT / folder / "Dockerfile").read_text("utf-8"))[1]  # type: ignore[index]
        for folder in ("service", "sandbox-image")
    }
    assert len(bases) == 1
    assert re.fullmatch(r"debian:bookworm-slim@sha256:[0-9a-f]{64}", bases.pop())


@pytest.mark.parametrize("folder", ["service", "sandbox-image"])
def test_image_takes_security_updates_when_it_is_rebuilt(folder: str) -> None:
    """The last stage is what runs; the base is as old as its digest."""
    last = (ROOT / folder / "Dockerfile").read_text("utf-8").split("\nFROM ")[-1]
    assert "apt-get upgrade -y" in last
