"""What steps that ask a model would send, counted without sending anything to anybody.

The steps are in ``infer``, ``interpret`` and ``pipeline``; what is shown of it is up to the caller.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from execbox.dataset.files.done import done_ids, result_ids
from execbox.dataset.files.input_start import InputStart
from execbox.dataset.files.json_lines import BadRecord, Value
from execbox.dataset.files.records import Record, digest_of, read_records
from execbox.dataset.files.sources import can_be_read_again
from execbox.dataset.steps.infer import messages_of
from execbox.dataset.steps.model import Messages
from execbox.dataset.steps.prompts import PromptOptions, prompts_step
from execbox.dataset.steps.step import Step

__all__ = ["Estimate", "PairSource", "estimate_pipeline", "estimate_step"]

CHARS_PER_TOKEN = 4
"""Of English text and code, roughly; how a model counts, only its own tokenizer knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What would be sent. Requests that are tried again after a failure are not in it.

    ``prompt_chars`` are those of the first request of each question, None where they are known
    only when the questions have been made; later requests of a conversation hold all before them.
    """

    step: str
    question_count: int
    answered_count: int
    """Questions that an earlier run left an answer to, or found to have none; not asked again."""
    unusable_count: int
    """What would be listed as unusable: lines that are no records, records without a question."""
    request_count_min: int
    request_count_max: int
    prompt_chars: int | None

    @property
    def prompt_tokens_about(self) -> int | None:
        """At ``CHARS_PER_TOKEN``."""
        return None if self.prompt_chars is None else -(-self.prompt_chars // CHARS_PER_TOKEN)


def estimate_step(
    step: Step,
    *,
    source: Path,
    output: Path,
    restart: bool,
    messages: Callable[[Value], Messages] = messages_of,
    requests_max: int = 1,
) -> Estimate:
    """Of a step whose every part asks between one and ``requests_max`` times.

    ``messages`` are what the first request of a part has. Raises ``DatasetError`` as the run would.
    """
    start = None
    if can_be_read_again(source):
        first = next(read_records(source, non_finite=step.non_finite), None)
        start = InputStart(source=source, first=first, non_finite=step.non_finite)
    done = done_ids(output, step=step.name, settings=step.settings, start=start, restart=restart)
    counted = _Counted()
    for part in _parts(step, source, counted):
        counted.add(part, messages=messages, done=done)
    asked_count = counted.question_count - counted.answered_count
    return Estimate(
        step=step.name,
        question_count=counted.question_count,
        answered_count=counted.answered_count,
        unusable_count=counted.unusable_count,
        request_count_min=asked_count,
        request_count_max=asked_count * requests_max,
        prompt_chars=counted.chars,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSource:
    """Where the pairs of a pipeline come from, for they are what is asked about.

    ``generated_count`` is how many are generated for each function at most, None where the
    functions have theirs; ``may_be_dropped`` says that those are certified first.
    """

    functions: Path
    generated_count: int | None = None
    may_be_dropped: bool = False


def estimate_pipeline(
    pairs: PairSource, folder: Path, *, prompts: PromptOptions, rounds_count: int, restart: bool
) -> Estimate:
    """Of all rounds: the first asks every question, each further one those still wrong."""
    answers = [folder / f"answers-{number}.jsonl" for number in range(1, rounds_count + 1)]
    done = [frozenset() if restart else result_ids(path) for path in answers]
    counted = _Counted()
    if pairs.generated_count is None:
        for part in _parts(prompts_step(prompts), pairs.functions, counted):
            counted.add(part, messages=messages_of, done=done[0])
    else:
        each = min(pairs.generated_count, prompts.pairs_count) * len(prompts.kinds)
        for line in read_records(pairs.functions):
            if isinstance(line, Record):
                counted.question_count += each
            else:
                counted.unusable_count += 1
        counted.answered_count = len(done[0])
    is_exact = pairs.generated_count is None and not pairs.may_be_dropped
    left_count = max(counted.question_count - counted.answered_count, 0)
    answered_count = sum(map(len, done))
    return Estimate(
        step="pipeline",
        question_count=counted.question_count,
        answered_count=counted.answered_count,
        unusable_count=counted.unusable_count,
        request_count_min=left_count if is_exact else 0,
        request_count_max=max(counted.question_count * rounds_count - answered_count, 0),
        prompt_chars=counted.chars if pairs.generated_count is None else None,
    )


@dataclass(slots=True)
class _Counted:
    question_count: int = 0
    answered_count: int = 0
    unusable_count: int = 0
    chars: int = 0

    def add(
        self, part: Record, *, messages: Callable[[Value], Messages], done: frozenset[int]
    ) -> None:
        try:
            asked = messages(part.value)
        except BadRecord:
            self.unusable_count += 1
            return
        self.question_count += 1
        if digest_of(part.id) in done:
            self.answered_count += 1
        else:
            self.chars += sum(map(_chars, asked))


def _parts(step: Step, source: Path, counted: _Counted) -> Iterator[Record]:
    for line in read_records(source, non_finite=step.non_finite):
        parts: Sequence[Record] = ()
        try:
            if isinstance(line, Record):
                parts = step.parts(line)
            else:
                counted.unusable_count += 1
        except BadRecord:
            counted.unusable_count += 1
        yield from parts


def _chars(message: Value) -> int:
    content = message.get("content")
    return len(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False))
