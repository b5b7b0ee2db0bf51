"""What is shipped: every module of the checkout, and each can be imported from where it lands."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = {
    "client/execbox": "execbox",
    "service/execbox_service": "execbox_service",
    "sandbox-image": "execbox_service/_image/sandbox-image",
}
"""Folders of the checkout, and where their files are in the wheel."""
BUILD_SCRIPT = "scripts/build-image.sh"
"""What makes an image of sandbox-image/, and finds it beside its own folder."""
IMPORT_EACH = """
import importlib, sys
target, *modules = sys.argv[1:]
sys.path.insert(0, target)
for name in modules:
    try:
        path = importlib.import_module(name).__file__
    except ModuleNotFoundError as missing:
        # An integration's project is imported by nothing else, and is not installed here.
        if name.startswith("execbox.integrations.") and not missing.name.startswith("execbox"):
            continue
        raise
    assert path.startswith(target), f"{name} came from {path}"
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as the service's image builds it: nothing is downloaded."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr
    (built,) = folder.glob("*.whl")
    return built


def shipped_files() -> Iterator[tuple[Path, str]]:
    """Each file that is to be shipped, and its place in the wheel."""
    for folder, place in SHIPPED.items():
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path, f"{place}/{path.relative_to(ROOT / folder).as_posix()}"
    yield ROOT / BUILD_SCRIPT, f"execbox_service/_image/{BUILD_SCRIPT}"


def test_wheel_has_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    """A new folder is shipped without being named anywhere."""
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {name for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert shipped == {place for _path, place in shipped_files()}


def test_wheel_has_the_files_as_they_are(wheel: Path) -> None:
    """A link, such as that to the profile of system calls, is shipped as what it leads to."""
    archive = zipfile.ZipFile(wheel)
    for path, place in shipped_files():
        assert archive.read(place) == path.read_bytes()


def test_each_module_of_the_wheel_can_be_imported_from_where_it_is_installed(
    wheel: Path, tmp_path: Path
) -> None:
    """Into an empty folder, in an interpreter that does not see this checkout."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--disable-pip-version-check", "--target", str(tmp_path), str(wheel)]
    subprocess.run(command, check=True, timeout=120)
    modules = [
        place.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path, place in shipped_files()
        if path.suffix == ".py"
        and "/_image/" not in place
        and path.name != "__main__.py"
        # On Ray's own classes, and Ray is in no lock file.
        and not place.startswith("execbox/ray/")
    ]
    run = subprocess.run(
        # -S: without the link to the checkout that an editable install has.
        [sys.executable, "-I", "-S", "-c", _sees_packages(), str(tmp_path), *modules],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert len(modules) > 100


def _sees_packages() -> str:
    return f"import sys; sys.path.append({sysconfig.get_path('purelib')!r})\n{IMPORT_EACH}"
