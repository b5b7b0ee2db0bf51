"""Run the few tests that failed once more, one at a time: what CI does before it fails.

    python -m tests.second_try

CI's two cores are shared with other work, and among ten thousand tests beside each other one now
and then meets a moment in which nothing moves. A test that passes by itself is named at the end,
as one to mend; one that fails twice fails CI, and so do more than ``FAILED_MAX`` at once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

FAILED_MAX = 5
"""More than so many are no accident: they fail without a second try."""
LAST_FAILED = Path(".pytest_cache/v/cache/lastfailed")


def failed_tests(record: Path) -> list[str]:
    """What the last run of pytest failed at, as its cache has it; files that could not be read,
    too."""
    if not record.exists():
        return []
    return sorted(json.loads(record.read_text()))


def main() -> int:
    """Exit status: 0 where each of the few that failed has passed now."""
    names = failed_tests(LAST_FAILED)
    if not 1 <= len(names) <= FAILED_MAX:
        sys.stdout.write(
            f"second try: {len(names)} tests failed, and it is for 1 to {FAILED_MAX}\n"
        )
        return 1
    status = pytest.main(["--verbose", "--numprocesses", "0", *names])
    if status != pytest.ExitCode.OK:
        sys.stdout.write("second try: failed again\n")
        return 1
    sys.stdout.write("second try: failed beside others and passed by itself, to be mended:\n")
    for name in names:
        sys.stdout.write(f"    {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
