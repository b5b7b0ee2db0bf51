"""Clients that no package index has, out of checkouts of their projects: a line of JSON a case.

Run by ``acceptance.contracts`` with the interpreter of an environment, not ours: ``python
checkout_clients.py URL FOLDER``, where FOLDER has checkouts by the names of ``CLIENTS``; those that
are not there are passed over. The projects' modules ask for everything that training needs, so
their clients' classes are taken out of them, with whichever of the imports work here.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import json
import logging
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

DOUBLE = "def double(n):\n    return 2 * n\n"
PROGRAM = "print(int(input()) * 2)"
ENDLESS = "while True: pass"


def taken(path: Path, *names: str) -> dict[str, Any]:
    """These definitions of a module, in their order there, and those imports that work."""
    tree = ast.parse(path.read_text("utf-8"))
    found: dict[str, Any] = {"LOG": logging.getLogger(path.stem), "__name__": path.stem}
    found["logger"] = found["LOG"]
    # Where dataclasses look for the names of a class's module.
    sys.modules[path.stem] = types.ModuleType(path.stem)
    for node in tree.body:
        is_import = isinstance(node, (ast.Import, ast.ImportFrom))
        if not (is_import or getattr(node, "name", None) in names):
            continue
        try:
            # The reader's own checkout, which the reader asked for.
            exec(compile(ast.Module([node], []), str(path), "exec"), found)
        except ImportError:
            if not is_import:
                raise
    return found


def open_instruct(url: str, checkout: Path) -> Iterator[tuple[str, object]]:
    """Its verifier's score of a completion."""
    classes = ("VerifierConfig", "CodeVerifierConfig", "VerificationResult", "VerifierFunction")
    module = taken(checkout / "open_instruct" / "ground_truth_utils.py", *classes, "CodeVerifier")

    def score(path: str, code: str, tests: list[Any]) -> float:
        config = module["CodeVerifierConfig"](f"{url}{path}", 1.0, 0.0, False)
        verifier = module["CodeVerifier"](config)
        completion = f"So:\n```python\n{code}\n```\n"
        return float(asyncio.run(verifier.async_call([], completion, tests)).score)

    asserts = ["assert double(1) == 2", "assert double(2) == 4"]
    yield "asserts, right", score("/test_program", DOUBLE, asserts)
    yield "asserts, half", score("/test_program", DOUBLE, [asserts[0], "assert double(1) == 3"])
    yield "asserts, endless", score("/test_program", DOUBLE + ENDLESS, asserts)
    yield "asserts, ends itself", score("/test_program", f"{DOUBLE}raise SystemExit", asserts)
    stdio = [{"input": "1", "output": "2"}, {"input": "2", "output": "4.0"}]
    yield "stdio, right", score("/test_program_stdio", PROGRAM, stdio)
    yield "stdio, wrong", score("/test_program_stdio", "print(3)", stdio)


def nemo_skills(url: str, checkout: Path) -> Iterator[tuple[str, object]]:
    """What its sandbox class returns."""
    path = checkout / "nemo_skills" / "code_execution" / "sandbox.py"
    module = taken(path, "Sandbox", "LocalSandbox")
    parts = urlsplit(url)
    host = parts.netloc.rpartition(":")[0]

    async def told() -> list[tuple[str, object]]:
        sandbox = module["LocalSandbox"](host=host, port=str(parts.port))

        async def ran(code: str, **named: Any) -> str:
            output, _ = await sandbox.execute_code(code, **named)
            last = (output["stderr"].strip().splitlines() or [""])[-1]
            return f"{output['process_status']}, {output['stdout']!r}, {last!r}"

        found: list[tuple[str, object]] = [
            ("program", await ran(PROGRAM, std_input="4", language="python")),
            ("program, raises", await ran("1 / 0", language="python")),
            ("program, endless", await ran(ENDLESS, language="python", timeout=1.0)),
            ("cell", await ran("a = 20", session_id="mine")),
            ("next cell", await ran("a + 1", session_id="mine")),
            ("cell, raises", await ran("1 / 0", session_id="mine", traceback_verbosity="minimal")),
        ]
        await sandbox.delete_session("mine")
        # What it cannot run again, it runs in a session that is new.
        after = await ran("a", session_id="mine", traceback_verbosity="minimal")
        found.append(("after its end", after))
        await sandbox.delete_session("mine")
        await sandbox.close()
        return found

    yield from asyncio.run(told())


def code_judge(url: str, checkout: Path) -> Iterator[tuple[str, object]]:
    """What its client makes of a batch, in processes of its own."""
    sys.path.insert(0, str(checkout))
    module = importlib.import_module("judge_client")
    solutions = [PROGRAM, "print(5)", "1 / 0", ENDLESS]
    asked = [module.Submission(None, "python", each, "2", "4") for each in solutions]
    results = module.JudgeClient(url, max_workers=2).judge(asked)
    for name, result in zip(("right", "wrong", "raises", "endless"), results, strict=True):
        yield name, f"{result.success}, {result.run_success}, {result.reason!r}"
    status = module.JudgeClient(url).get_status()
    yield "status", f"{status.queue} waiting"


def skyrl(url: str, checkout: Path) -> Iterator[tuple[str, object]]:
    """What its verifier's function returns."""
    package = types.ModuleType("coder1")
    folder = checkout / "skyrl-agent" / "skyrl_agent" / "tasks" / "verifiers" / "coder1"
    package.__path__ = [str(folder)]
    sys.modules["coder1"] = package
    run = importlib.import_module("coder1.sandboxfusion_exec").code_exec_sandboxfusion
    # It adds ":8080/run_code" to a server's name, which is a query here.
    server = f"{url.removeprefix('http://')}/run_code?"

    def ran(code: str, **named: Any) -> str:
        passed, output = run(code, sandbox_servers=server, **named)
        return f"{passed}, {output.strip().splitlines()[-1]!r}"

    yield "success", ran(PROGRAM, stdin="4", timeout=3)
    yield "runtime error", ran("1 / 0", timeout=3)
    yield "timeout", ran(f"print(1, flush=True)\n{ENDLESS}", timeout=1).split(",")[0]


CLIENTS: dict[str, Callable[[str, Path], Iterator[tuple[str, object]]]] = {
    "open-instruct": open_instruct,
    "NeMo-Skills": nemo_skills,
    "code-judge": code_judge,
    "SkyRL": skyrl,
}

if __name__ == "__main__":
    for client, cases in CLIENTS.items():
        there = Path(sys.argv[2]) / client
        for case, made in cases(sys.argv[1], there) if there.is_dir() else ():
            print(json.dumps({"client": client, "case": case, "made": str(made)}), flush=True)
