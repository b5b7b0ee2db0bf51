"""What `execbox image build` says where an image cannot be built, and what it passes on.

The real script runs; a program named docker stands in for the real one where that is to fail, and
remembers what was asked. Building on a real daemon is in `tests/live/test_live_image_build.py`.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from execbox.cli import main
from execbox_service.image_build import ImageOptions, build_command

SCRIPT: Final = Path(__file__).resolve().parents[1] / "scripts" / "build-image.sh"
REAL: Final = (
    *("bash", "env", "dirname", "sed", "mktemp", "rm", "cp", "tail", "cat", "id", "seq"),
    *("timeout", "test", "mkdir", "grep", "tar"),
)
DOCKER: Final = """
echo "$@" >>"$STATE/asked"
echo "$DOCKER_HOST" >>"$STATE/hosts"
case "$1 $2" in
version*)
    test ! -e "$STATE/forbidden" || { echo "Got permission denied while connecting" >&2; exit 1; }
    test ! -e "$STATE/podman" || { echo "Client:       Podman Engine"; exit 0; }
    test -e "$STATE/no-daemon" || exit 0
    echo "Cannot connect to the Docker daemon." >&2
    exit 1
    ;;
"image inspect") test ! -e "$STATE/no-base" || exit 1; echo sha256:made ;;
pull*) test ! -e "$STATE/full" || { echo "mkdir: no space left on device" >&2; exit 1; }
    echo "dial tcp: lookup registry: no such host" >&2; exit 1 ;;
build*)
    tar -t >"$STATE/context" || exit 1
    test ! -e "$STATE/full-later" || { echo "write /a: no space left on device"; exit 1; }
    test ! -e "$STATE/full-inside" || { echo "OSError: No space left on device"; exit 1; }
    test -e "$STATE/broken" || exit 0
    seq 1 100
    echo "ERROR: No matching distribution found for no-such-thing"
    exit 1
    ;;
