"""``revise``: the next turn of every answer that was not right, made of its feedback.

Also the counts per round that the paper's figure 7 plots. Only wording and bookkeeping: asking
again is ``infer``'s work, checking again ``verify``'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from execbox.dataset.files.json_lines import BadRecord, DatasetError, list_field
from execbox.dataset.files.records import BadLine, Record, read_records
from execbox.dataset.steps.step import Step, kept, part_of, per_record
from execbox.dataset.steps.turns import is_correct, turn_of, turns_of

__all__ = [
    "DEFAULT_REQUEST",
    "Round",
    "revise_step",
    "round_counts",
]

DEFAULT_REQUEST = """\
$feedback

Go over your reasoning again with this in mind, find where it went wrong, and answer once more in \
the same form as before."""

# Left behind by the round before; the next one writes its own.
_OF_ONE_ROUND = (
    *("output", "model", "finish_reason", "reasoning"),
    *("res", "verdict", "feedback", "extracted"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round of answers came to. ``corrected_count`` of round 1 is 0 by definition.

    ``correct_count`` are the answers right at the first try (round 1), ``corrected_count`` those
    put right in this round, ``wrong_count`` those wrong after it, ``missing_count`` those that
    were to be answered in this round and have no verdict. ``verdicts`` counts this round's own.
    """

    number: int
    correct_count: int
    corrected_count: int
    wrong_count: int
    missing_count: int
    verdicts: Mapping[str, int]

    @property
    def answered_count(self) -> int:
        """Verdicts of this round."""
        return self.correct_count + self.corrected_count + self.wrong_count


def revise_step(*, request: str = DEFAULT_REQUEST) -> Step:
    """The step: a record for each answer that is not correct, none for those that are.

    Takes what ``verify`` wrote, of any round. ``request`` is the user's turn, with ``$feedback``
    in it. The record's ``messages`` go on from the old ones, its ``turns`` keep every round's
    ``response``, ``verdict`` and ``feedback``.
    """
    template = Template(request)
    if not template.is_valid() or set(template.get_identifiers()) != {"feedback"}:
        raise DatasetError("the request for a revision must have $feedback in it, and no other $")

    return Step(
        name="revise",
        settings={"request": request},
        work=per_record(kept),
        parts=lambda record: _next_turn(record, template),
        reason_of=lambda value: str(turns_of(value)[-1]["verdict"]),
    )


def round_counts(files: Sequence[Path]) -> list[Round]:
    """What each round came to, given the verified files of rounds 1, 2, and so on."""
    rounds: list[Round] = []
    for number, path in enumerate(files, start=1):
        verdicts: Counter[str] = Counter()
        right = 0
        for line in read_records(path):
            if isinstance(line, BadLine):
                raise DatasetError(line.message)
            try:
                right += is_correct(line.value)
                verdicts[str(turn_of(line.value)["verdict"])] += 1
            except BadRecord as problem:
                raise DatasetError(f"{line.where}: {problem.message}") from problem
        wrong = verdicts.total() - right
        rounds.append(
            Round(
                number=number,
                correct_count=right if number == 1 else 0,
                corrected_count=0 if number == 1 else right,
                wrong_count=wrong,
                missing_count=rounds[-1].wrong_count - verdicts.total() if rounds else 0,
                verdicts=dict(verdicts),
            )
        )
    return rounds


def _next_turn(record: Record, template: Template) -> Sequence[Record]:
    value = record.value
    if is_correct(value):
        return ()
    turn = turn_of(value)
    answer = {"role": "assistant", "content": turn["response"]}
    feedback = str(turn["feedback"])
    request = {"role": "user", "content": template.substitute(feedback=feedback)}
    revised = {name: kept for name, kept in value.items() if name not in _OF_ONE_ROUND}
    revised["messages"] = [*list_field(value, "messages"), answer, request]
    revised["turns"] = [*turns_of(value), turn]
    return (part_of(record, 0, suffix="", value=revised),)
