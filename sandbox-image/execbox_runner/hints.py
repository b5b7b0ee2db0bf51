"""Static hints: which lines read something that can differ from run to run.

They explain a result of the determinism check and never decide one. Run inside a job process,
because a source can be made to blow up its parser.
"""

from __future__ import annotations

import ast
from typing import Any

from . import source_text

_HINTS_MAX = 20
_MODULES = {
    "random": "entropy",
    "secrets": "entropy",
    "uuid": "entropy",
    "time": "clock or timing",
    "timeit": "timing",
    "threading": "timing",
    "concurrent": "timing",
    "multiprocessing": "timing",
    "asyncio": "timing",
    "tempfile": "entropy",
    "socket": "process_state",
    "platform": "process_state",
    "locale": "process_state",
}
_ATTRIBUTES = {
    "now": "clock",
    "utcnow": "clock",
    "today": "clock",
    "urandom": "entropy",
    "rvs": "entropy",
    "default_rng": "entropy",
    "getpid": "process_state",
    "getcwd": "process_state",
    "environ": "process_state",
    "getenv": "process_state",
    "listdir": "process_state",
    "scandir": "process_state",
    "iterdir": "process_state",
    "gethostname": "process_state",
    "uname": "process_state",
    "cpu_count": "process_state",
    "perf_counter": "timing",
    "monotonic": "timing",
    "process_time": "timing",
}
_CALLS = {
    "id": "process_state",
    "hash": "hash_seed",
    "set": "hash_seed",
    "frozenset": "hash_seed",
    "object": "process_state",
}


def find(source: str) -> list[dict[str, Any]]:
    """Lines that name a known source of change, in the order of lines, at most 20."""
    found: dict[tuple[int, str], str] = {}
    for node in ast.walk(ast.parse(source_text.without_mark(source))):
        name, reads = _look(node)
        if name:
            found.setdefault((getattr(node, "lineno", 0), name), reads)
    ordered = sorted(found.items())[:_HINTS_MAX]
    return [{"line": line, "name": name[:60], "reads": reads} for (line, name), reads in ordered]


def _look(node: ast.AST) -> tuple[str, str]:
    match node:
        case ast.Attribute(value=ast.Name(id=module), attr=attribute) if module in _MODULES:
            return f"{module}.{attribute}", _MODULES[module]
        case ast.Attribute(value=ast.Attribute(attr="random"), attr=attribute):
            return f"random.{attribute}", "entropy"
        case ast.Import(names=names) if any(alias.name == "numpy.random" for alias in names):
            return "import numpy.random", "entropy"
        case ast.Attribute(attr=attribute) if attribute in _ATTRIBUTES:
            return attribute, _ATTRIBUTES[attribute]
        case ast.ImportFrom(module=module) if module and module.split(".")[0] in _MODULES:
            return f"from {module}", _MODULES[module.split(".")[0]]
        case ast.Call(func=ast.Name(id=name)) if name in _CALLS:
            return f"{name}()", _CALLS[name]
        case ast.Set():
            return "{…}", "hash_seed"
    return "", ""
