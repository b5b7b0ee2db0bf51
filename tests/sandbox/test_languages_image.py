"""The image with more languages: what it offers, and that it protects as the other does."""

from __future__ import annotations

import docker
import pytest
from harness.bench import Bench

from execbox.wire import Status
from execbox_service.failures import CallerMistake
from tests.sandbox.languages import Languages, response_to

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]


async def test_capabilities_name_the_languages_of_the_image(languages: Languages) -> None:
    """By its own word, which its build has tried."""
    assert languages.bench.runtime.capabilities().languages == ["python", "bash", "cpp"]


async def test_job_cannot_start_a_compiler_in_profile_default(languages: Languages) -> None:
    """The filter refuses to start anything, whatever the image holds."""
    code = """
import subprocess
def main_solution():
    try:
        return subprocess.run(["g++", "--version"], capture_output=True).returncode
    except OSError as error:
        return type(error).__name__
"""
    ended = await languages.bench.call(code)
    assert (ended.status, ended.output) == (Status.OK, "PermissionError"), ended


async def test_job_in_profile_processes_compiles(languages: Languages) -> None:
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
    ended = await languages.bench.call(
        code, profile="processes", limits={"cpu_time_s": 20, "wall_time_s": 60}
    )
    assert (ended.status, ended.output) == (Status.OK, [0, "", "ELF"]), ended


async def test_image_has_no_file_that_changes_who_one_is(languages_image: str) -> None:
    """Packages of Debian bring some; the build takes the bits away."""
    client = docker.from_env()
    try:
        found = client.containers.run(
            languages_image,
            ["find", "/", "-xdev", "-perm", "/6000", "-not", "-path", "/proc/*"],
            network_mode="none",
            remove=True,
        )
    finally:
        client.close()
    assert found == b""


@pytest.mark.parametrize("language", ["bash", "cpp"])
async def test_language_that_the_image_lacks_is_the_callers_mistake(
    bench: Bench, language: str
) -> None:
    """The message says what there is, and which image has it; nothing is run."""
    with pytest.raises(CallerMistake) as caught:
        await response_to(bench, language, "")
    assert (caught.value.code, caught.value.http_status) == ("language_not_available", 422)
    assert f"no {language} in the sandboxes" in caught.value.message
    assert "which have python" in caught.value.message
    assert "execbox image build --languages" in caught.value.message
    assert caught.value.detail == {
        "field": "program.language",
        "value": language,
        "available": ["python"],
    }


async def test_python_on_the_image_is_what_it_is_elsewhere(languages: Languages) -> None:
    """In profile default, and compiled once by Python itself: nothing is said of a compiler."""
    found = await languages.response(
        "python", "print(int(input()) * 2)", cases=[{"stdin": str(n)} for n in range(4)]
    )
    assert [run.stdout for run in found.runs] == ["0\n", "2\n", "4\n", "6\n"]
    assert found.compilation is None
