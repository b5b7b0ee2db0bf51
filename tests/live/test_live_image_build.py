"""From a wheel alone to a function that runs: `execbox image build` on the real engine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import docker
import pytest
from harness.bench import started_bench

from execbox.wire import Status

ROOT: Final = Path(__file__).resolve().parents[2]
TAG: Final = f"execbox-sandbox:test-{os.getpid()}"
ADDED: Final = "toolz"
"""A small package that the lock has not."""

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command in an environment that has the wheel and what is locked for it, and no more."""
    folder = tmp_path_factory.mktemp("installed")
    pip = ["-m", "pip", "--quiet", "--disable-pip-version-check"]
    run(
        *(sys.executable, *pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation"),
        *("--wheel-dir", str(folder), str(ROOT)),
    )
    (wheel,) = folder.glob("*.whl")
    run(sys.executable, "-m", "venv", str(folder / "venv"))
    python = str(folder / "venv" / "bin" / "python")
    lock = str(ROOT / "requirements" / "service.lock")
    run(python, *pip, "install", "--no-deps", "--require-hashes", "-r", lock)
    run(python, *pip, "install", "--no-deps", "--no-index", str(wheel))
    return folder / "venv" / "bin" / "execbox"


@pytest.fixture(scope="module")
def image(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Built by that command, outside the checkout, with one package more; removed at the end."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "more.txt").write_text(f"{ADDED}\n", "utf-8")
    said = run(
        *(str(installed), "image", "build", "--tag", TAG, "--requirements", "more.txt"), cwd=folder
    )
    assert f"{TAG} is sha256:" in said
    yield TAG
    client = docker.from_env()
    try:
        client.images.remove(TAG)
    finally:
        client.close()


def run(*command: str, cwd: Path = ROOT) -> str:
    """Run to its end; what it printed."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, timeout=540
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_image_built_from_a_wheel_runs_functions_with_the_packages_added(
    image: str,
) -> None:
    """The service proves the sandbox first; what was added is known to it as what is locked is."""
    code = f"import {ADDED}, numpy\ndef main_solution(): return len(list({ADDED}.take(2, 'abc')))\n"
    async with started_bench(image=image, pool_size="1") as bench:
        ended = await bench.call(code)
        assert (ended.status, ended.output, ended.stderr) == (Status.OK, 2, ""), ended
        assert ADDED in bench.runtime.capabilities().packages
