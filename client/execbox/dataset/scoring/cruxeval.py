"""Scoring CRUXEval: the step that judges generations, and the score of what it wrote.

What is executed for one sample, and when a prediction is right, is in ``cruxeval_judging``;
arithmetic over the outcomes is in ``score``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import ValidationError

from execbox import wire
from execbox.dataset.files.generations import Generations
from execbox.dataset.files.json_lines import BadRecord, DatasetError, Value, text_field
from execbox.dataset.files.records import BadLine, Record, digest_of_json, read_records
from execbox.dataset.scoring.cruxeval_answers import Mode, prediction_of
from execbox.dataset.scoring.cruxeval_judging import Judging, Sample
from execbox.dataset.scoring.score import Score, Tally, score_of
from execbox.dataset.steps.patience import Patience
from execbox.dataset.steps.record_function import invalid_record
from execbox.dataset.steps.run_options import fastest_isolation
from execbox.dataset.steps.services import ExecuteService
from execbox.dataset.steps.step import Step, per_record
from execbox.errors import ExecboxError

__all__ = ["cruxeval_step", "open_cruxeval_step", "score_file"]


@asynccontextmanager
async def open_cruxeval_step(
    service: ExecuteService,
    *,
    mode: Mode,
    generations: Generations,
    isolation: wire.Isolation | None = None,
    concurrency: int | None = None,
) -> AsyncIterator[Step]:
    """The step over CRUXEval's samples, with ``service`` opened around it.

    ``isolation`` and ``concurrency`` None take what suits the service best. A sample without
    generations is in the error file. The run raises ``ServiceError`` and ``TransportError`` where
    the service fails altogether.
    """
    async with service:
        permitted = await service.capabilities()
        yield cruxeval_step(
            service,
            mode=mode,
            generations=generations,
            isolation=isolation or fastest_isolation(permitted),
            concurrency=concurrency or permitted.concurrency + 1,
        )


def cruxeval_step(
    service: ExecuteService,
    *,
    mode: Mode,
    generations: Generations,
    isolation: wire.Isolation = "process",
    concurrency: int = 4,
) -> Step:
    """The step over CRUXEval's samples (``code``, ``input``, ``output``, ``id``).

    Its results have ``outcomes``, one per generation in their order, ``published_holds``: whether
    running the sample gives the output that was published, and ``predictions``, what was taken
    out of the generations, where that is not the whole of each.
    """
    patience = Patience()
    texts_by_name = {name: list(texts) for name, texts in generations.items()}

    async def judge(record: Record) -> Value:
        sample = Sample(**{name: text_field(record.value, name) for name in Sample.__slots__})
        texts = generations.get(record.id)
        if not texts:
            raise BadRecord("no generations for this sample", reason="no_generations")
        predictions = [prediction_of(text, mode=mode) for text in texts]
        judging = Judging(service, sample, isolation)
        try:
            outcomes, published_holds = await judging.judged(predictions, mode=mode)
        except ValidationError as error:
            raise invalid_record(error, names={"expression": "input"}) from error
        except BadRecord:
            raise
        except ExecboxError as error:
            raise patience.problem_of(error) from error
        patience.answered()
        scored: Value = {
            "mode": mode,
            "outcomes": [outcomes[prediction] for prediction in predictions],
            "published_holds": published_holds,
        }
        return scored if predictions == list(texts) else scored | {"predictions": predictions}

    return Step(
        name="score cruxeval",
        settings={"mode": mode},
        work=per_record(judge),
        reason_of=lambda _: "scored",
        concurrency=concurrency,
        # The outcomes of other generations, or of fewer, are not what is to be scored.
        made_of={"generations": digest_of_json(texts_by_name)},
    )


def score_file(verdicts: Path, *, ks: Sequence[int] = (1, 5)) -> Score:
    """The score of what the step wrote."""
    tallies: list[Tally] = []
    outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for line in read_records(verdicts):
        if isinstance(line, BadLine):
            raise DatasetError(line.message)
        found = line.value.get("outcomes")
        if not isinstance(found, list):
            raise DatasetError(f'{line.where}: has no "outcomes"')
        counts = Counter(map(str, found))
        outcomes[text_field(line.value, "mode")] += counts
        tallies.append(
            Tally(
                generation_count=len(found),
                correct_count=counts["correct"],
                disqualified_count=counts["disqualified"],
            )
        )
    return score_of(tallies, ks=ks, outcomes=outcomes)
