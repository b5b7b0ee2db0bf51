"""Puts together what ``make test`` measured, and prints the coverage of each folder's code.

The figures are coverage.py's, lines and branches together. A page for each file is written beside
the data, in ``.coverage/html``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import coverage
from coverage.exceptions import NoDataError

ROOTS = ("client/execbox", "service/execbox_service", "sandbox-image/execbox_runner")
FOLDER = Path(".coverage")
HEADINGS = f"{'folder':<46} {'statements':>10} {'branches':>9} {'covered':>9}"


@dataclass(frozen=True)
class Covered:
    """What there is to cover in some files, and what of it tests went through."""

    statement_count: int = 0
    branch_count: int = 0
    covered_count: int = 0

    def __add__(self, other: Covered) -> Covered:
        return Covered(
            self.statement_count + other.statement_count,
            self.branch_count + other.branch_count,
            self.covered_count + other.covered_count,
        )

    @property
    def percent(self) -> float:
        """Of statements and branches together; 100 where there are none."""
        wanted = self.statement_count + self.branch_count
        return 100 * self.covered_count / wanted if wanted else 100.0

    def row(self, name: str) -> str:
        """One line of the table."""
        return (
            f"{name:<46} {self.statement_count:>10} {self.branch_count:>9} {self.percent:>7.1f} %"
        )


def by_file(report: Mapping[str, Any]) -> dict[PurePath, Covered]:
    """Each file of coverage.py's JSON report."""
    return {
        PurePath(name): Covered(
            file["summary"]["num_statements"],
            file["summary"]["num_branches"],
            file["summary"]["covered_lines"] + file["summary"]["covered_branches"],
        )
        for name, file in report["files"].items()
    }


def table(files: Mapping[PurePath, Covered]) -> Iterator[str]:
    """A row for each folder that has code, and one for each of ROOTS, after its folders."""
    yield HEADINGS
    for root in ROOTS:
        below = {path: covered for path, covered in files.items() if path.is_relative_to(root)}
        for folder in sorted({path.parent for path in below}):
            inside = (covered for path, covered in below.items() if path.parent == folder)
            yield sum(inside, Covered()).row(f"  {folder}")
        yield sum(below.values(), Covered()).row(f"all of {root}")


def main() -> int:
    """1 where nothing was measured."""
    measured = coverage.Coverage()
    try:
        measured.combine()
        measured.json_report(outfile=str(FOLDER / "report.json"))
        measured.html_report(directory=str(FOLDER / "html"))
    except NoDataError as error:
        sys.stderr.write(f"coverage: {error}\n")
        return 1
    report = json.loads((FOLDER / "report.json").read_text("utf-8"))
    sys.stdout.write("\n".join(["", *table(by_file(report)), ""]))
    sys.stdout.write(f"each line: {FOLDER / 'html' / 'index.html'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
