"""Who may import what, read from the sources: the floors of the service and what lies beside it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
CLIENT, SERVICE = ROOT / "client" / "execbox", ROOT / "service" / "execbox_service"
RUNNER = ROOT / "sandbox-image" / "execbox_runner"

FLOORS: Final = (
    {"main", "doctor", "image_build"},
    {"workers"},
    {"api", "runtime"},
    {"operations"},
    {"metrics"},
    {"scheduling"},
    {"sandboxes"},
    {"gate"},
    {"engines"},
    {"answers", "judge"},
    {"durations", "failures", "json_steps", "runner_frames", "settings", "strict_json"},
)
"""Rooms of the service, top to bottom: folders, and the modules that lie in none. A room imports
what is below its floor, and nothing beside it or above."""
GATE_MAY_IMPORT: Final = {"engines", "settings", "strict_json"}

EXTRA_ONLY: Final = {
    *("fastapi", "starlette", "uvicorn", "docker", "pydantic_settings", "prometheus_client"),
}
"""Packages that the base install does not have."""
PACKAGE_HOMES: Final = {
    "docker": ("engines/docker/*.py", "gate/allowed_bodies.py"),
    "fastapi": ("api/*.py", "api/compat/*.py", "api/page/*.py", "main.py"),
    "starlette": ("api/*.py", "api/compat/*.py", "api/page/*.py", "main.py"),
    "uvicorn": ("api/*.py", "main.py", "workers/worker.py"),
    "pydantic_settings": ("settings/*.py",),
    "prometheus_client": (
        *("metrics.py", "durations.py", "api/*.py", "api/page/*.py"),
        *("workers/front.py", "workers/metric_sums.py"),
    ),
    "httpx": (),
}
"""Where in the service each package that may be exchanged is known."""
OTHER_PROJECTS: Final = {
    *("PIL", "inspect_ai", "mcp", "pyarrow", "ray", "smolagents", "trl", "verl"),
}
PROJECT_OF: Final = {"PIL": "smolagents"}
"""Packages that come with a project's own."""
IMPURE: Final = {"asyncio", "os", "socket", "subprocess", "time", "logging", "random", "threading"}
NETWORK: Final = {"httpx", "httpcore", "socket", "urllib", "http"}


@cache
def parsed(path: Path) -> ast.Module:
    """A module's syntax tree, read once for all rules."""
    return ast.parse(path.read_text("utf-8"))


def sources(*folders: Path) -> list[Path]:
    """Every module below some folders."""
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def dotted(path: Path, *, root: Path) -> str:
    """A module's name, where ``root`` is the folder of its top-level package."""
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, *, root: Path = ROOT) -> set[str]:
    """The absolute names of what a module imports, wherever in it."""
    package = path.relative_to(root).parts[:-1]
    found: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*parents, *filter(None, [node.module])))
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


def packages(path: Path) -> set[str]:
    """The top-level packages that a module imports."""
    return {name.partition(".")[0] for name in imports(path)}


def refuse(paths: Iterable[Path], forbidden: Callable[[Path], Iterable[str]]) -> None:
    """Fail with every module in which something is forbidden, and what."""
    found = [f"{path.relative_to(ROOT)}: {what}" for path in paths for what in forbidden(path)]
    if found:
        pytest.fail("\n".join(sorted(found)), pytrace=False)


def room_of(path: Path) -> str:
    """The folder of the service that a module lies in, or the module itself beside the folders."""
    return path.relative_to(SERVICE).parts[0].removesuffix(".py")


def rooms_imported(path: Path) -> set[str]:
    """The rooms of the service that a module knows, its own included."""
    names = (name.split(".") for name in imports(path, root=SERVICE.parent))
    return {parts[1] for parts in names if parts[0] == "execbox_service" and len(parts) > 1}


