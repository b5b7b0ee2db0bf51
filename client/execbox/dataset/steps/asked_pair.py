"""Which function and which pair an answer is about: its own, or those of a functions file.

A file that ``certify`` wrote lacks what was dropped, so places in it are not the places that
answers to the file before it name. Checking answers is in ``verify``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Self

from execbox.dataset.files.json_lines import BadRecord, Value, index_field
from execbox.dataset.files.lookup import Lookup
from execbox.dataset.files.record_certificates import own_meta_of
from execbox.dataset.files.records import Record, digest_of_json
from execbox.dataset.steps.sorting import is_finite

__all__ = ["AskedPair", "FunctionsFile", "asked_pair"]

_NOT_SHOWN, _PERHAPS, _AMONG_WORDS, _ON_ITS_LINE = range(4)
"""How surely a question shows a value; ``_PERHAPS`` where ordinary text has it too."""
_SHORT_CHARS = 2
_WITHIN_A_WORD = re.compile(r"\A[\w.-]|[\w.]\Z")


@dataclass(frozen=True, slots=True)
class AskedPair:
    """A function's record, and the pair of it that was asked about."""

    function: Value
    pair: Value


class FunctionsFile:
    """A file of functions with their ``ios``, that answers name by ``itemid`` and ``ioid``.

    What it lacks, the next run's may have, so failures are to be tried again. A context manager.
    Raises ``DatasetError`` where the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_certified = False
        self._places: dict[int, int] = {}
        self._first: Value | None = None
        self._first_certified: Value | None = None
        with ExitStack() as stack:
            self._lookup = stack.enter_context(Lookup(path, on_record=self._note))
            self._closing = stack.pop_all()

    @property
    def made_of(self) -> Mapping[str, object]:
        """What tells the file from others for a run's note: its first function and the first pair
        of it, each with its place in the file before certifying; nothing where there is none."""
        first = self._first_certified if self._is_certified else self._first
        return {} if first is None else {"functions": first}

    def is_other(self, noted: object) -> bool:
        """Whether the function that ``made_of`` named in an earlier run is not here as it was, or
        has another pair in that place.

        Certifying again may put further lines before it, and may drop the pair.
        """
        if not isinstance(noted, dict):
            return False
        itemid, ioid = noted.get("itemid"), noted.get("ioid")
        if not isinstance(itemid, int) or not isinstance(ioid, int):
            return False
        try:
            place = self._places.get(itemid, -1) if self._is_certified else itemid
            function = self._lookup.at(place)
            if _digest_of_function(function) != noted.get("function"):
                return True
            at = _pair_before if self._is_certified else _pair_at
            return digest_of_json(at(function, ioid).pair) != noted.get("pair")
        except BadRecord as problem:
            return problem.reason != "dropped_pair"

    def asked_by(self, value: Value) -> AskedPair:
        """The pair that an answer is about. Raises ``BadRecord`` where it is not there.

        Where pairs were dropped, a place can be one in this file or in the file it was made of.
        It is the latter, unless the question shows that it is the former. Raises ``BadRecord``
        too where the question can be about both.
        """
        itemid, ioid = index_field(value, "itemid"), index_field(value, "ioid")
        if not self._is_certified:
            return _pair_at(self._lookup.at(itemid), ioid)
        here = self._found_here(itemid, ioid)
        before = self._found_before(value, itemid, ioid)
        shown_here = _NOT_SHOWN if here is None else _shown(value, here)
        if here is not None and shown_here != _NOT_SHOWN and not _is_same(value, here, before):
            shown_before = _shown(value, before) if isinstance(before, AskedPair) else _NOT_SHOWN
            if shown_here > max(shown_before, _PERHAPS):
                return here
            if shown_here >= shown_before:
                raise BadRecord(
                    f"can be about pair {ioid} of function {itemid} of this file or of the file "
                    "that it was certified from, and the question does not show which; check it "
                    "against the file that the questions were made from",
                    reason="ambiguous_pair",
                    retry=True,
                )
        if isinstance(before, BadRecord):
            raise before
        return before

    def close(self) -> None:
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _note(self, record: Record) -> None:
        if record.index == 0:
            self._first = _noted_of(record.value, itemid=0, ioid=0)
        account = own_meta_of(record.value)
        if not _is_account(account):
            return
        self._is_certified = True
        itemid = account.get("itemid")
        if not isinstance(itemid, int):
            # Accounts did not always say it; an id that is a number is the line in most files.
            itemid = int(record.id) if record.id.isdecimal() else None
        if itemid is None or self._places.setdefault(itemid, record.index) != record.index:
            return
        if self._first_certified is None:
            dropped = {was for was, _ in _entries(account, "dropped")}
            ioid = next(was for was in count() if was not in dropped)
            self._first_certified = _noted_of(record.value, itemid=itemid, ioid=ioid)

    def _found_here(self, itemid: int, ioid: int) -> AskedPair | None:
        try:
            return _pair_at(self._lookup.at(itemid), ioid)
        except BadRecord:
            return None

    def _found_before(self, value: Value, itemid: int, ioid: int) -> AskedPair | BadRecord:
        """As the file was that this one was made of."""
        place = self._places.get(itemid)
        if place is None:
            return BadRecord(
                f"refers to function {itemid} of the file that {self._path} was certified from, "
                "and no pair of that function was left; check it against the file that the "
                "questions were made from",
                reason="unknown_function",
                retry=True,
            )
        function = self._lookup.at(place)
        try:
            return _pair_before(function, ioid, kind=value.get("io_pred"))
        except BadRecord as problem:
            return problem


def asked_pair(value: Value, functions: FunctionsFile | None) -> AskedPair:
    """What an answer is about. Raises ``BadRecord`` where that is not there, or no ground truth."""
    pair = value.get("io")
    if "refcode" in value and isinstance(pair, dict):
        asked = AskedPair(value, pair)
    elif functions is None:
        raise BadRecord(
            'has no "refcode" and "io" of its own; give the functions file with --functions',
            reason="missing_function",
            retry=True,
        )
    else:
        asked = functions.asked_by(value)
    if not {"input", "output"} <= asked.pair.keys():
        raise BadRecord('the pair must have "input" and "output"', reason="invalid_pair")
    if not is_finite(asked.pair):
        raise BadRecord(
            "the pair holds NaN or an infinity, which no answer can be compared with",
            reason="non_finite",
        )
    return asked


def _is_account(account: Mapping[str, object]) -> bool:
    return all(isinstance(account.get(name), list) for name in ("corrected", "dropped"))


def _pair_at(function: Value, ioid: int) -> AskedPair:
    ios = function.get("ios")
    if not isinstance(ios, list) or ioid >= len(ios) or not isinstance(ios[ioid], dict):
        raise BadRecord(
            f"refers to pair {ioid}, which its function lacks", reason="unknown_pair", retry=True
        )
    return AskedPair(function, ios[ioid])


def _noted_of(function: Value, *, itemid: int, ioid: int) -> Value | None:
    """A function and its first pair for a run's note; None where it has no pair."""
    try:
        pair = _pair_at(function, 0).pair
    except BadRecord:
        return None
    return {
        "itemid": itemid,
        "ioid": ioid,
        "function": _digest_of_function(function),
        "pair": digest_of_json(pair),
    }


