"""Other projects' own clients against a service, one case after the other: a line of JSON for each.

Run by ``acceptance.contracts`` with the interpreter of an environment that has them, not ours:
``python contract_clients.py cases|at-once URL FOLDER``, where FOLDER holds what of verl is loaded.
It imports nothing of execbox, and of the clients what it is told to only when it runs.
"""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import importlib
import importlib.util
import itertools
import json
import sys
import threading
import time
from typing import Any

SLEEPS = "print(1, flush=True)\nimport time\ntime.sleep(60)"
PROGRAMS = {
    "success": ("print(int(input()) * 2)", "42\n"),
    "wrong": ("print(int(input()) * 3)", "42\n"),
    "runtime error": ("1 / 0", "42\n"),
    "syntax error": ("def f(:", "42\n"),
    "timeout": (SLEEPS, "1\n"),
    "memory": ("x = bytearray(10**9)", ""),
    "2 MB of output": ("print('x' * 2_000_000)", "x" * 2_000_000 + "\n"),
}
MEMORY_MB = 256
RUN_S = 2
SLEEPERS_EVERY = 5
CASES = 100
TOGETHER = 1
"""Checks of that many cases at once, each of which verl gives threads of its own. Of eight, on two
cores, some cases are told 504 three times, which verl makes -1 of: unknown."""
IN_FLIGHT = 256
"""Requests: verl's ``sandbox_fusion.max_concurrent``."""
AT_ONCE = f"{TOGETHER * CASES} cases, {IN_FLIGHT} at once, a fifth sleeps"


def tell(client: str, case: str, made: object) -> None:
    """One line for the program that started this."""
    print(json.dumps({"client": client, "case": case, "made": str(made)}), flush=True)


def with_sandbox_fusion(url: str) -> None:
    """The package's own functions, which raise for ``SandboxError`` and any status but 200."""
    package = importlib.import_module("sandbox_fusion")
    mapping = package.SummaryMapping(
        Success="Success", RunFailed="RunFailed", RunTimeout="RunTimeout"
    )

    def request(code: str) -> Any:
        return package.RunCodeRequest(code=code, language="python", stdin="21", run_timeout=RUN_S)

    for case, (code, expected) in PROGRAMS.items():
        if case == "memory":
            # The package's request has no field for it.
            continue
        answer = package.run_code(request(code), endpoint=url, max_attempts=1)
        again = asyncio.run(package.run_code_async(request(code), endpoint=url, max_attempts=1))
        same = answer.run_result.stdout == again.run_result.stdout
        summary = package.summary_run_code_result(answer, mapping)
        right = answer.run_result.stdout == expected
        tell("sandbox-fusion", case, f"{summary}, {right}, {'same' if same else 'differs'}")
    jupyter = package.RunJupyterRequest(cells=["a = 1", "a + 1", "1 / 0", "print(a)"])
    answer = package.run_jupyter(jupyter, endpoint=url, max_attempts=1)
    second, third, fourth = answer.cells[1:]
    shown = second.display[0]["text/plain"], third.error[0]["ename"], fourth.stdout
    tell("sandbox-fusion", "jupyter", shown)
    files = package.RunCodeRequest(
        code="open('b', 'w').write(open('a').read())",
        language="python",
        files={"a": "YWE="},
        fetch_files=["b"],
    )
    tell("sandbox-fusion", "files", package.run_code(files, endpoint=url, max_attempts=1).files)


def _verl_module(folder: str) -> Any:
    spec = importlib.util.spec_from_file_location("verl_fusion", f"{folder}/utils.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"there is no utils.py in {folder}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def with_verl(url: str, folder: str) -> None:
    """verl's reward module, loaded by itself: its own threads, retries and reading of answers."""
    module = _verl_module(folder)

    def check(code: str, inputs: list[str], outputs: list[str]) -> Any:
        return module.check_correctness(
            f"{url}/run_code",
            {"inputs": inputs, "outputs": outputs},
            code,
            timeout=RUN_S,
            memory_limit_mb=MEMORY_MB,
        )

    for case, (code, expected) in PROGRAMS.items():
        results, metadata = check(code, ["21"], [expected])
        tell("verl", case, f"{results[0]}, {metadata[0]['status']}")


def with_verl_at_once(url: str, folder: str) -> None:
    """Many checks at once, a fifth of whose cases sleep beyond the limit: what was made of them, in
    how many requests, and how long it took."""
    module = _verl_module(folder)
    sent = itertools.count()
    post = module.requests.post

    def counted(*arguments: Any, **named: Any) -> Any:
        next(sent)
        return post(*arguments, **named)

    module.requests.post = counted
    room = threading.Semaphore(IN_FLIGHT)
    code = (
        f"n = int(input())\nif n % {SLEEPERS_EVERY} == 0:\n    import time\n    time.sleep(60)\n"
        "print(n * 2)"
    )
    numbers = range(CASES)
    cases = {"inputs": [str(n) for n in numbers], "outputs": [str(2 * n) for n in numbers]}

    def check(_number: int) -> Any:
        return module.check_correctness(
            f"{url}/run_code",
            cases,
            code,
            timeout=RUN_S,
            memory_limit_mb=MEMORY_MB,
            concurrent_semaphore=room,
        )[0]

    began_s = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(TOGETHER) as threads:
        checked = list(threads.map(check, range(TOGETHER)))
    took_s = time.monotonic() - began_s
    found: collections.Counter[str] = collections.Counter()
    for results in checked:
        found.update(_made_of(n, result) for n, result in zip(numbers, results, strict=True))
    tell("verl", AT_ONCE, json.dumps(dict(sorted(found.items()))))
    count = TOGETHER * CASES
    tell("verl", "requests", f"{next(sent)} for {count} cases")
    tell("verl", "took", f"{took_s:.1f} s, {count / took_s:.0f} cases a second")


def _made_of(n: int, result: object) -> str:
    expected = -3 if n % SLEEPERS_EVERY == 0 else True
    if result is expected or result == expected == -3:
        return "timeout" if expected == -3 else "right"
    return f"{result} instead of {expected}"


if __name__ == "__main__":
    what, url, folder = sys.argv[1:]
    if what == "cases":
        with_sandbox_fusion(url)
        with_verl(url, folder)
    else:
        with_verl_at_once(url, folder)
