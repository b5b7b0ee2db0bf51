from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import execbox

PACKAGE = Path(execbox.__file__).parent
SENDERS = {"_transport.py", "_model_endpoint.py", "_connections.py", "_route.py"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported_by(path: Path) -> set[str]:
    """Top-level names of everything ``path`` imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("module", ["execbox", "execbox.cli"])
def test_import_of_the_client_loads_nothing_of_the_service(module: str) -> None:
    """The client works, and starts quickly, where only httpx and pydantic are installed."""
    program = f"""
import sys, {module}
for name in ("fastapi", "uvicorn", "docker", "pydantic_settings", "execbox_service"):
    assert name not in sys.modules, name
assert "httpx" in sys.modules
"""
    path = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", path + program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_imports_only_what_its_place_permits(module: Path) -> None:
    """httpx only where requests are sent, nothing of the service anywhere."""
    forbidden = {"fastapi", "docker", "execbox_service", "execbox_runner"}
    if module.name not in SENDERS:
        forbidden |= {"httpx", "httpcore"}
    assert imported_by(module).isdisjoint(forbidden)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_reads_environment_and_prints_only_where_it_may(module: Path) -> None:
    """os.environ belongs to config.py, print to cli/."""
    source = module.read_text()
    assert ("os.environ" in source or "getenv" in source) == (module.name == "config.py")
    if module.parent.name != "cli":
        assert "print(" not in source


def test_public_names_all_exist() -> None:
    """Everything __all__ promises can be had, the version included."""
    for name in execbox.__all__:
        assert getattr(execbox, name) is not None
    assert execbox.__version__[0].isdigit()
    with pytest.raises(AttributeError, match="no_such_name"):
        execbox.no_such_name  # noqa: B018
