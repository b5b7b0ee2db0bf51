"""Print, as JSON, which Python packages an image holds and which names import them.

Run while the sandbox image is built, with the directory the packages were
installed into as its only argument. Standard library only. The output is the
image's /usr/lib/execbox/packages.json:

    {"python": "3.11.2",
     "packages": {"python-dateutil": "2.9.0", ...},
     "imports": {"dateutil": "python-dateutil", ...},
     "languages": ["python"]}

Names that begin with an underscore are private to their package and left out. Images with more
languages add them (add_languages.py).
"""

import json
import platform
import sys
from importlib.metadata import Distribution, distributions
from pathlib import PurePosixPath


def import_names(distribution: Distribution) -> set[str]:
    """The public top-level names a distribution's installed files can be imported by."""
    names = set()
    for file in distribution.files or []:
        path = PurePosixPath(file)
        top = path.parts[0]
        if len(path.parts) == 1:
            # A module of a single file: name.py, or name.cpython-311-x86_64-linux-gnu.so.
            if path.suffix not in {".py", ".so"}:
                continue
            top = path.name.partition(".")[0]
        elif path.name != "__init__.py" or len(path.parts) != 2:
            continue
        if top.isidentifier() and not top.startswith("_"):
            names.add(top)
    return names


def describe(directory: str) -> dict[str, object]:
    """What is installed in a directory, in the form packages.json has."""
    packages: dict[str, str] = {}
    imports: dict[str, str] = {}
    for distribution in distributions(path=[directory]):
        name = distribution.metadata["Name"]
        packages[name] = distribution.version
        for import_name in import_names(distribution):
            other = imports.setdefault(import_name, name)
            if other != name:
                raise SystemExit(f"{import_name!r} is provided by both {other} and {name}")
    return {
        "python": platform.python_version(),
        "packages": dict(sorted(packages.items())),
        "imports": dict(sorted(imports.items())),
        "languages": ["python"],
    }


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(f"usage: {sys.argv[0]} DIRECTORY")
    json.dump(describe(sys.argv[1]), sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
