"""What a record says after certifying: the pairs left, and what became of every other one.

The account is in its ``meta.execbox``, or in the detail of its failure where no pair is left.
Running and sorting pairs is in ``certify`` and ``sorting``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from execbox import wire
from execbox.dataset.files.json_lines import BadRecord, Value
from execbox.dataset.files.record_certificates import (
    OWN_META,
    packed_certificates,
    with_own_meta,
)
from execbox.dataset.steps.sorting import Sorted, is_finite

__all__ = ["CheckedPair", "certified_record", "outcome_of", "tally_of"]

_SHOWN_CHARS = 300


@dataclass(frozen=True, slots=True)
class CheckedPair:
    """One pair of a record, sorted, with what certifies it."""

    pair: object
    sorted: Sorted
    certificate: wire.Certificate | None = None


def certified_record(value: Value, checked: Sequence[CheckedPair], *, itemid: int) -> Value:
    """``value`` with the pairs left and the account. Raises ``BadRecord`` where none is left.

    ``itemid`` is its zero-based line, which answers to questions about the pairs refer to.
    """
    account: Value = {
        "itemid": itemid,
        "pairs": len(checked),
        "corrected": [
            {"ioid": _place(checked, index), "was": index, "reason": one.sorted.reason}
            | _published(one)
            for index, one in enumerate(checked)
            if one.sorted.group == "corrected"
        ],
        "dropped": [
            _dropped(index, one)
            for index, one in enumerate(checked)
            if one.sorted.group == "dropped"
        ],
    }
    left = [one for one in checked if one.sorted.group != "dropped"]
    if not left:
        raise BadRecord(_why_none(checked), reason=_commonest(checked), detail={OWN_META: account})
    certificates = [one.certificate for one in left if one.certificate is not None]
    return value | {
        "ios": [
            {**one.pair, "output": one.sorted.output} for one in left if isinstance(one.pair, dict)
        ],
        "meta": with_own_meta(value, account | packed_certificates(certificates)),
    }


def _published(one: CheckedPair) -> Value:
    output = one.pair["output"] if isinstance(one.pair, dict) else None
    return {"published": output} if is_finite(output) else {"published_text": json.dumps(output)}


def _place(checked: Sequence[CheckedPair], index: int) -> int:
    """Where a pair is among those that are left."""
    return sum(one.sorted.group != "dropped" for one in checked[:index])


def _dropped(index: int, one: CheckedPair) -> Value:
    dropped: Value = {"was": index, "reason": one.sorted.reason}
    for name in ("cause", "message"):
        if getattr(one.sorted, name) is not None:
            dropped[name] = getattr(one.sorted, name)
    if is_finite(one.pair) and len(json.dumps(one.pair)) <= _SHOWN_CHARS:
        dropped["pair"] = one.pair
    return dropped


def _commonest(checked: Sequence[CheckedPair]) -> str:
    counts = Counter(one.sorted.reason for one in checked)
    return min(counts, key=lambda name: (-counts[name], name))


def _why_none(checked: Sequence[CheckedPair]) -> str:
    counts = Counter(one.sorted.counted_as.removeprefix("dropped: ") for one in checked)
    text = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    message = next((one.sorted.message for one in checked if one.sorted.message), None)
    return f"no pair is left of {len(checked)} ({text})" + (f"; {message}" if message else "")


def outcome_of(own: Value) -> str:
    """What had to change, which results are counted under."""
    changed = [name for name in ("corrected", "dropped") if own.get(name)]
    return "pairs " + " and ".join(changed) if changed else "all pairs kept"


def tally_of(own: Value) -> Mapping[str, int]:
    """Pairs by what became of them, of a result or of a failure's detail."""
    counts: Counter[str] = Counter()
    for group in ("corrected", "dropped"):
        entries = own.get(group)
        for entry in entries if isinstance(entries, list) else []:
            cause = f" ({entry['cause']})" if "cause" in entry else ""
            counts[f"{group}: {entry['reason']}{cause}"] += 1
    total = own.get("pairs")
    if isinstance(total, int):
        counts["kept"] = total - counts.total()
    return counts