def _digest_of_function(function: Value) -> str:
    return digest_of_json([function.get("refcode"), function.get("funcname")])


def _pair_before(function: Value, ioid: int, *, kind: object = None) -> AskedPair:
    """The pair that was at this place before some were dropped."""
    account = own_meta_of(function)
    dropped = {was: entry.get("reason") for was, entry in _entries(account, "dropped")}
    if ioid in dropped:
        raise BadRecord(
            f"refers to pair {ioid}, which certifying dropped ({dropped[ioid]})",
            reason="dropped_pair",
            retry=True,
        )
    asked = _pair_at(function, ioid - sum(was < ioid for was in dropped))
    for was, entry in _entries(account, "corrected"):
        # Asked for an input, the model was shown the output that was published, true or not.
        if was == ioid and kind == "i":
            published = entry.get("published", float("nan"))
            return AskedPair(function, asked.pair | {"output": published})
    return asked


def _entries(account: Value, group: str) -> list[tuple[int, Value]]:
    """What became of single pairs, each with the place where it was."""
    entries = account.get(group)
    found: list[tuple[int, Value]] = []
    for entry in entries if isinstance(entries, list) else []:
        was = entry.get("was") if isinstance(entry, dict) else None
        if isinstance(was, int):
            found.append((was, entry))
    return found


def _half_shown(value: Value) -> str:
    return "output" if value.get("io_pred") == "i" else "input"


def _is_same(value: Value, here: AskedPair, before: AskedPair | BadRecord) -> bool:
    """Whether an answer is worth the same, whichever of the two it is about."""
    if isinstance(before, BadRecord) or here.function != before.function:
        return False
    halves = [asked.pair.get(_half_shown(value)) for asked in (here, before)]
    return json.dumps(halves[0]) == json.dumps(halves[1])


def _shown(value: Value, asked: AskedPair) -> int:
    """How surely the question that was answered shows this function and this half of the pair."""
    question = _behind_the_problem(value, asked.function)
    half = asked.pair.get(_half_shown(value))
    # As Python writes it, in CodeI/O's questions, and as JSON does, in ours.
    ways = {f"{half}", json.dumps(half, ensure_ascii=False), json.dumps(half)}
    return max(_how_shown(question, way) for way in ways)


def _behind_the_problem(value: Value, function: Value) -> str:
    """Where the question shows half a pair: the problem, its requirements and code are left out.

    Nothing where the question is about a different problem.
    """
    problem, messages = function.get("problem_description"), value.get("messages")
    if not isinstance(problem, str):
        return ""
    for message in messages if isinstance(messages, list) else []:
        text = str(message.get("content")) if isinstance(message, dict) else ""
        if problem in text:
            rest = text[text.index(problem) + len(problem) :]
            for name in ("io_requirements", "refcode"):
                shown = function.get(name)
                rest = rest.replace(shown, " ", 1) if isinstance(shown, str) else rest
            return rest
    return ""


def _how_shown(text: str, way: str) -> int:
    """How surely ``text`` shows a value that is written this way; parts of words do not count."""
    best = _NOT_SHOWN
    start = text.find(way) if way else -1
    while start >= 0 and best != _ON_ITS_LINE:
        end = start + len(way)
        before, after = text[max(start - 1, 0) : start], text[end : end + 1]
        if before in {"", "\n"} and after in {"", "\n"}:
            best = _ON_ITS_LINE
        elif not _WITHIN_A_WORD.search(f"{before} {after}"):
            best = _PERHAPS if len(way) <= _SHORT_CHARS or way.isalnum() else _AMONG_WORDS
        start = text.find(way, start + 1)
    return best