def names_read(path: Path) -> set[str]:
    """What a module's own code names, as ``name`` or ``module.name``; what is in a text is not."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.add(f"{node.value.id}.{node.attr}")
    return found


def circle_between(root: Path, *, room: Callable[[str], str]) -> list[str]:
    """A circle of imports between the rooms of a package, if there is one."""
    modules = {dotted(path, root=root): path for path in sources(root)}
    # The package itself names what it exports; its modules do not need it for that.
    del modules[root.name]
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        targets = {room(target) for target in imports(path, root=root.parent) & modules.keys()}
        graph.setdefault(room(name), set()).update(targets - {room(name)})
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_runner_imports_nothing_of_ours_and_few_packages() -> None:
    """Inside the container there is the standard library, and what the size rule needs."""
    forbidden = {"execbox", "execbox_service", "httpx", "pydantic", *EXTRA_ONLY}
    refuse(sources(RUNNER), lambda path: packages(path) & forbidden)


def test_client_imports_nothing_of_the_service_but_to_start_it() -> None:
    """The base install has no service and none of its packages; these commands ask."""
    asking = {CLIENT / "cli" / f"{name}.py" for name in ("serve", "doctor", "image")}
    forbidden = {"execbox_service", "execbox_runner", *EXTRA_ONLY}
    others = [path for path in sources(CLIENT) if path not in asking]
    refuse(others, lambda path: packages(path) & forbidden)


def test_service_imports_of_the_client_the_schema_and_strict_json_only() -> None:
    """These two are shared; everything else of the client is the client's."""

    def forbidden(path: Path) -> set[str]:
        return {
            name
            for name in imports(path)
            if name.startswith(("execbox.", "execbox_runner"))
            and not name.startswith(("execbox.wire", "execbox.strict_json"))
        }

    refuse(sources(SERVICE), forbidden)


def test_service_floors_import_downward_only() -> None:
    """A module imports rooms of lower floors and its own, so nothing below HTTP knows HTTP."""
    floor_of = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

    def upward(path: Path) -> set[str]:
        room = room_of(path)
        others = rooms_imported(path) - {room}
        return {f"imports {other}" for other in others if floor_of[other] <= floor_of[room]}

    refuse(sources(SERVICE), upward)


def test_service_rooms_each_have_a_floor() -> None:
    """A new folder, or a module beside the folders, is given its floor here."""
    rooms = {room_of(path) for path in sources(SERVICE)} - {"__init__"}
    assert rooms <= set().union(*FLOORS)


@pytest.mark.parametrize("root", [SERVICE, CLIENT], ids=lambda root: root.name)
def test_folders_import_one_another_in_no_circle(root: Path) -> None:
    """Counted between rooms; of the client's ``dataset``, each folder is one."""

    def room(name: str) -> str:
        parts = name.split(".")
        return ".".join(parts[: 3 if parts[1] == "dataset" else 2])

    assert circle_between(root, room=room) == []


def test_engines_do_not_know_each_other() -> None:
    """What Docker and bubblewrap have in common lies above their two folders."""
    engines = {"docker", "bubblewrap"}

    def others(path: Path) -> list[str]:
        (own,) = engines & {path.parent.name}
        return [
            name
            for name in imports(path)
            for other in engines - {own}
            if name.startswith(f"execbox_service.engines.{other}")
        ]

    folders = [SERVICE / "engines" / name for name in engines]
    refuse(sources(*folders), others)


def test_gate_stands_beside_the_engines_alone() -> None:
    """The gate trusts the engine's own options and imports little else; nobody imports it."""

    def forbidden(path: Path) -> set[str]:
        if room_of(path) == "gate":
            return rooms_imported(path) - GATE_MAY_IMPORT - {"gate"}
        return rooms_imported(path) & {"gate"}

    refuse(sources(SERVICE), forbidden)


def test_judge_and_answers_are_pure() -> None:
    """Decisions and reading model text know no sockets, files, loops, engines or clocks."""
    folders = (SERVICE / "judge", SERVICE / "answers")
    refuse(sources(*folders), lambda path: packages(path) & IMPURE)


def test_packages_that_may_be_exchanged_are_each_known_in_one_place() -> None:
    """``docker`` in its engine, ``fastapi`` in the HTTP layer, ``httpx`` where the client speaks
    to the service or to a model."""

    def outside(path: Path) -> set[str]:
        at = path.relative_to(SERVICE)
        return {
            name
            for name, homes in PACKAGE_HOMES.items()
            if name in packages(path) and not any(at.match(home) for home in homes)
        }

    refuse(sources(SERVICE), outside)
    senders = (
        *("_transport.py", "_transport_errors.py", "_http.py", "_connections.py", "_route.py"),
        "_model_endpoint.py",
    )
    speaking = {CLIENT / name for name in senders}
    others = [path for path in sources(CLIENT) if path not in speaking]
    refuse(others, lambda path: packages(path) & {"httpx", "httpcore"})


