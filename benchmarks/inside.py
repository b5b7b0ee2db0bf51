"""Ways to run checks without execbox, run inside one container: this file's text is sent there.

Standard library only. Reads one JSON object on standard input and answers with one:
``{"way", "worker_count", "rounds", "groups": [{"imports", "checks"}]}`` gives ``{"elapsed_s",
"latencies_s", "ok_count", "cpu_s"}``, latencies in the order in which checks ended. ``way`` is
``process``, a new interpreter with numpy for each check, or ``fork``, a bare fork of an
interpreter that has imported what its group imports: the floor that no isolation is cheaper than.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

ONE_CHECK = """
import json, sys
check = json.load(sys.stdin)
namespace = {"__name__": "check"}
exec(compile(check["code"], "check.py", "exec"), namespace)
print(json.dumps(namespace[check["entry_point"]](**check["kwargs"])))
"""
COMMON_MODULES = (
    *("bisect", "collections", "copy", "datetime", "decimal", "enum", "functools", "hashlib"),
    *("heapq", "itertools", "json", "math", "operator", "queue", "random", "re", "string"),
    *("textwrap", "time", "typing"),
)
_TIMEOUT_S = 30
_INDEX_BYTES = 4


def run_in_process(check: dict[str, Any]) -> bool:
    """A new interpreter that imports numpy, as a checker does that knows nothing of the code."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", "import numpy\n" + ONE_CHECK],
            input=json.dumps(check).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def run_in_fork(check: dict[str, Any]) -> bool:
    """A fork of this interpreter: compile, call, send the result, end. No limits, no isolation."""
    reading_fd, writing_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reading_fd)
            namespace: dict[str, Any] = {"__name__": "check"}
            exec(compile(check["code"], "check.py", "exec"), namespace)
            output = namespace[check["entry_point"]](**check["kwargs"])
            with os.fdopen(writing_fd, "w") as result:
                json.dump(output, result)
            status = 0
        finally:
            os._exit(status)
    os.close(writing_fd)
    with os.fdopen(reading_fd, "rb") as result:
        result.read()
    return os.waitpid(pid, 0)[1] == 0


WAYS = {"process": run_in_process, "fork": run_in_fork}


@dataclass(frozen=True)
class Pipes:
    """What all workers share. A token is the right to run a check; there are as many as cores."""

    tokens: tuple[int, int]
    ready: tuple[int, int]
    answers: tuple[int, int]
    turn: tuple[int, int]
    """One token: the right to write an answer, since long writes to one pipe would mix."""


def work(checks: list[dict[str, Any]], *, way: str, queue_fd: int, pipes: Pipes) -> None:
    """Run the checks whose indices come out of the queue, one at a time; then report once."""
    run = WAYS[way]
    latencies_s = []
    ok_count = 0
    cpu_before_s = cpu_s()
    os.write(pipes.ready[1], b"r")
    while index := os.read(queue_fd, _INDEX_BYTES):
        check = checks[int.from_bytes(index, "big")]
        os.read(pipes.tokens[0], 1)
        began_s = time.monotonic()
        ok_count += run(check)
        latencies_s.append(time.monotonic() - began_s)
        os.write(pipes.tokens[1], b"t")
    report = {"latencies_s": latencies_s, "ok_count": ok_count, "cpu_s": cpu_s() - cpu_before_s}
    os.read(pipes.turn[0], 1)
    with os.fdopen(pipes.answers[1], "w") as answers:
        answers.write(json.dumps(report) + "\n")
    os.write(pipes.turn[1], b"t")


def cpu_s() -> float:
    """CPU time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def start_group(task: dict[str, Any], group: dict[str, Any], pipes: Pipes) -> None:
    """Fork an interpreter that imports what the group needs and becomes its workers."""
    queue_fd = filled_queue(count=len(group["checks"]), rounds=task["rounds"])
    if os.fork() == 0:
        try:
            # What checks print must not get between the lines of the report.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            for name in (*COMMON_MODULES, *group["imports"]):
                with contextlib.suppress(ImportError):
                    importlib.import_module(name)
            gc.freeze()
            for _ in range(task["worker_count"] - 1):
                if os.fork() == 0:
                    break
            work(group["checks"], way=task["way"], queue_fd=queue_fd, pipes=pipes)
        finally:
            os._exit(0)
    os.close(queue_fd)


def filled_queue(*, count: int, rounds: int) -> int:
    """A pipe that holds every index once a round, and then ends."""
    reading_fd, filling_fd = os.pipe()
    for _ in range(rounds):
        for index in range(count):
            os.write(filling_fd, index.to_bytes(_INDEX_BYTES, "big"))
    os.close(filling_fd)
    return reading_fd


def main() -> None:
    """Start the workers of every group, let them run when all are ready, add up what they say."""
    task = json.load(sys.stdin)
    pipes = Pipes(os.pipe(), os.pipe(), os.pipe(), os.pipe())
    worker_count = task["worker_count"] * len(task["groups"])
    for group in task["groups"]:
        start_group(task, group, pipes)
    for _ in range(worker_count):
        os.read(pipes.ready[0], 1)
    began_s = time.monotonic()
    os.write(pipes.turn[1], b"t")
    os.write(pipes.tokens[1], b"t" * task["worker_count"])
    with os.fdopen(pipes.answers[0]) as answers:
        reports = [json.loads(answers.readline()) for _ in range(worker_count)]
    elapsed_s = time.monotonic() - began_s
    report = {
        "elapsed_s": elapsed_s,
        "latencies_s": [latency_s for each in reports for latency_s in each["latencies_s"]],
        "ok_count": sum(each["ok_count"] for each in reports),
        "cpu_s": sum(each["cpu_s"] for each in reports),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
