"""The image with more languages: what it offers, and that it protects as the other does."""

from __future__ import annotations

from collections.abc import AsyncIterator

import docker
import pytest
import pytest_asyncio
from harness.bench import Bench, started_bench

from execbox.wire import Status

IMAGE = "execbox-sandbox:languages"

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture(scope="module")
def image(request: pytest.FixtureRequest) -> str:
    """The image, which is built apart because few need it."""
    client = docker.from_env()
    try:
        client.images.get(IMAGE)
    except docker.errors.ImageNotFound:
        pytest.skip(f"there is no {IMAGE}: build it with 'make image-languages'")
    finally:
        client.close()
    return IMAGE


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def languages(image: str) -> AsyncIterator[Bench]:
    """A service on it, which has proved its sandbox when it is there."""
    async with started_bench(
        image=image, pool_size="1", profiles_allowed="default,processes"
    ) as started:
        yield started


async def test_capabilities_name_the_languages_of_the_image(languages: Bench) -> None:
    """By its own word, which its build has tried."""
    assert languages.runtime.capabilities().languages == ["python", "bash", "cpp"]


async def test_job_cannot_start_a_compiler_in_profile_default(languages: Bench) -> None:
    """The filter refuses to start anything, whatever the image holds."""
    code = """
import subprocess
def main_solution():
    try:
        return subprocess.run(["g++", "--version"], capture_output=True).returncode
    except OSError as error:
        return type(error).__name__
"""
    ended = await languages.call(code)
    assert (ended.status, ended.output) == (Status.OK, "PermissionError"), ended


async def test_job_in_profile_processes_compiles(languages: Bench) -> None:
    """On the sandbox's own small disk, within its limits."""
    code = r"""
import subprocess
def main_solution():
    source = "#include <vector>\nint main() { return std::vector<int>(3).size(); }\n"
    made = subprocess.run(
        ["g++", "-x", "c++", "-o", "/tmp/program", "-"],
        input=source, text=True, capture_output=True,
    )
    with open("/tmp/program", "rb") as program:
        return [made.returncode, made.stderr, program.read(4)[1:].decode()]
"""
    ended = await languages.call(
        code, profile="processes", limits={"cpu_time_s": 20, "wall_time_s": 60}
    )
    assert (ended.status, ended.output) == (Status.OK, [0, "", "ELF"]), ended


async def test_image_has_no_file_that_changes_who_one_is(image: str) -> None:
    """Packages of Debian bring some; the build takes the bits away."""
    client = docker.from_env()
    try:
        found = client.containers.run(
            image,
            ["find", "/", "-xdev", "-perm", "/6000", "-not", "-path", "/proc/*"],
            network_mode="none",
            remove=True,
        )
    finally:
        client.close()
    assert found == b""
