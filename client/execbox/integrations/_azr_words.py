"""What Absolute Zero's executor would have said: the last line of a traceback; and what it bans.

Pure text: nothing is sent here.
"""

from __future__ import annotations

from execbox import wire
from execbox.errors import ExecboxError

__all__ = ["BANNED", "refused", "refused_execution", "status_of"]

# Runs in a sandbox. Where a source cannot be parsed, its words are looked at, as there.
BANNED = """
import ast
import re

STATEMENTS = {"assert": ast.Assert, "raise": ast.Raise, "try": ast.Try, "except": ast.ExceptHandler}

def imported(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or "", *(alias.name for alias in node.names)]
    return []

def has_banned(code, modules, statements):
    try:
        nodes = list(ast.walk(ast.parse(code)))
    except SyntaxError:
        return any(re.search(rf"\\b{re.escape(name)}\\b", code) for name in modules)
    kinds = tuple(STATEMENTS[name] for name in statements if name in STATEMENTS)
    parts = {part for node in nodes for name in imported(node) for part in name.split(".")}
    return bool(parts & set(modules)) or any(isinstance(node, kinds) for node in nodes)
"""


def status_of(ended: wire.Execution | wire.ProgramRun, limits: wire.Limits) -> str:
    """What went wrong, in one line that has ``Error`` in it wherever Python's would."""
    status = ended.status.value
    if status == "timeout":
        return "Timeout Error"
    if status == "memory_exceeded":
        return f"MemoryError: more than {limits.memory_mb} MB"
    if ended.error is not None:
        message = ended.error.message
        return f"{ended.error.type}: {message}" if message else ended.error.type
    ending = f" by {ended.signal}" if ended.signal else f" with exit code {ended.exit_code}"
    return f"Error: {status}, ended{ending}"


def refused(error: ExecboxError) -> str:
    """The status of code that cannot be sent."""
    return f"SyntaxError: {error}"


def refused_execution(error: ExecboxError) -> wire.Execution:
    """An execution of code that cannot be sent."""
    described = wire.ExecutionError(type="SyntaxError", message=str(error))
    return wire.Execution(status=wire.Status.INVALID_CODE, error=described)
