"""``InputStart``: the first record of an input, by which another input under an output is known.

What is noted of a run besides is in ``run_note``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from execbox.dataset.files.records import BadLine, Record, digest_of_json, read_records
from execbox.dataset.files.sources import can_be_read_again

__all__ = ["InputStart"]

_ID_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class InputStart:
    """Where a run's input begins; ``first`` is its first line that is not empty, if it has one."""

    source: Path
    first: Record | BadLine | None
    non_finite: bool

    @property
    def note(self) -> Mapping[str, object] | None:
        """Its first record for a run's note; None where the input does not begin with one."""
        if not isinstance(self.first, Record):
            return None
        return {
            "id": self.first.id[:_ID_CHARS],
            "line": self.first.number,
            "sha256": _sha256(self.first),
        }

    def lacks(self, noted: Mapping[str, object]) -> bool:
        """Whether the record that was first when ``noted`` was written is not in the input as it
        was: it is changed, or gone.

        Records before it are no change, so a file is read as far as where it stands now; of what
        can be read only once, nothing but a changed first record is seen.
        """
        now = self.note
        if now is None:
            return False
        if now["id"] == noted.get("id"):
            return now["sha256"] != noted.get("sha256")
        if not can_be_read_again(self.source):
            return False
        for line in read_records(self.source, non_finite=self.non_finite):
            if isinstance(line, Record) and line.id[:_ID_CHARS] == noted.get("id"):
                return _sha256(line) != noted.get("sha256")
        return True


def _sha256(record: Record) -> str:
    return digest_of_json(record.value).removeprefix("sha256:")
