"""Programs run as ``python3 program.py`` in a container of the sandbox image: what is right.

All of them in one container, each with an interpreter of its own in an emptied ``/tmp``. Slow, and
isolated by nothing but Docker: for comparing with, and for no other use.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Ended", "ReferenceProgram", "run_by_python"]

_DRIVER = """
import json, os, shutil, subprocess, sys
for line in sys.stdin:
    program = json.loads(line)
    for name in os.listdir("/tmp"):
        path = os.path.join("/tmp", name)
        shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
    with open("/tmp/program.py", "wb") as file:
        file.write(program["code"].encode())
    command = ["python3", "program.py", *program["arguments"]]
    try:
        ended = subprocess.run(command, cwd="/tmp", input=program["stdin"].encode(),
                               capture_output=True, timeout=program["timeout_s"])
        ended = ended.stdout, ended.stderr, ended.returncode
    except subprocess.TimeoutExpired as late:
        ended = late.stdout or b"", late.stderr or b"", -9
    told = [ended[0].decode("latin-1"), ended[1].decode("latin-1"), ended[2]]
    print(json.dumps(told), flush=True)
"""


@dataclass(frozen=True)
class ReferenceProgram:
    """A program as it is handed to the interpreter."""

    code: str
    stdin: str = ""
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ended:
    """What a process gave: its streams, and its exit code or minus the signal that ended it."""

    stdout: bytes
    stderr: bytes
    exit_code: int


def run_by_python(
    programs: Sequence[ReferenceProgram], *, image: str, timeout_s: float = 60.0
) -> list[Ended]:
    """One result per program, in their order; one that takes longer than ``timeout_s`` is killed.

    Raises CalledProcessError where Docker fails.
    """
    command = ["docker", "run", "-i", "--rm", "--network", "none", "--user", "nobody"]
    command += ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    command += ["--tmpfs", "/tmp:mode=1777,size=64m", "--memory", "1g", "--pids-limit", "64"]
    command += ["--ulimit", "stack=67108864", "--entrypoint", "python3", image, "-c", _DRIVER]
    lines = [
        json.dumps(
            {
                "code": each.code,
                "stdin": each.stdin,
                "arguments": each.arguments,
                "timeout_s": timeout_s,
            }
        )
        for each in programs
    ]
    ended = subprocess.run(
        command, input="\n".join(lines), capture_output=True, text=True, check=True
    )
    return [
        Ended(stdout.encode("latin-1"), stderr.encode("latin-1"), exit_code)
        for stdout, stderr, exit_code in map(json.loads, ended.stdout.splitlines())
    ]