esac
"""


class Machine:
    """A PATH of its own: real small programs, and a stand-in for Docker."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bin, self.state = folder / "bin", folder / "state"
        self.bin.mkdir()
        self.state.mkdir()
        for name in REAL:
            found = shutil.which(name)
            assert found is not None
            (self.bin / name).symlink_to(found)
        self.has_program("docker", DOCKER)
        monkeypatch.setenv("PATH", str(self.bin))
        monkeypatch.setenv("STATE", str(self.state))
        monkeypatch.setenv("TMPDIR", str(folder))

    def has(self, *states: str) -> Machine:
        """With these troubles, or without a docker command at all."""
        for state in states:
            (self.state / state).touch()
        if "no-command" in states:
            (self.bin / "docker").unlink()
        return self

    def has_program(self, name: str, text: str) -> None:
        """With a stand-in of this name."""
        program = self.bin / name
        program.write_text(f"#!{shutil.which('bash')}\n{text}", "utf-8")
        program.chmod(0o755)

    def asked(self) -> list[str]:
        """What Docker was asked to do, in order."""
        return (self.state / "asked").read_text("utf-8").splitlines()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """One on which everything works."""
    for name in ("DOCKER_HOST", "EXECBOX_DOCKER_HOST", "EXECBOX_BASE_IMAGE"):
        monkeypatch.delenv(name, raising=False)
    return Machine(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("trouble", "arguments", "code", "said"),
    [
        ("no-command", (), 1, "there is no docker command. Install Docker"),
        ("no-daemon", (), 1, "no Docker daemon answers: Cannot connect to the Docker daemon."),
        ("podman", (), 1, "Docker is Podman here, which the service refuses"),
        ("forbidden", (), 1, "sudo usermod -aG docker"),
        ("no-base full", (), 1, "Docker's data root is full. Make room with: docker system prune"),
        ("full-later", (), 1, "data root is full. Make room with: docker system prune"),
        ("full-inside", (), 1, "data root is full. Make room with: docker system prune"),
        ("no-base", (), 1, "is not here and could not be pulled"),
        ("broken", (), 1, "ERROR: No matching distribution found for no-such-thing"),
        ("none", ("--requirements", "gone.txt"), 2, "there is no file gone.txt to read"),
    ],
)
def test_image_that_cannot_be_built_is_said_in_plain_words(
    machine: Machine,
    capfd: pytest.CaptureFixture[str],
    trouble: str,
    arguments: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    """What happened, and for what is missing what to do about it."""
    machine.has(*trouble.split())
    assert main(["image", "build", *arguments]) == code
    assert said in capfd.readouterr().err


def test_build_that_failed_shows_its_last_lines_and_keeps_all_of_them(
    machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    """The reason stands at the end; hundreds of lines before it would hide it."""
    machine.has("broken")
    assert main(["image", "build"]) == 1
    said = capfd.readouterr().err
    assert "\n100\n" in said
    assert "\n50\n" not in said
    log = Path(said.split("all of it is in ")[1].strip())
    assert log.read_text("utf-8").startswith("1\n2\n")


def test_base_that_cannot_be_made_shows_what_was_said_of_it(
    machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    """With its reason, such as a key that is missing: the machine has no registry to pull from."""
    machine.has("no-base")
    machine.has_program(
        "mmdebstrap", 'echo "$@" >"$STATE/made"; seq 1 100; echo "NO_PUBKEY 54404762" >&2; exit 25'
    )
    machine.has_program("apt-config", "true")
    assert main(["image", "build"]) == 1
    said = capfd.readouterr().err
    assert "NO_PUBKEY 54404762" in said
    assert "debian:bookworm-slim could not be made of Debian's packages" in said
    assert "\n1\n2\n" not in said
    keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    made = (machine.state / "made").read_text("utf-8")
    assert ("--keyring=/usr/share/keyrings/debian-archive-keyring" in made) == keyring.exists()


@pytest.mark.parametrize("tag", ["mine:1", "mine", "host:5000/mine_too/a:RC-1"])
def test_tag_and_requirements_reach_the_build(machine: Machine, tmp_path: Path, tag: str) -> None:
    """Under the name that was asked for, and no other."""
    more = tmp_path / "more.txt"
    more.write_text("toolz\n", "utf-8")
    assert main(["image", "build", "--tag", tag, "--requirements", str(more)]) == 0
    (built,) = [line for line in machine.asked() if line.startswith("build ")]
    assert f"--tag {tag} " in built


@pytest.mark.parametrize("options", [(), ("--languages",)])
def test_build_is_given_all_that_it_needs_as_a_stream(
    machine: Machine, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Docker's snap finds no file in /tmp; and what Python left behind is not for an image."""
    more = tmp_path / "more.txt"
    more.write_text("toolz\n", "utf-8")
    assert main(["image", "build", "--requirements", str(more), *options]) == 0
    builds = [line for line in machine.asked() if line.startswith("build ")]
    assert all(line.endswith(" -") and str(tmp_path) not in line for line in builds)
    names = (machine.state / "context").read_text("utf-8").splitlines()
    assert {"Dockerfile", "requirements-added.txt", "languages.Dockerfile"} <= set(names)
    assert "execbox_runner/supervisor.py" in names
    assert not any("__pycache__" in name for name in names)


def test_languages_are_built_on_a_sandbox_image_of_the_same_name(machine: Machine) -> None:
    """A tag of one's own leaves execbox-sandbox:local as it is."""
    assert main(["image", "build", "--languages", "--tag", "mine:1"]) == 0
    first, second = [line for line in machine.asked() if line.startswith("build ")]
    assert "--tag mine:1-sandbox " in first
    assert "--tag mine:1 --build-arg SANDBOX_IMAGE=mine:1-sandbox" in second


@pytest.mark.parametrize("name", ["Mine", "", "-x", "a b", "mine:", "mine@sha256:0"])
def test_tag_that_cannot_be_one_is_refused_before_anything_is_done(
    machine: Machine, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Docker's own words for it name an option that nobody has given."""
    with pytest.raises(SystemExit) as ended:
        main(["image", "build", f"--tag={name}"])
    assert ended.value.code == 2
    assert repr(name) in capsys.readouterr().err
    assert not (machine.state / "asked").exists()


def test_build_uses_the_daemon_of_the_settings_and_installs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The image is for the service, so it goes where the service will look for it."""
    monkeypatch.setenv("EXECBOX_DOCKER_HOST", "tcp://127.0.0.1:1")
    command = build_command(ImageOptions(update=True))
    assert command[:3] == ["env", "EXECBOX_NO_INSTALL=1", "DOCKER_HOST=tcp://127.0.0.1:1"]
    assert command[-4:] == ["sandbox", "--tag", "execbox-sandbox:local", "--update"]


def test_script_builds_on_the_daemon_of_the_settings(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make image` passes on no more than the environment, in which the setting is."""
    monkeypatch.setenv("EXECBOX_DOCKER_HOST", "tcp://h:1")
    monkeypatch.setenv("DOCKER_HOST", "tcp://g:1")
    assert subprocess.run(["bash", str(SCRIPT)], check=False).returncode == 0
    assert set((machine.state / "hosts").read_text("utf-8").split()) == {"tcp://h:1"}


def test_setting_that_cannot_be_used_is_said_and_nothing_built(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback of ours."""
    monkeypatch.setenv("EXECBOX_PORT", "many")
    assert main(["image", "build"]) == 1
    assert "EXECBOX_PORT" in capsys.readouterr().err
    assert not (machine.state / "asked").exists()