def test_other_projects_packages_are_imported_in_their_integration_only() -> None:
    """Whoever has none of them installed imports everything else; and nothing else of the client
    needs an integration: the command that serves one asks for it by name."""
    integrations = CLIENT / "integrations"

    def foreign(path: Path) -> set[str]:
        found = packages(path) & OTHER_PROJECTS
        if path.parent == integrations:
            return {name for name in found if PROJECT_OF.get(name, name) not in path.stem}
        if path.parent == CLIENT / "ray":
            return found - {"pyarrow", "ray"}
        if path.name == "parquet.py":
            return found - {"pyarrow"}
        asked = ("execbox.integrations", "execbox.ray")
        return found | {name for name in imports(path) if name.startswith(asked)}

    refuse(sources(CLIENT, SERVICE), foreign)


def test_dataset_steps_know_no_network() -> None:
    """The steps of a dataset are given a client; they do not make one."""
    refuse(sources(CLIENT / "dataset"), lambda path: packages(path) & NETWORK)


def test_environment_is_read_in_settings_and_client_config_only() -> None:
    """Configuration comes from one place on each side."""
    reading = {SERVICE / "settings" / "reading.py", CLIENT / "config.py"}
    forbidden = {"os.environ", "os.getenv", "os.environb"}
    others = [path for path in sources(CLIENT, SERVICE) if path not in reading]
    refuse(others, lambda path: names_read(path) & forbidden)


def test_client_prints_in_its_command_only() -> None:
    """A library that prints spoils the output of the program that uses it."""
    others = [path for path in sources(CLIENT) if CLIENT / "cli" not in path.parents]
    refuse(others, lambda path: names_read(path) & {"print"})


def test_programs_beside_the_product_import_in_one_direction() -> None:
    """``harness`` is what tests, benchmarks and acceptance runs share and knows none of them;
    these know each other only where tests test them, in folders of the same names."""
    forbidden_in = {
        "harness": {"tests", "benchmarks", "acceptance", "examples"},
        "benchmarks": {"tests", "acceptance", "examples"},
        "acceptance": {"tests", "benchmarks", "examples"},
        "examples": {"tests", "benchmarks", "acceptance"},
        "client": {"tests", "benchmarks", "acceptance", "examples", "harness"},
        "service": {"tests", "benchmarks", "acceptance", "examples", "harness"},
        "tests": {"benchmarks", "acceptance", "examples"},
    }

    def forbidden(path: Path) -> set[str]:
        top, below = path.relative_to(ROOT).parts[:2]
        allowed = {below} if top == "tests" else set()
        return packages(path) & (forbidden_in[top] - allowed)

    refuse(sources(*(ROOT / name for name in forbidden_in)), forbidden)


def test_rules_above_find_what_they_look_for(tmp_path: Path) -> None:
    """Plain, relative, nested and aliased imports are seen; texts are not; a circle is named."""
    package = tmp_path / "package"
    for name, text in {
        "__init__.py": "",
        "one/__init__.py": "",
        "one/a.py": "import docker.errors as e\ndef f():\n    from ..two import b\n",
        "two/__init__.py": "",
        "two/b.py": "from package.one import a\nT = 'os.environ'\n",
        "two/c.py": "import os\nprint(os.environ)\n",
    }.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert imports(package / "one/a.py", root=tmp_path) >= {"docker.errors", "package.two.b"}
    assert "os.environ" not in names_read(package / "two/b.py")
    assert {"os.environ", "print"} <= names_read(package / "two/c.py")
    circle = circle_between(package, room=lambda name: name.split(".")[1])
    assert set(circle) == {"one", "two"}
    with pytest.raises(pytest.fail.Exception) as failure:
        refuse([SERVICE / "main.py", SERVICE / "doctor.py"], lambda path: ["b", "a"])
    assert [line.rpartition("/")[2] for line in str(failure.value).splitlines()] == [
        *("doctor.py: a", "doctor.py: b", "main.py: a", "main.py: b")
    ]
