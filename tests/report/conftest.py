"""Files of a real run: two functions with pairs and one without, answered and revised once."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

DATA: Final = Path(__file__).parent / "data"
NAMES: Final = (
    "pairs.jsonl.gz",
    "pairs.jsonl.errors.jsonl",
    "verified-1.jsonl.gz",
    "verified-2.jsonl.gz",
    "train.jsonl.gz",
)


@pytest.fixture
def run_files() -> list[Path]:
    """What ``execbox pipeline`` left, as far as a report counts it."""
    return [DATA / name for name in NAMES]
