"""What OUT.run.json says of a run, so that an output is gone on with by the same run only.

Reading, comparing and wording; the file itself is in ``run_lock``, since it is the lock as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeAlias

from execbox.dataset.files.json_lines import DatasetError

__all__ = ["INPUT", "UNFINISHED", "IsOther", "RunNote", "noted_in", "other_input"]

IsOther: TypeAlias = Callable[[object], bool]
"""Whether a file is a different one than what a run noted of it says."""

UNFINISHED: Final = "unfinished\n"
"""The last line of OUT.run.json from a run's beginning until its end."""

INPUT: Final = "input"
"""The name in ``made_of`` of the input's first record, which ``input_start`` compares."""

_REMEDY: Final = "give another --output, or discard it with --restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNote:
    """Step and settings, and ``made_of``: digests that tell the files apart that results are made
    of, by what those are. Notes of execbox 0.2 have none, nor does every run know all of them.
    ``is_other`` compares those that are not simply the same or not."""

    step: str
    settings: Mapping[str, object]
    made_of: Mapping[str, object]
    is_other: Mapping[str, IsOther] = field(default_factory=dict, compare=False)

    @property
    def text(self) -> str:
        """What OUT.run.json holds, up to whether the run came to its end."""
        members = {"step": self.step, "settings": self.settings}
        made_of = {"made_of": self.made_of} if self.made_of else {}
        return json.dumps(members | made_of, indent=2, sort_keys=True) + "\n"

    def is_same_run(self, theirs: RunNote | None) -> bool:
        """Whether step and settings are the same, as JSON has them."""
        if theirs is None or theirs.step != self.step:
            return False
        return _as_json(theirs.settings) == _as_json(self.settings)

    def refuse_other(self, output: Path, theirs: RunNote | None) -> None:
        """Raise ``DatasetError`` where ``theirs``, which is noted beside results, is of another
        run. Files are compared that both know."""
        if theirs is None:
            raise DatasetError(f"{output}: exists and was not written by this command; {_REMEDY}")
        if not self.is_same_run(theirs):
            raise _not_ours(output, theirs, self)
        name = self.other_file(theirs)
        if name is not None:
            raise DatasetError(
                f"{output}: was begun with a different file of {name}, or this one is not what it "
                f"was then, so that its results are not those of this one; {_REMEDY}"
            )

    def other_file(self, theirs: RunNote) -> str | None:
        """Which of the files that both know is a different one; None where none is. The input,
        which is compared otherwise, is not among them."""
        for name in sorted((theirs.made_of.keys() & self.made_of.keys()) - {INPUT}):
            noted, is_other = theirs.made_of[name], self.is_other.get(name)
            if noted != self.made_of[name] if is_other is None else is_other(noted):
                return name
        return None

    def going_on(self, theirs: RunNote | None) -> RunNote:
        """What is noted of this run where it goes on with ``theirs``."""
        made_of = {} if theirs is None else theirs.made_of
        return replace(self, made_of={**made_of, **self.made_of})


def other_input(output: Path, source: Path, *, line: object) -> DatasetError:
    """That results are of another input, whose first record was on this line."""
    return DatasetError(
        f"{output}: was begun with another input: the record that was on line {line}, the first, "
        f"is changed or gone in {source}, so that what is there may not be of it; {_REMEDY}"
    )


def noted_in(text: str) -> tuple[RunNote | None, bool]:
    """What the text of OUT.run.json notes, and whether its run came to its end.

    None where it is no note. What follows a note, other than a line's end, is of no importance:
    a run that was killed as it began may have left the end of a longer one there.
    """
    try:
        members, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None, True
    is_finished = not text[end:].strip()
    try:
        step, settings, made_of = members["step"], members["settings"], members.get("made_of", {})
    except (KeyError, TypeError, AttributeError):
        return None, is_finished
    if not isinstance(settings, dict) or not isinstance(made_of, dict):
        return None, is_finished
    return RunNote(step=step, settings=settings, made_of=made_of), is_finished


def _as_json(settings: Mapping[str, object]) -> str:
    return json.dumps(settings, sort_keys=True)


def _not_ours(output: Path, theirs: RunNote, mine: RunNote) -> DatasetError:
    """Why a run that notes ``mine`` does not continue an output that has ``theirs`` beside it."""
    if theirs.step != mine.step:
        return DatasetError(
            f"{output}: was written by {theirs.step!r}, not by {mine.step!r}; {_REMEDY}"
        )
    old, new = theirs.settings, json.loads(json.dumps(mine.settings))
    names = [
        f"{name} was {old.get(name)!r} and is {new.get(name)!r} now"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]
    return DatasetError(
        f"{output}: was begun with other settings ({'; '.join(names)[:1000]}); {_REMEDY}"
    )
