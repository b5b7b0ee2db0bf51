"""Proving the sandbox before serving: a probe job runs where users' jobs will, and is checked.

Fail closed: whatever is missing is named, and the service does not start.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from execbox.strict_json import decode
from execbox.wire import ErrorCode, Limits
from execbox_service.engines.base import Sandbox
from execbox_service.failures import ServiceFailure
from execbox_service.runner_frames import Ready, Result
from execbox_service.sandboxes.driver import Attempt, Job, SandboxDriver, call_payload
from execbox_service.sandboxes.pool import Pool

# Runs inside the sandbox, as any user's function does. Each entry of the answer is a fact.
PROBE = """
import ctypes, errno, os, socket, stat

IO_SETUP = {"x86_64": 206, "aarch64": 0}
CAPABILITY_SETS = ("Inh", "Prm", "Eff", "Amb")

def refused(action, error=OSError):
    try:
        action()
    except error:
        return True
    except OSError:
        pass
    return False

def write(path):
    with open(path, "w") as file:
        file.write("x")

def status():
    with open("/proc/self/status") as file:
        return dict(line.strip().split(":", 1) for line in file if ":" in line)

def descriptors():
    found = []
    for fd in range(3, 4096):
        try:
            found.append(stat.S_ISFIFO(os.fstat(fd).st_mode))
        except OSError:
            pass
    return found

def fork():
    if os.fork() == 0:
        os._exit(0)

def mounts():
    with open("/proc/self/mounts") as file:
        lines = [line.split() for line in file]
    return {line[1]: set(line[3].split(",")) for line in lines}

def call(numbers):
    # A call that the job's own filter lets pass and the container's profile does not have.
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(ctypes.c_long(numbers.get(os.uname().machine, -1)), ctypes.c_long(1), None)
    return ctypes.get_errno()

def probe():
    own = {key: value.strip() for key, value in status().items()}
    return {
        "user ids are the job's own": 0 not in os.getresuid() + os.getresgid(),
        "no supplementary groups": os.getgroups() == [],
        "no capabilities": not any(int(own["Cap" + kind], 16) for kind in CAPABILITY_SETS),
        "no_new_privs is set": own["NoNewPrivs"] == "1",
        "a system-call filter is on": own["Seccomp"] == "2",
        "one descriptor beside the standard three": descriptors() == [True],
        "fork is refused": refused(fork, PermissionError),
        # Of a program that is not there: where exec is not refused, the error is a different one.
        "exec is refused": refused(lambda: os.execv("/nowhere", ["true"]), PermissionError),
        "sockets are refused": refused(lambda: socket.socket().close(), PermissionError),
        "the root file system is read-only": "ro" in mounts().get("/", set())
        and refused(lambda: write("/etc/execbox-probe")),
        "/dev is not writable": refused(lambda: write("/dev/execbox-probe")),
        "/dev/mqueue is not writable": refused(lambda: write("/dev/mqueue/execbox-probe")),
        "signals to the supervisor are refused": refused(lambda: os.kill(1, 0)),
        "no network but loopback": sorted(
            line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line
        ) in ([], ["lo"]),
        "the container's system-call profile is ours": call(IO_SETUP) == errno.EPERM,
        "nothing in /tmp and /dev/shm can be run": all(
            {"noexec", "nosuid", "nodev"} <= mounts().get(path, set())
            for path in ("/tmp", "/dev/shm")
        ),
        "no secrets in the environment": not any("EXECBOX_API" in key for key in os.environ),
    }
"""
_RUNNER_CAPABILITIES = 0b1110_0000  # KILL, SETGID, SETUID: capability numbers 5, 6 and 7


@dataclass(frozen=True)
class Expected:
    """What every container was asked to have."""

    memory_limit_bytes: int
    open_file_count: int


def missing_in_container(ready: Ready, expected: Expected) -> list[str]:
    """What the supervisor's own container lacks, in words; empty where all is as asked."""
    facts = {
        "the supervisor is PID 1": ready.pid == 1,
        "the supervisor has only SETUID, SETGID and KILL": (
            int(ready.capabilities, 16) | _RUNNER_CAPABILITIES == _RUNNER_CAPABILITIES
        ),
        "no_new_privs is set for the container": ready.no_new_privileges,
        "the container has a seccomp profile": ready.seccomp,
        "the container has no network interface but loopback": set(ready.interfaces) <= {"lo"},
        f"the memory limit is {expected.memory_limit_bytes} bytes": (
            ready.memory_limit_bytes == expected.memory_limit_bytes
        ),
        "the number of processes is limited": ready.process_count_max > 0,
        f"at most {expected.open_file_count} open files": (
            ready.open_file_count <= expected.open_file_count
        ),
        # No file is as short, and of 1 alone no program is started that cores are piped to.
        "no core dumps": ready.core_bytes in (0, 1),
    }
    return [name for name, holds in facts.items() if not holds]


def missing_in_job(output: object) -> list[str]:
    """What a job's surroundings lack, from the probe's answer."""
    if not isinstance(output, dict) or not output:
        return ["the probe gave no answer"]
    return [str(name) for name, holds in output.items() if holds is not True]


async def prove(pool: Pool, expected: Expected) -> None:
    """Run the probe in a sandbox of the pool. Raises ServiceFailure naming what is missing."""
    job = Job(
        function_payload=json.dumps(
            {
                "code": PROBE,
                "entry_point": "probe",
                "prelude": "none",
                "convert": "none",
                "output_bytes": 65536,
                "complexity": None,
            }
        ).encode(),
        packages=(),
        profile="default",
        limits=Limits(),
        isolation="container",
    )
    driver = SandboxDriver(pool, principal="self-test")
    try:
        (ended,) = await driver.run(job, [Attempt(call_payload({"args": []}))])
        sandbox = driver.sandbox
    finally:
        driver.close(reusable=False)
    report = ended.report if isinstance(ended, Result) else None
    if report is None or report.header.status != "ok":
        said = report.header.error if report is not None else None
        raise ServiceFailure(
            ErrorCode.SELF_TEST_FAILED, f"the probe did not run in the sandbox: {said}"
        )
    missing = missing_in_job(decode(report.output)) + _missing(sandbox, expected)
    if missing:
        raise ServiceFailure(
            ErrorCode.SELF_TEST_FAILED, "the sandbox lacks protections: " + "; ".join(missing)
        )


def _missing(sandbox: Sandbox | None, expected: Expected) -> list[str]:
    if sandbox is None:
        return ["the probe's container was replaced"]
    return missing_in_container(sandbox.ready, expected)
