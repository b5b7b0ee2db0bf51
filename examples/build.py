"""Builds functions.jsonl from the folders under functions/; it runs none of the code in them.

Each folder holds solution.py, input_generator.py and record.json (the two texts and the meta
data). They are joined, in the order of the folders' names, into one JSON object a line, in the
record shape of the CodeI/O repository. With --check nothing is written: the exit status is 1 if
functions.jsonl is not what the folders give.
"""

import argparse
import ast
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "functions"
TARGET = HERE / "functions.jsonl"

ENTRY_POINT = "main_solution"
GENERATOR = "input_generator"
EXPECTATIONS = {
    "deterministic",
    "non_deterministic",
    "timeout",
    "memory_exceeded",
    "unserializable",
}
CAUSES = {"entropy", "hash_seed", "clock"}


class SourceError(Exception):
    """A folder that does not hold a usable function; the message names it and says why."""


def read_source(path: Path, entry_point: str) -> str:
    """Return the code of a file, once it is seen to parse and to define its entry point."""
    code = path.read_text(encoding="utf-8")
    try:
        statements = ast.parse(code).body
    except SyntaxError as error:
        raise SourceError(f"{path.parent.name}/{path.name}: {error}") from error
    if not any(isinstance(s, ast.FunctionDef) and s.name == entry_point for s in statements):
        raise SourceError(f"{path.parent.name}/{path.name} does not define {entry_point}")
    return code


def check_meta(folder: str, meta: dict[str, Any]) -> None:
    """Refuse labels that name another folder, an unknown outcome, or a cause without need."""
    if meta.get("name") != folder:
        raise SourceError(f"{folder}: meta.name is {meta.get('name')!r}, not the folder's name")
    if meta.get("expect") not in EXPECTATIONS:
        raise SourceError(f"{folder}: meta.expect is {meta.get('expect')!r}")
    wanted = CAUSES if meta["expect"] == "non_deterministic" else {None}
    if meta.get("cause") not in wanted:
        raise SourceError(f"{folder}: meta.cause {meta.get('cause')!r} does not go with expect")


def build_record(folder: Path) -> dict[str, Any]:
    """Join the three files of one folder into a record, its keys in the order of CodeI/O."""
    try:
        record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
        check_meta(folder.name, record["meta"])
        return {
            "problem_description": record["problem_description"],
            "io_requirements": record["io_requirements"],
            "refcode": read_source(folder / "solution.py", ENTRY_POINT),
            "funcname": ENTRY_POINT,
            "input_generator": read_source(folder / "input_generator.py", GENERATOR),
            "meta": record["meta"],
        }
    except (FileNotFoundError, json.JSONDecodeError) as error:
        raise SourceError(f"{folder.name}: {error}") from error
    except KeyError as error:
        raise SourceError(f"{folder.name}: record.json has no {error}") from error


def render(sources: Path) -> str:
    """Return the text that functions.jsonl must have: a line for each folder, sorted by name."""
    folders = sorted(path for path in sources.iterdir() if path.is_dir())
    return "".join(json.dumps(build_record(folder)) + "\n" for folder in folders)


def main(argv: Sequence[str] | None = None) -> int:
    """Write functions.jsonl, or with --check compare it; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.build", description="Build functions.jsonl from functions/."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    arguments = parser.parse_args(argv)
    try:
        text = render(SOURCES)
    except SourceError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    if arguments.check:
        current = TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""
        if current != text:
            print("functions.jsonl is stale: run build.py", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(text, encoding="utf-8", newline="\n")
    print(f"functions.jsonl: {text.count(chr(10))} functions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
