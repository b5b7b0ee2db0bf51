"""Other projects' own clients against a service, one case after the other: a line of JSON for each.

Run by ``acceptance.contracts`` with the interpreter of an environment that has them, not ours:
``python contract_clients.py URL FOLDER``, where FOLDER holds what of verl is loaded. It imports
nothing of execbox, and of the clients what it is told to only when it runs.
"""

from __future__ import annotations

import asyncio
import collections
import importlib
import importlib.util
import json
import sys
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
MANY = 100


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


def with_verl(url: str, folder: str) -> None:
    """verl's reward module, loaded by itself: its own threads, retries and reading of answers."""
    spec = importlib.util.spec_from_file_location("verl_fusion", f"{folder}/utils.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"there is no utils.py in {folder}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

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
    code = f"n = int(input())\nif n % {SLEEPERS_EVERY} == 0:\n    import time\n    time.sleep(60)\n"
    inputs = [str(n) for n in range(MANY)]
    began_s = time.monotonic()
    results, _ = check(f"{code}print(n * 2)", inputs, [str(2 * n) for n in range(MANY)])
    found = dict(sorted(collections.Counter(map(str, results)).items()))
    took_s = time.monotonic() - began_s
    tell("verl", "100 at once, 20 sleep", json.dumps(found))
    tell("verl", "took", f"{took_s:.1f} s")


if __name__ == "__main__":
    with_sandbox_fusion(sys.argv[1])
    with_verl(sys.argv[1], sys.argv[2])
