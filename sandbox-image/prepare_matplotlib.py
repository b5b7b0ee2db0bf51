"""Give matplotlib its cache of fonts in the image, where nothing can be written later.

Run while the sandbox image is built, after the packages were installed and before they are
compiled, with the directory they are in and the one the cache goes to as its arguments. Standard
library only. Does nothing where matplotlib is not installed.

Matplotlib looks for its cache below the user's home, and where that cannot be written to it makes
a directory in /tmp, says so on standard error, and looks for fonts anew, which takes a second of
CPU time. No variable gives it a directory that is only read, so the place is written into its
source; a program that sets MPLCONFIGDIR itself has what it asks for.
"""

import subprocess
import sys
from pathlib import Path

ANCHOR = """\
def _get_config_or_cache_dir(xdg_base_getter):
    configdir = os.environ.get('MPLCONFIGDIR')
"""
ADDED = """\
    if not configdir:
        return {directory!r}
"""
FILL = "import matplotlib.font_manager"


def set_directory(source: str, directory: str) -> str:
    """The text of matplotlib's first module, with the directory it is to use by default."""
    if source.count(ANCHOR) != 1:
        raise SystemExit(
            "this version of matplotlib finds its directories in a different way: "
            f"look at _get_config_or_cache_dir there, and at {Path(__file__).name}"
        )
    return source.replace(ANCHOR, ANCHOR + ADDED.format(directory=directory))


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit(f"usage: {sys.argv[0]} PACKAGES DIRECTORY")
    packages, directory = Path(sys.argv[1]), Path(sys.argv[2]).resolve()
    module = packages / "matplotlib" / "__init__.py"
    if not module.exists():
        return
    module.write_text(set_directory(module.read_text("utf-8"), str(directory)), "utf-8")
    subprocess.run([sys.executable, "-I", "-B", "-c", FILL], check=True)
    if not list(directory.glob("fontlist-*.json")):
        raise SystemExit(f"matplotlib has put no cache of fonts into {directory}")


if __name__ == "__main__":
    main()
