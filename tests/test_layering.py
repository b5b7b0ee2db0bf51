"""Who may import what: the direction of dependencies, read from the sources themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CLIENT, SERVICE = ROOT / "client" / "execbox", ROOT / "service" / "execbox_service"
RUNNER = ROOT / "sandbox-image" / "execbox_runner"
HTTP = {SERVICE / "main.py", *(SERVICE / "api").rglob("*.py")}
EXTRA_ONLY = {"fastapi", "starlette", "uvicorn", "docker", "pydantic_settings", "prometheus_client"}


def sources(folder: Path) -> list[Path]:
    """Every module below a folder."""
    return sorted(folder.rglob("*.py"))


def shown(path: Path) -> str:
    """A module as a test's id names it."""
    return str(path.relative_to(ROOT))


def imports(path: Path) -> Iterator[str]:
    """The absolute names of what a module imports, wherever in it."""
    package = path.relative_to(path.parents[len(path.relative_to(ROOT).parts) - 2]).with_suffix("")
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = ".".join(package.parts[: -node.level]) if node.level else ""
            base = ".".join(part for part in (parent, node.module or "") if part)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def roots(path: Path) -> set[str]:
    """The top-level packages that a module imports."""
    return {name.split(".")[0] for name in imports(path)}


def reads_environment(path: Path) -> bool:
    """Whether a module looks at environment variables, in its own code and not in a text."""
    tree = ast.parse(path.read_text("utf-8"))
    return any(
        isinstance(node, ast.Attribute)
        and node.attr in {"environ", "getenv", "environb"}
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        for node in ast.walk(tree)
    )


@pytest.mark.parametrize("path", sources(RUNNER), ids=shown)
def test_runner_imports_nothing_of_ours_and_few_packages(path: Path) -> None:
    """Inside the container there is the standard library, and what the size rule needs."""
    assert not roots(path) & {"execbox", "execbox_service", "httpx", "pydantic", *EXTRA_ONLY}


@pytest.mark.parametrize("path", sources(CLIENT), ids=shown)
def test_client_imports_nothing_of_the_service_but_to_start_it(path: Path) -> None:
    """The base install has no service and none of its packages; ``serve`` and ``doctor`` ask."""
    allowed = {"serve.py", "doctor.py"} if path.parent.name == "cli" else set()
    if path.name not in allowed:
        assert not roots(path) & {"execbox_service", "execbox_runner", *EXTRA_ONLY}


@pytest.mark.parametrize("path", sources(SERVICE), ids=shown)
def test_service_imports_of_the_client_the_schema_only(path: Path) -> None:
    """``execbox.wire`` is shared; everything else of the client is the client's."""
    ours = {
        name
        for name in imports(path)
        if name.split(".")[0] == "execbox" and not name.startswith("execbox.wire")
    }
    assert ours <= {"execbox"}
    assert "execbox_runner" not in roots(path)


@pytest.mark.parametrize("path", sources(SERVICE), ids=shown)
def test_service_uses_docker_in_its_engine_and_fastapi_in_the_http_layer(path: Path) -> None:
    """Packages that may be exchanged are each known in one place."""
    found = roots(path)
    if path.parent != SERVICE / "engines" / "docker" and path != SERVICE / "gate/allowed_bodies.py":
        assert "docker" not in found
    if path not in HTTP:
        assert not found & {"fastapi", "starlette", "uvicorn"}
    if path.name != "settings.py":
        assert "pydantic_settings" not in found


@pytest.mark.parametrize("path", [path for path in sources(SERVICE) if path not in HTTP], ids=shown)
def test_service_without_http_does_not_know_it(path: Path) -> None:
    """Nothing below the HTTP layer imports it."""
    assert not [name for name in imports(path) if name.startswith("execbox_service.api")]


@pytest.mark.parametrize("path", sources(SERVICE / "judge"), ids=shown)
def test_judge_is_pure(path: Path) -> None:
    """Decisions know no sockets, files, loops, engines or clocks."""
    assert not roots(path) & {"asyncio", "os", "socket", "subprocess", "time", "logging", "random"}
    assert not [name for name in imports(path) if name.startswith("execbox_service.engines")]


@pytest.mark.parametrize("path", sources(CLIENT) + sources(SERVICE), ids=shown)
def test_environment_is_read_in_settings_and_client_config_only(path: Path) -> None:
    """Configuration comes from one place on each side."""
    if path not in {SERVICE / "settings.py", CLIENT / "config.py"}:
        assert not reads_environment(path)


@pytest.mark.parametrize("path", sources(CLIENT), ids=shown)
def test_httpx_is_known_where_the_network_is(path: Path) -> None:
    """Two modules speak HTTP, to the service and to a model, over what two more set up."""
    senders = {"_transport.py", "_model_endpoint.py", "_connections.py", "_route.py"}
    if path not in {CLIENT / name for name in senders}:
        assert "httpx" not in roots(path)


@pytest.mark.parametrize("path", sources(CLIENT / "dataset"), ids=shown)
def test_dataset_steps_know_no_network(path: Path) -> None:
    """The steps of a dataset are given a client; they do not make one."""
    assert not roots(path) & {"httpx", "socket", "urllib"}


def test_rules_above_find_what_they_look_for() -> None:
    """The readers of imports see relative, nested and aliased imports."""
    assert "docker" in roots(SERVICE / "engines" / "docker" / "engine.py")
    assert "execbox_service.engines.base" in set(imports(SERVICE / "sandboxes" / "pool.py"))
    assert "execbox_runner.confine" in set(imports(RUNNER / "execution.py"))
    assert reads_environment(CLIENT / "config.py")
