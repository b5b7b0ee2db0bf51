"""Add languages besides Python to the image's own list, each tried first.

Run while an image with more languages is built (languages.Dockerfile), with their names as its
arguments. Standard library only. Changes "languages" in the image's /usr/lib/execbox/packages.json,
which list_packages.py wrote.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

LIST = Path("/usr/lib/execbox/packages.json")
PROGRAMS = {
    "bash": ["bash", "-c", "echo runs"],
    "cpp": ["sh", "-c", "g++ -std=c++17 -O2 -x c++ -o program - && ./program"],
}
"""How each language is tried."""
SOURCES = {"cpp": '#include <iostream>\nint main() { std::cout << "runs" << std::endl; }\n'}


def runs(language: str) -> bool:
    """Whether a program of that language prints what it should, here and now."""
    with tempfile.TemporaryDirectory() as directory:
        run = subprocess.run(
            PROGRAMS[language],
            cwd=directory,
            input=SOURCES.get(language, ""),
            capture_output=True,
            text=True,
            check=False,
        )
    sys.stderr.write(run.stderr)
    return run.returncode == 0 and run.stdout == "runs\n"


def main() -> None:
    languages = sys.argv[1:]
    if not languages or not PROGRAMS.keys() >= set(languages):
        raise SystemExit(f"usage: {sys.argv[0]} LANGUAGE... ({', '.join(PROGRAMS)})")
    for language in languages:
        if not runs(language):
            raise SystemExit(f"a program in {language} does not run in this image")
    found = json.loads(LIST.read_text("utf-8"))
    found["languages"] = ["python", *languages]
    LIST.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
