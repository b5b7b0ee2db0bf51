"""The image that serves by itself, started with the flags of docs/deploy.md, and without each."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
from harness.local_service import free_port

from execbox import Client
from execbox.wire import Checks, DeterminismCheck, Status
from execbox_service.settings import hash_api_key
from tests.required import skip_or_fail

ROOT: Final = Path(__file__).resolve().parents[2]
IMAGE: Final = "execbox:local"
KEY: Final = "key-of-the-standalone-service"
NAME: Final = f"execbox-test-{os.getpid()}"
START_S: Final = 90

pytestmark = [pytest.mark.docker, pytest.mark.slow]


def docker(*arguments: str, check: bool = True) -> str:
    """What a docker command says."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=120, check=False, cwd=ROOT
    )
    if check and done.returncode != 0:
        pytest.fail(f"docker {shlex.join(arguments)}: {done.stderr}")
    return done.stdout + done.stderr


def documented_flags() -> list[str]:
    """Those of `docker run` on the page, for this daemon's version of control groups.

    Its own port and the keys are the test's; what Docker 28 has an option for is volumes before.
    """
    page = (ROOT / "docs/deploy.md").read_text("utf-8")
    command, volumes = re.findall(
        r"```\n(?:export[^\n]*\n)?(docker run.*?|  --volume.*?)```", page, re.S
    )
    words = shlex.split(re.sub(r"\$\(.*\)", "HASH", command.replace("\\\n", " ")))
    assert (words[:2], words[-1]) == (["docker", "run"], IMAGE)
    flags = words[2:-1]
    if docker("info", "--format", "{{.CgroupVersion}}").strip() != "2":
        flags = without(flags, "--security-opt", "writable-cgroups=true")
        own = volumes.replace("/execbox:", f"/{NAME}:").replace("\\\n", " ")
        flags += shlex.split(own)
    flags = without(flags, "--publish", "8080:8080")
    return without(flags, "--env", "EXECBOX_API_KEY_HASHES=me:HASH")


def without(flags: Sequence[str], *missing: str) -> list[str]:
    """The flags but for these words, which have to be there one after another."""
    place = next(n for n in range(len(flags)) if list(flags[n : n + len(missing)]) == list(missing))
    return [*flags[:place], *flags[place + len(missing) :]]


@pytest.fixture(scope="module", autouse=True)
def image() -> None:
    """Built by `make image-standalone`; CI builds it."""
    try:
        found = docker("image", "inspect", "--format", "{{.Id}}", IMAGE, check=False)
    except FileNotFoundError:
        found = "there is no docker command"
    if not found.startswith("sha256:"):
        lacking = f"make image-standalone has not been run: {found}"
        skip_or_fail(lacking, by="EXECBOX_REQUIRE_STANDALONE")


@contextlib.contextmanager
def started(flags: Sequence[str], *, port: int, keys: bool = True) -> Iterator[str]:
    """The name of a container with these flags, on the machine's own network; removed after."""
    name = f"{NAME}-{port}"
    hashes = ["--env", f"EXECBOX_API_KEY_HASHES=me:{hash_api_key(KEY)}"] if keys else []
    serve = ["execbox", "serve", "--host", "0.0.0.0", "--port", str(port)]
    try:
        docker(
            *("run", "--detach", "--name", name, "--network", "host"),
            *(*hashes, *flags, IMAGE, *serve),
        )
        yield name
    finally:
        docker("rm", "--force", name, check=False)
        for group in Path("/sys/fs/cgroup").glob(f"*/{NAME}"):
            with contextlib.suppress(OSError):
                group.rmdir()


def last_words(name: str, *, exit_code: int) -> str:
    """What a container says that does not start, waiting for its end."""
    deadline_s = time.monotonic() + START_S
    while docker("inspect", "--format", "{{.State.Running}}", name).strip() == "true":
        assert time.monotonic() < deadline_s, docker("logs", name)
        time.sleep(0.2)
    assert docker("inspect", "--format", "{{.State.ExitCode}}", name).strip() == str(exit_code)
    return docker("logs", name)


