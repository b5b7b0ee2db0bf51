"""``python -m acceptance.integrations``: each integration with its project's own package.

Makes a virtual environment for each project that is too heavy for every test run, installs its
package and this checkout there, and runs the project's tests in it; ends with a table of project by
case. The tests are those of ``tests/integrations``, which pass over a package that is missing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as Xml

from harness.report import table

_ROOT = Path(__file__).resolve().parents[1]
_TESTING = ("hypothesis", "psutil", "pytest", "pytest-asyncio", "pytest-timeout", "pytest-xdist")


@dataclass(frozen=True, slots=True)
class Project:
    """What is installed for a project, and of that without what it asks for itself."""

    name: str
    packages: tuple[str, ...]
    bare: tuple[str, ...] = ()


_PROJECTS = (
    Project("smolagents", ("smolagents",)),
    Project("mcp", ("mcp",)),
    Project("inspect_ai", ("inspect_ai",)),
    # Its tools need few of the packages that training does, torch among them.
    Project("verl", ("omegaconf", "ray", "transformers", "jinja2"), bare=("verl",)),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One test, and how it ended."""

    project: str
    version: str
    name: str
    outcome: str


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is asked for; 1 where a test failed or was passed over."""
    parser = argparse.ArgumentParser(prog="python -m acceptance.integrations", description=__doc__)
    names = [project.name for project in _PROJECTS]
    parser.add_argument("projects", nargs="*", metavar="PROJECT", help=f"of {', '.join(names)}")
    parser.add_argument(
        "--venvs", type=Path, metavar="FOLDER", help="keep the environments here, and use them"
    )
    args = parser.parse_args(argv)
    unknown = sorted(set(args.projects) - set(names))
    if unknown:
        parser.error(f"no such project: {', '.join(unknown)}; there are {', '.join(names)}")
    wanted = [each for each in _PROJECTS if not args.projects or each.name in args.projects]
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.venvs or Path(temporary)
        cases = [case for project in wanted for case in _cases(project, folder / project.name)]
    rows = [[case.project, case.version, case.name, case.outcome] for case in cases]
    print(table(["project", "version", "case", "outcome"], rows))
    bad = sum(case.outcome != "passed" for case in cases)
    print(f"{len(cases)} cases, {bad} not passed")
    return 1 if bad or not cases else 0


def _cases(project: Project, venv: Path) -> list[Case]:
    python = _environment(project, venv)
    version = _version(python, project.name)
    report = venv / "cases.xml"
    report.unlink(missing_ok=True)
    test_file = f"tests/integrations/test_{project.name}.py"
    run = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", test_file],
        cwd=_ROOT,
        check=False,
    )
    if not report.exists():
        return [Case(project.name, version, test_file, f"pytest ended with {run.returncode}")]
    # Written by pytest, of our own tests.
    found = list(Xml.parse(report).iter("testcase"))
    return [Case(project.name, version, _name(each), _outcome(each)) for each in found] or [
        Case(project.name, version, test_file, "has no cases")
    ]


def _environment(project: Project, venv: Path) -> Path:
    python = venv / "bin" / "python"
    if python.exists():
        return python
    print(f"{project.name}: making {venv}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    checkout = ["--editable", f"{_ROOT}[service]"]
    subprocess.run([*pip, *project.packages, *_TESTING, *checkout], check=True)
    if project.bare:
        subprocess.run([*pip, "--no-deps", *project.bare], check=True)
    return python


def _version(python: Path, name: str) -> str:
    asked = f"import importlib.metadata as m; print(m.version({name!r}))"
    run = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=False)
    return run.stdout.strip() or "none"


def _name(case: Xml.Element) -> str:
    return str(case.get("name")).removeprefix("test_")[:100]


def _outcome(case: Xml.Element) -> str:
    for tag in ("failure", "error", "skipped"):
        if case.find(tag) is not None:
            return tag
    return "passed"


if __name__ == "__main__":
    sys.exit(main())
