"""``python -m benchmarks.stages``: where the time of one execution goes, step by step.

Three views of the same trivial call in one run: inside a container with stamps between the
runner's steps, in this process around the service without HTTP, and over HTTP. What lies between
two views is what the outer one adds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

from harness.local_service import LocalService
from harness.report import table

from benchmarks import single, stages_inside
from benchmarks.series import percentile
from execbox import wire
from execbox_service.engines.docker.policy import LABEL
from execbox_service.operations.registry import EXECUTE
from execbox_service.runner_frames import Refused, Result
from execbox_service.runtime import Runtime
from execbox_service.sandboxes.driver import SandboxDriver
from execbox_service.scheduling.caller import Caller
from execbox_service.settings import Settings, load_settings

_COUNT = 400
_PROFILE = Path(__file__).resolve().parents[1] / "sandbox-image" / "seccomp.json"
_TITLES = {
    "forked": "supervisor: pipes, memory files, counters; zygote: fork",
    "descriptors closed": "job: descriptors",
    "session and limits": "job: session, limits, OOM score, directory",
    "identity dropped": "job: identity",
    "filter on": "job: death signal, entropy, system-call filter",
    "compiled": "job: decode, compile, run the module",
    "called": "job: the call",
    "serialised": "job: serialise",
    "written": "job: compare the arguments, write the frame",
    "reaped": "job: end; zygote: reap; supervisor: drain",
    "answered": "supervisor: look for residue, answer",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print a table; 1 if something could not run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=__doc__)
    parser.add_argument("--count", type=int, default=_COUNT, help="executions of each view")
    count = parser.parse_args(argv).count
    with LocalService(pool_size="1") as service:
        settings = load_settings({"port": service.url.rpartition(":")[2]})
        inside_ms = _inside(settings, count)
        health = single.health_checks(service.url)
        over_http = single.warm_calls(service.url)
    other_port = {"port": str(settings.port + 1), "pool_size": "1"}
    waiting_ms, request_ms = asyncio.run(_in_process(load_settings(other_port), count))
    in_container_ms = sum(inside_ms.values())
    rows = [(_TITLES[stage], took_ms) for stage, took_ms in inside_ms.items()]
    rows += [
        ("attach stream: both ways through the daemon", waiting_ms - in_container_ms),
        ("service: queue, lease, frames, judging", request_ms - waiting_ms),
        ("HTTP: receive, decode, validate, answer", over_http.p50_ms - request_ms),
    ]
    cells = [
        [title, f"{took_ms:.3f}", f"{took_ms / over_http.p50_ms:.0%}"] for title, took_ms in rows
    ]
    cells += [
        ["together: one call, level process, over HTTP, p50", f"{over_http.p50_ms:.3f}", ""],
        ["for comparison: GET /healthz, p50", f"{health.p50_ms:.3f}", ""],
    ]
    print(table(["where", "ms", "share"], cells))
    return 0


def _inside(settings: Settings, count: int) -> dict[str, float]:
    """The stages, in a container with the options that every sandbox has."""
    source = Path(stages_inside.__file__).read_text(encoding="utf-8")
    command = ["docker", "run", "-i", "--rm", "--label", f"{LABEL}=stages", "--network", "none"]
    command += ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    command += [part for name in ("SETUID", "SETGID", "KILL") for part in ("--cap-add", name)]
    command += ["--security-opt", f"seccomp={_PROFILE}", "--cpus", "1", "--memory", "640m"]
    command += ["--tmpfs", "/tmp:rw,noexec,nosuid,nodev,mode=1777,size=64m"]
    command += ["--entrypoint", "python3", settings.image, "-c", source]
    done = subprocess.run(command, input=str(count).encode(), capture_output=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"stages: in the container: {done.stderr.decode()[-1000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


async def _in_process(settings: Settings, count: int) -> tuple[float, float]:
    """Medians in ms: from a frame sent to its answer, and of the whole request."""
    runtime = Runtime(settings)
    await runtime.start()
    waits_s: list[float] = []
    requests_s: list[float] = []
    receive = SandboxDriver._receive

    async def timed(driver: SandboxDriver, *args: object, **fields: object) -> Result | Refused:
        began_s = time.monotonic()
        try:
            return await receive(driver, *args, **fields)  # type: ignore[arg-type]
        finally:
            waits_s.append(time.monotonic() - began_s)

    request = wire.ExecuteRequest.model_validate(
        {
            "function": {"code": "def main_solution(n):\n    return n * 2\n"},
            "calls": [{"args": [21]}],
            "isolation": "process",
        }
    )
    try:
        await runtime.perform(EXECUTE, request, caller=Caller("stages"))
        with patch.object(SandboxDriver, "_receive", timed):
            for _ in range(count):
                began_s = time.monotonic()
                await runtime.perform(EXECUTE, request, caller=Caller("stages"))
                requests_s.append(time.monotonic() - began_s)
    finally:
        await runtime.stop()
    return percentile(waits_s, 50) * 1000, percentile(requests_s, 50) * 1000


if __name__ == "__main__":
    sys.exit(main())
