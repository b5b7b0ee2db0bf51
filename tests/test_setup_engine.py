"""scripts/setup-engine.sh on machines that lack the Docker command, the daemon, or both.

What it installs is a package manager's and what it starts a daemon's, which no test may do to the
machine it runs on: programs of the same names stand in for both, and remember what was asked.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

SCRIPT: Final = Path(__file__).resolve().parents[1] / "scripts" / "setup-engine.sh"
REAL: Final = ("bash", "sleep", "setsid", "nohup", "tail", "cat", "chmod", "touch", "ln")
DOCKER: Final = """
case "$PODMAN $*" in
"3 --version") echo "podman version 3.0.1"; exit ;;
"4 version") echo "Client:       Podman Engine"; exit ;;
"3 version"*|"4 version"*) echo 4.3.1; exit ;;
esac
echo "$DOCKER_HOST" >"$STATE/asked"
case "$1 $2" in
"context inspect") test -z "$CONTEXT_WORDS" || { echo "$CONTEXT_WORDS" >&2; exit 1; }
    echo "${CONTEXT:-default}"; exit ;;
esac
test -e "$STATE/daemon" && { echo 26.1.5; exit; }
test -z "$FORBIDDEN" || echo "permission denied while trying to connect to the docker API" >&2
exit 1
"""
DOCKERD: Final = (
    'test -z "$FAILING" || { echo no room; exit 1; }; touch "$STATE/daemon"; exec sleep 1'
)
APT_GET: Final = """
case $1 in install) ;; *) exit 0 ;; esac
shift
case "$* $IN_THE_WAY" in
*" --no-remove "*yes) echo "E: Packages need to be removed but remove is disabled."; exit 100 ;;
*yes) echo containerd.io >>"$STATE/removed" ;;
esac
for name in "$@"; do
    case $name in
    -*) continue ;;
    docker-cli) ln -s "$STATE/docker" "$BIN/docker" ;;
    docker.io)
        ln -s "$STATE/dockerd" "$BIN/dockerd"
        test -n "$CLI_APART" || ln -s "$STATE/docker" "$BIN/docker"
        ;;
    esac
    echo "$name" >>"$STATE/installed"
