"""``deploy/slurm/execbox.sbatch`` on one node, with stand-ins for ``srun`` and for the service.

docs/deploy.md says what was seen on a cluster of Slurm's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness.local_service import free_port

_SCRIPT = Path(__file__).resolve().parents[1] / "deploy/slurm/execbox.sbatch"
_SRUN = """#!/usr/bin/env bash
export SLURM_NODEID=0
exec "${@: -1}"
"""
_HOSTNAME = """#!/usr/bin/env bash
echo 127.0.0.1
"""
_SERVICE = """
import http.server, os, pathlib, sys
notes = pathlib.Path(sys.argv[1])
with open(notes / "starts", "a") as starts:
    starts.write(f"{os.getpid()}\\n")
(notes / "variables").write_text(" ".join(sorted(os.environ)))
if (notes / "fails").exists():
    sys.exit("no engine here")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if (notes / "is-never-ready").exists() else 200)
        self.end_headers()
    def log_message(self, *_):
        pass
port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
_TIME_S = 60.0


@dataclass(frozen=True)
class _Job:
    """A folder with the stand-ins, and what the service has left there."""

    folder: Path

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        service = f"{sys.executable} {self.folder}/service.py {self.folder}"
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        job = {
            "SLURM_JOB_ID": "7",
            "SLURM_JOB_NUM_NODES": "1",
            "SLURM_SUBMIT_DIR": str(self.folder),
        }
        own = {"EXECBOX_COMMAND": service, "EXECBOX_PORT": str(free_port())}
        return subprocess.run(
            [str(_SCRIPT), *command],
            env=os.environ | {"PATH": path} | job | own | variables,
            capture_output=True,
            text=True,
            timeout=_TIME_S,
            check=False,
        )

    @property
    def start_count(self) -> int:
        return len((self.folder / "starts").read_text().splitlines())


@pytest.fixture
def job(tmp_path: Path) -> _Job:
    (tmp_path / "bin").mkdir()
    for name, text in {"srun": _SRUN, "hostname": _HOSTNAME}.items():
        stand_in = tmp_path / "bin" / name
        stand_in.write_text(text)
        stand_in.chmod(0o755)
    (tmp_path / "service.py").write_text(_SERVICE)
    return _Job(tmp_path)


def test_slurm_job_ends_with_the_command_and_its_status(job: _Job) -> None:
    """The command gets addresses and a key; the services and the job's folder go with it."""
    done = job.run("bash", "-c", 'cat "${EXECBOX_URL#@}"; echo "${#EXECBOX_API_KEY}"; exit 7')
    assert done.returncode == 7
    address, key_length = done.stdout.split()
    assert address.startswith("http://127.0.0.1:")
    assert key_length == "64"
    assert not list(job.folder.glob("execbox-7-*"))
    service = int((job.folder / "starts").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(service, 0)


def test_slurm_job_whose_service_fails_ends_with_what_it_said(job: _Job) -> None:
    """Without waiting for the time that a service has to become ready."""
    (job.folder / "fails").touch()
    done = job.run("true")
    assert done.returncode == 1
    assert "no engine here" in done.stderr
    assert "before the services ended" in done.stderr
    assert job.start_count == 1


def test_slurm_job_whose_service_is_never_ready_names_the_time_it_had(job: _Job) -> None:
    """And the variable that gives it more."""
    (job.folder / "is-never-ready").touch()
    done = job.run("true", EXECBOX_READY_S="2")
    assert done.returncode == 1
    assert "did not become ready in 2 s (EXECBOX_READY_S)" in done.stderr


def test_slurm_service_that_ends_before_the_command_is_started_again(job: _Job) -> None:
    """A fleet outlives a service that was killed."""
    command = (
        f'kill -9 "$(cat {job.folder}/starts)"; '
        f"until [ $(wc -l < {job.folder}/starts) -eq 2 ]; do sleep 0.1; done"
    )
    assert job.run("bash", "-c", command).returncode == 0
    assert job.start_count == 2


def test_slurm_service_gets_no_variable_that_is_only_the_scripts(job: _Job) -> None:
    """It would warn of a setting that it does not know."""
    assert job.run("true", EXECBOX_SLOTS="1", EXECBOX_READY_S="30").returncode == 0
    variables = set((job.folder / "variables").read_text().split())
    assert variables & {"EXECBOX_COMMAND", "EXECBOX_SLOTS", "EXECBOX_READY_S"} == set()
    assert {"EXECBOX_API_KEY_HASHES", "EXECBOX_SLOT_COUNT"} <= variables


def test_slurm_script_outside_of_a_job_says_how_to_call_it(job: _Job) -> None:
    """It is no command by itself."""
    done = job.run("true", SLURM_JOB_ID="")
    assert done.returncode == 1
    assert "this runs as a job of Slurm: sbatch" in done.stderr