@pytest.fixture(scope="module")
def client(image: None) -> Iterator[Client]:
    """Of a container with exactly the flags of the page."""
    port = free_port()
    with (
        started(documented_flags(), port=port) as name,
        Client(f"http://127.0.0.1:{port}", api_key=KEY) as opened,
    ):
        deadline_s = time.monotonic() + START_S
        while "is serving" not in docker("logs", name):
            assert time.monotonic() < deadline_s, docker("logs", name)
            time.sleep(0.2)
        yield opened


def test_container_serves_functions_on_the_sandbox_image_it_was_made_of(client: Client) -> None:
    """A certificate has the image of a Docker engine, and every variation."""
    checks = Checks(determinism=DeterminismCheck(runs=2))
    answer = client.execute("def main_solution(n): return n * 2", [{"n": 21}], checks=checks)
    assert answer.executions[0].output == 42
    assert answer.engine == "bubblewrap"
    assert answer.image.startswith("sha256:")
    assert answer.certificate is not None
    assert {"clock", "locale", "file_dates", "machine"} <= set(answer.certificate.variations)


def test_container_runs_programs_and_sessions(client: Client) -> None:
    """The whole of the API is there."""
    assert client.run("print(input())", stdin="said").runs[0].stdout == "said\n"
    with client.session() as session:
        session.run("kept = 20")
        value = session.run("kept + 1").value
    assert value is not None
    assert value.repr == "21"


def test_container_says_what_is_weaker_and_nothing_that_is_not(client: Client) -> None:
    """Interpreter and files are a pinned image's, as with Docker."""
    weaker = client.capabilities().weaker_than_docker
    assert len(weaker) == 1
    assert "AppArmor" in weaker[0]


def test_function_sees_neither_service_nor_container(client: Client) -> None:
    """Its own processes, no file and no key of the service's, no user namespace, no network."""
    code = """
import ctypes, os, socket

def refused(action):
    try:
        action()
    except (OSError, IndexError):
        return True
    return False

def main_solution():
    return {
        "processes": sum(name.isdigit() for name in os.listdir("/proc")) <= 4,
        "service": not os.path.exists("/opt/execbox"),
        "keys": not any("EXECBOX" in name for name in os.environ),
        "kcore": refused(lambda: open("/proc/kcore", "rb").read(1)[0]),
        "sysrq": refused(lambda: open("/proc/sysrq-trigger", "w")),
        "namespace": ctypes.CDLL(None).unshare(0x10000000) == -1,
        "network": refused(lambda: socket.socket()),
    }
"""
    (execution,) = client.execute(code, [{}]).executions
    assert execution.error is None
    assert execution.output == dict.fromkeys(execution.output, True)


def test_memory_beyond_the_limit_is_the_function_s_own(client: Client) -> None:
    """The kernel's evidence comes of the sandbox's own group, in a container, too."""
    code = "def main_solution(): return len(bytearray(2_000_000_000))"
    assert client.execute(code, [{}]).executions[0].status is Status.MEMORY_EXCEEDED


MISSING: Final = {
    "seccomp": (("--security-opt", "seccomp=deploy/seccomp.json"), "seccomp=deploy/seccomp.json"),
    "proc": (("--security-opt", "systempaths=unconfined"), "systempaths=unconfined"),
    "capability": (("--cap-add", "SETGID"), "--cap-add SETGID"),
}


@pytest.mark.parametrize("name", [*MISSING, "cgroups"])
def test_container_without_a_flag_does_not_start_and_names_it(name: str) -> None:
    """And names none of those that it has."""
    flags = documented_flags()
    if name == "cgroups":
        if "writable-cgroups=true" in flags:
            flags, told = without(flags, "--security-opt", "writable-cgroups=true"), "writable-cgr"
        else:
            told = "--volume /sys/fs/cgroup/NAME/execbox"
            while "--volume" in flags:
                place = flags.index("--volume")
                del flags[place : place + 2]
    else:
        removed, told = MISSING[name]
        flags = without(flags, *removed)
    with started(flags, port=free_port()) as container:
        words = last_words(container, exit_code=1)
    assert told in words
    others = {text for _, text in MISSING.values()} - {told}
    assert not [text for text in others if text in words]


def test_container_without_keys_does_not_start() -> None:
    """It listens on all addresses of its network."""
    with started(documented_flags(), port=free_port(), keys=False) as name:
        assert "EXECBOX_API_KEY_HASHES" in last_words(name, exit_code=2)