done
"""
APT_CACHE: Final = 'test -z "$CLI_APART" || echo "docker-cli - Linux container runtime -- client"'


class Machine:
    """A PATH of its own: real small programs, and stand-ins for Docker and apt."""

    def __init__(self, folder: Path, *, cli_apart: bool, user_id: int = 0) -> None:
        self.script, self.bin, self.state = SCRIPT, folder / "bin", folder / "state"
        self.bin.mkdir()
        self.state.mkdir()
        self._cli_apart, self._programs = cli_apart, {"docker": DOCKER, "dockerd": DOCKERD}
        for name in REAL:
            found = shutil.which(name)
            assert found is not None
            (self.bin / name).symlink_to(found)
        for name, text in self._programs.items():
            self._write(self.state / name, text)
        for name, text in (
            ("id", f"echo {user_id}"),
            ("pidof", "exit 1"),
            ("systemctl", 'test -z "$FAILING" && touch "$STATE/daemon"'),
            ("apt-get", APT_GET),
            ("apt-cache", APT_CACHE),
        ):
            self._write(self.bin / name, text)

    def _write(self, path: Path, text: str) -> None:
        path.write_text(f"#!{shutil.which('bash')}\n{text}\n", encoding="utf-8")
        path.chmod(0o755)

    def has(self, *names: str) -> Machine:
        """With these installed; ``daemon`` is one that runs."""
        for name in names:
            if name == "daemon":
                (self.state / name).touch()
            else:
                (self.bin / name).symlink_to(self.state / name)
        return self

    def with_systemd(self) -> Machine:
        """Where services are started by it; waiting is noted, and takes no time."""
        (self.bin / "sleep").unlink()
        self._write(self.bin / "sleep", 'touch "$STATE/slept"')
        text = SCRIPT.read_text("utf-8")
        assert "/run/systemd/system" in text
        self.script = self.state / "script"
        self.script.write_text(text.replace("/run/systemd/system", str(self.state)), "utf-8")
        return self

    def set_up(self, **environment: str) -> tuple[int, str, list[str]]:
        """Run the script: its status, what it said, and what it installed, in order."""
        done = subprocess.run(
            ["bash", str(self.script)],
            env={
                "PATH": str(self.bin),
                "BIN": str(self.bin),
                "STATE": str(self.state),
                "CLI_APART": "yes" if self._cli_apart else "",
                "EXECBOX_DOCKERD_LOG": str(self.state / "log"),
            }
            | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        installed = self.state / "installed"
        names = installed.read_text("utf-8").split() if installed.exists() else []
        return done.returncode, done.stdout + done.stderr, names


@pytest.mark.parametrize(
    ("cli_apart", "there", "installed"),
    [
        pytest.param(True, (), ["docker-cli", "docker.io", "iptables"], id="Debian 13, bare"),
        pytest.param(False, (), ["docker.io", "iptables"], id="Debian 12, bare"),
        pytest.param(True, ("dockerd",), ["docker-cli"], id="Debian 13, no command"),
        pytest.param(True, ("dockerd", "daemon"), ["docker-cli"], id="Debian 13, only a daemon"),
        pytest.param(True, ("docker",), ["docker.io", "iptables"], id="Debian 13, no daemon"),
        pytest.param(True, ("docker", "dockerd"), [], id="all there, not running"),
        pytest.param(True, ("docker", "dockerd", "daemon"), [], id="all there, running"),
    ],
)
def test_setup_as_root_installs_what_is_missing_and_no_more(
    tmp_path: Path, cli_apart: bool, there: tuple[str, ...], installed: list[str]
) -> None:
    """On Debian 13 docker.io does not bring the command, and the daemon was said not to answer."""
    status, said, names = Machine(tmp_path, cli_apart=cli_apart).has(*there).set_up()
    assert (status, names) == (0, installed), said
    assert "a Docker daemon answers (version 26.1.5)" in said


@pytest.mark.parametrize(
    ("user_id", "there", "environment", "said"),
    [
        (1000, ("dockerd",), {}, "the docker command is missing"),
        (1000, (), {}, "there is no Docker daemon, and installing one takes root"),
        (1000, ("docker", "dockerd"), {}, "sudo systemctl start docker"),
        (1000, ("docker", "dockerd"), {"FORBIDDEN": "1"}, "sudo usermod -aG docker"),
        (1000, (), {"DOCKER_HOST": "tcp://h:1"}, "the docker command is missing"),
        (0, ("docker",), {"DOCKER_HOST": "tcp://h:1"}, "no Docker daemon answers at tcp://h:1"),
        (0, ("docker",), {"EXECBOX_DOCKER_HOST": "tcp://h:1"}, "answers at tcp://h:1"),
        (0, ("docker",), {"CONTEXT": "far"}, "no Docker daemon answers at the Docker context far"),
        (0, ("docker",), {"CONTEXT_WORDS": 'context "x" does not exist'}, "in use, which is not"),
        (0, ("dockerd",), {"EXECBOX_NO_INSTALL": "1"}, "the docker command is missing"),
        (0, ("docker",), {"EXECBOX_NO_INSTALL": "1"}, "EXECBOX_NO_INSTALL forbids"),
        (0, (), {"EXECBOX_NO_INSTALL": "1"}, "EXECBOX_NO_INSTALL forbids"),
    ],
)
def test_setup_that_may_not_install_says_what_is_missing(
    tmp_path: Path, user_id: int, there: tuple[str, ...], environment: dict[str, str], said: str
) -> None:
    """The command and the daemon are told apart; nothing is installed."""
    machine = Machine(tmp_path, cli_apart=True, user_id=user_id).has(*there)
    status, text, names = machine.set_up(**environment)
    assert (status, names) == (1, [])
    assert said in text


@pytest.mark.parametrize(
    ("cli_apart", "installed", "said"),
    [(True, ["docker-cli"], "answers at tcp://h:1"), (False, [], "docker command is missing")],
)
@pytest.mark.parametrize("variable", ["DOCKER_HOST", "EXECBOX_DOCKER_HOST"])
def test_setup_for_a_daemon_elsewhere_brings_none_here(
    tmp_path: Path, variable: str, cli_apart: bool, installed: list[str], said: str
) -> None:
    """Where the command comes with a daemon only, nothing is installed."""
    machine = Machine(tmp_path, cli_apart=cli_apart)
    status, text, names = machine.set_up(**{variable: "tcp://h:1"})
    assert (status, names) == (1, installed)
    assert said in text


def test_setup_asks_the_daemon_that_the_service_will_use(tmp_path: Path) -> None:
    """The setting comes before Docker's own variable, as in the service."""
    machine = Machine(tmp_path, cli_apart=True).has("docker", "daemon")
    status, _said, _names = machine.set_up(EXECBOX_DOCKER_HOST="tcp://h:1", DOCKER_HOST="tcp://g:1")
    assert (status, (machine.state / "asked").read_text("utf-8")) == (0, "tcp://h:1\n")


def test_setup_removes_no_package(tmp_path: Path) -> None:
    """A Kubernetes node's containerd.io conflicts with what docker.io depends on."""
    machine = Machine(tmp_path, cli_apart=False)
    status, said, names = machine.set_up(IN_THE_WAY="yes")
    assert (status, names) == (1, [])
    assert "apt could not install docker.io iptables" in said
    assert "docs.docker.com/engine/install" in said
    assert not (machine.state / "removed").exists()


@pytest.mark.parametrize("version", ["3", "4"])
def test_setup_takes_no_podman_for_docker(tmp_path: Path, version: str) -> None:
    """Its docker command says a version where no daemon is, and the service refuses its socket."""
    machine = Machine(tmp_path, cli_apart=True).has("docker")
    status, said, names = machine.set_up(PODMAN=version)
    assert (status, names) == (1, [])
    assert "Docker is Podman here" in said
    assert "ENGINE=bubblewrap" in said


def test_setup_with_systemd_starts_the_service(tmp_path: Path) -> None:
    """And no daemon beside it."""
    machine = Machine(tmp_path, cli_apart=True).has("docker", "dockerd").with_systemd()
    status, said, _names = machine.set_up()
    assert status == 0
    assert "starting the docker service" in said
    assert not (machine.state / "log").exists()


def test_setup_whose_service_fails_names_its_log_at_once(tmp_path: Path) -> None:
    """It waited for a minute, and then named a log that nobody writes."""
    machine = Machine(tmp_path, cli_apart=True).has("docker", "dockerd").with_systemd()
    status, said, _names = machine.set_up(FAILING="1")
    assert (status, (machine.state / "slept").exists()) == (1, False)
    assert "journalctl -u docker -n 20" in said
    assert str(machine.state / "log") not in said


def test_setup_whose_daemon_ends_shows_its_last_words(tmp_path: Path) -> None:
    """Of the log that the script had it write."""
    machine = Machine(tmp_path, cli_apart=True).has("docker", "dockerd")
    status, said, _names = machine.set_up(FAILING="1")
    assert status == 1
    assert "no room" in said
    assert f"all of it: {machine.state}/log" in said
