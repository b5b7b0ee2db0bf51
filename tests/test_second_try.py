"""CI's second try: for a few tests that failed beside others, and for no others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.second_try import FAILED_MAX

_ROOT = Path(__file__).resolve().parents[1]
_FAILS_ONCE = """
from pathlib import Path

def test_fails_once():
    seen = Path("seen")
    again = seen.exists()
    seen.touch()
    assert again
"""
_FAILS = "def test_fails():\n    assert False\n"
_FAIL = "".join(f"def test_{n}():\n    assert False\n" for n in range(FAILED_MAX + 1))


def _python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("tests", "status", "said"),
    [
        (_FAILS_ONCE, 0, "to be mended:\n    test_it.py::test_fails_once"),
        (_FAILS, 1, "failed again"),
        (_FAILS_ONCE + _FAILS, 1, "failed again"),
        (_FAIL, 1, f"{FAILED_MAX + 1} tests failed"),
        ("def test_passes():\n    pass\n", 1, "0 tests failed"),
        ("import no_such_module\n", 1, "failed again"),
    ],
    ids=["once", "twice", "one of two twice", "too many", "none", "a file that cannot be read"],
)
def test_second_try_passes_only_where_each_of_a_few_passes(
    tmp_path: Path, tests: str, status: int, said: str
) -> None:
    """And it names those, since a test that fails now and then is a fault to mend."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text(tests)
    _python(tmp_path, "pytest", "-q")
    tried = _python(tmp_path, "tests.second_try")
    assert (tried.returncode, said in tried.stdout) == (status, True), tried.stdout
