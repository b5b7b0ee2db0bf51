from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import execbox

PACKAGE = Path(execbox.__file__).parent


@pytest.mark.parametrize("module", ["execbox", "execbox.cli"])
def test_import_of_the_client_loads_nothing_of_the_service(module: str) -> None:
    """The client works, and starts quickly, where only httpx and pydantic are installed."""
    program = f"""
import sys, {module}
for name in ("fastapi", "uvicorn", "docker", "pydantic_settings", "execbox_service",
             "execbox.integrations", "mcp", "smolagents"):
    assert name not in sys.modules, name
assert "httpx" in sys.modules
"""
    path = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", path + program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_public_names_all_exist() -> None:
    """Everything __all__ promises can be had, the version included."""
    for name in execbox.__all__:
        assert getattr(execbox, name) is not None
    assert execbox.__version__[0].isdigit()
    with pytest.raises(AttributeError, match="no_such_name"):
        execbox.no_such_name  # noqa: B018
