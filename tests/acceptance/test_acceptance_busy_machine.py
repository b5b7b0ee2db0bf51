"""Verdicts on a busy machine: what counts as different, what excuses it, and the load itself."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from acceptance.busy_machine import burners
from acceptance.verdicts import (
    Verdict,
    differences,
    not_deterministic_functions,
    unexcused,
    verdict_of,
)

from execbox.wire import Execution, ExecutionError, Status

DOCS = Path(__file__).resolve().parents[2] / "docs"

OK = Verdict("ok", "1", None, None)
OTHER = Verdict("ok", "2", None, None)
TIMEOUT = Verdict("timeout", "null", None, "cpu_time")


def test_differences_are_found_and_excused_only_where_the_code_explains_them() -> None:
    """A function known as not deterministic may differ, and nothing else; no answer is never
    excused."""
    quiet = {(1, 0): OK, (1, 1): OK, (2, 0): OK, (3, 0): OK, (4, 0): OK}
    busy = {(1, 0): OK, (1, 1): OTHER, (2, 0): OTHER, (3, 0): TIMEOUT}
    found = differences(quiet, busy)
    assert [one.key for one in found] == [(1, 1), (2, 0), (3, 0), (4, 0)]
    left = unexcused(found, not_deterministic=frozenset({2, 4}))
    assert [one.key for one in left] == [(1, 1), (3, 0), (4, 0)]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"output": 1}, {"output": 1}, True),
        ({"output": 1}, {"output": 2}, False),
        ({"output": [1.0]}, {"output": [1.0000001]}, False),
        ({"output": None, "output_text": "NaN"}, {"output": None, "output_text": "NaN"}, True),
        ({"output": None, "output_text": "NaN"}, {"output": None, "output_text": "-NaN"}, False),
        ({"status": "timeout", "limit": "cpu_time"}, {"status": "timeout"}, False),
        (
            {"status": "exception", "error": ExecutionError(type="A", message="m")},
            {"status": "exception", "error": ExecutionError(type="A", message="n")},
            False,
        ),
        ({"output": 1, "stdout": "a"}, {"output": 1, "stdout": "b"}, True),
    ],
)
def test_verdicts_are_the_same_if_status_output_and_error_are(
    one: dict[str, object], other: dict[str, object], same: bool
) -> None:
    """Measurements and what was printed are no part of a verdict."""
    first, second = (
        Execution.model_validate({"status": Status.OK} | fields) for fields in (one, other)
    )
    assert (verdict_of(first) == verdict_of(second)) is same


def test_functions_that_are_not_deterministic_are_read_from_the_page() -> None:
    """The page's list, and no other table's numbers."""
    found = not_deterministic_functions(DOCS / "determinism.md")
    assert {317, 899, 974} <= found
    assert 266 not in found


def test_functions_are_not_read_from_a_page_without_the_list(tmp_path: Path) -> None:
    """Excusing nobody by mistake would be as bad as excusing all."""
    page = tmp_path / "page.md"
    page.write_text("| 1 |\n")
    with pytest.raises(ValueError, match="no table"):
        not_deterministic_functions(page)


def test_burners_end_with_the_block() -> None:
    """Whatever happens in it, none is left."""
    pids: list[int] = []

    def fail() -> None:
        with burners(2) as started:
            pids.extend(started)
            assert all(Path(f"/proc/{pid}").exists() for pid in pids)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_burners_end_with_a_program_that_is_killed() -> None:
    """They look for their parent, which a killed program cannot do for them."""
    program = "import time\nfrom acceptance.busy_machine import burners\n"
    program += "with burners(1) as pids:\n    print(pids[0], flush=True)\n    time.sleep(60)\n"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=DOCS.parent, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        burner = Path(f"/proc/{int(process.stdout.readline())}/stat")
        assert burner.exists()
        process.kill()
    deadline_s = time.monotonic() + 20
    while burner.exists() and ") Z " not in burner.read_text():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
