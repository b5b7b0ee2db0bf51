"""The whole chain, from functions to training records, in one folder; each step is its own module.

    pairs.jsonl       generate, or certify where the functions have their ``ios``
    prompts-1.jsonl   prompts
    answers-N.jsonl   infer      of round N
    verified-N.jsonl  verify
    prompts-N.jsonl   revise     from round 2 on
    train.jsonl       assemble

Every step resumes, so the chain does: started again it goes on where it was. Begun anew, it
discards what all steps wrote before it does the first again: what was left of the others would be
of the old one's results, and refused. Nothing is asked
before every function has its pairs, or a lasting reason why it has none.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from execbox.dataset.files.discard import discard_runs
from execbox.dataset.files.json_lines import DatasetError
from execbox.dataset.files.records import Record, read_records
from execbox.dataset.files.sources import STANDARD_STREAM, open_source
from execbox.dataset.steps.assemble import AssembleOptions, open_assemble_step
from execbox.dataset.steps.file_run import run_step_async
from execbox.dataset.steps.infer import InferOptions, infer_step
from execbox.dataset.steps.model import Model
from execbox.dataset.steps.progress import Listener, Summary, unheard
from execbox.dataset.steps.prompts import PromptOptions, prompts_step
from execbox.dataset.steps.revise import DEFAULT_REQUEST, Round, revise_step, round_counts
from execbox.dataset.steps.services import VerifyService
from execbox.dataset.steps.step import OpenStep, Step
from execbox.dataset.steps.verdicts import VerifyOptions, options_for
from execbox.dataset.steps.verify import verify_step

__all__ = ["PipelineOptions", "PipelineResult", "Stage", "have_pairs", "run_pipeline"]

_PAIRS: Final = "pairs.jsonl"
_TRAIN: Final = "train.jsonl"
_OF_A_ROUND: Final = re.compile(r"(prompts|answers|verified)-([1-9][0-9]*)\.jsonl")
_STEPS_OF_A_ROUND: Final = {
    "prompts": {"prompts", "revise"},
    "answers": {"infer"},
    "verified": {"verify"},
}
StageListener: TypeAlias = Callable[["Stage"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineOptions:
    """``rounds_count`` is how often a question is answered at most: 1 is CodeI/O, 2 CodeI/O++."""

    rounds_count: int = 2
    request: str = DEFAULT_REQUEST
    prompts: PromptOptions = field(default_factory=PromptOptions)
    infer: InferOptions = field(default_factory=InferOptions)
    verify: VerifyOptions = field(default_factory=VerifyOptions)
    assemble: AssembleOptions = field(default_factory=AssembleOptions)

    def __post_init__(self) -> None:
        if self.rounds_count < 1:
            raise DatasetError(f"the number of rounds must be 1 or more, not {self.rounds_count}")
        if self.infer.samples_count != 1:
            raise DatasetError("the chain takes one answer to each question of a round")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One finished step of the chain."""

    summary: Summary
    output: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineResult:
    """What the chain came to: training records, what each round was, and every stage.

    There are no rounds where some functions have no pairs yet, because the service failed or does
    not permit what they need: run the same chain again.
    """

    output: Path
    rounds: Sequence[Round]
    stages: Sequence[Stage]

    @property
    def retryable_count(self) -> int:
        """Records that another run of the same chain tries again."""
        return sum(stage.summary.retryable_count for stage in self.stages)


async def run_pipeline(
    functions: Path,
    folder: Path,
    *,
    model: Model,
    service: VerifyService,
    make_pairs: OpenStep | None = None,
    options: PipelineOptions | None = None,
    restart: bool = False,
    listener: Listener = unheard,
    on_stage: StageListener = lambda _: None,
) -> PipelineResult:
    """Run the chain, or go on with it.

    ``make_pairs`` is the step to pairs that are ground truth: ``generate``, or ``certify`` where
    the functions have pairs; None takes those as they are.
    ``restart`` discards what such a chain left in ``folder``, also of further rounds, as soon as
    the first step can be done.
    Raises what its steps raise; what they finished is in ``folder``.
    """
    chain = _Chain(folder, restart=restart, listener=listener, on_stage=on_stage)
    if restart:
        _refuse_unreadable(functions)
        chain.discards(functions, makes_pairs=make_pairs is not None)
    options = options or PipelineOptions()
    pairs = functions
    if make_pairs is not None:
        pairs = await chain.run(make_pairs, functions, _PAIRS)
        if chain.stages[-1].summary.retryable_count:
            # Questions are named by their function's line, and further lines come in between.
            return PipelineResult(output=folder / _TRAIN, rounds=(), stages=chain.stages)
    verified: list[Path] = []
    async with model, service:
        checking = await options_for(service, options.verify)
        prompts = await chain.run(prompts_step(options.prompts), pairs, "prompts-1.jsonl")
        for number in range(1, options.rounds_count + 1):
            if number > 1:
                revise = revise_step(request=options.request)
                prompts = await chain.run(revise, verified[-1], f"prompts-{number}.jsonl")
            infer = infer_step(model, options.infer)
            answers = await chain.run(infer, prompts, f"answers-{number}.jsonl")
            verify = verify_step(service, checking, functions=None)
            verified.append(await chain.run(verify, answers, f"verified-{number}.jsonl"))
    assemble = open_assemble_step(verified, options.assemble)
    output = await chain.run(assemble, verified[0], _TRAIN)
    return PipelineResult(output=output, rounds=round_counts(verified), stages=chain.stages)


def have_pairs(functions: Path) -> bool:
    """Whether the first usable function has ``ios``, so that none have to be generated."""
    for line in read_records(functions, non_finite=True):
        if isinstance(line, Record):
            return "ios" in line.value
    return False


class _Chain:
    def __init__(
        self, folder: Path, *, restart: bool, listener: Listener, on_stage: StageListener
    ) -> None:
        self._folder = folder
        self._restart = restart
        self._listener = listener
        self._on_stage = on_stage
        self._before_all: Callable[[], None] | None = None
        self.stages: list[Stage] = []

    def discards(self, functions: Path, *, makes_pairs: bool) -> None:
        """Have what an earlier chain left discarded once the first step is open, so that it is
        still there where the service is away."""
        self._before_all = lambda: _discard_all(
            self._folder, besides=functions, makes_pairs=makes_pairs
        )

    async def run(self, step: Step | OpenStep, source: Path, name: str) -> Path:
        output = self._folder / name
        if self._before_all is not None:
            step, self._before_all = _opened_before(step, self._before_all), None
        summary = await run_step_async(
            step, source=source, output=output, restart=self._restart, listener=self._listener
        )
        stage = Stage(summary=summary, output=output)
        self.stages.append(stage)
        self._on_stage(stage)
        return output


@asynccontextmanager
async def _opened_before(step: Step | OpenStep, then: Callable[[], None]) -> AsyncIterator[Step]:
    async with nullcontext(step) if isinstance(step, Step) else step as opened:
        then()
        yield opened


def _discard_all(folder: Path, *, besides: Path, makes_pairs: bool) -> None:
    """Empty what the steps of a chain wrote; the functions may be one of these files."""
    steps_by_output: dict[Path, set[str]] = {}
    if makes_pairs:
        steps_by_output[folder / _PAIRS] = {"generate", "certify"}
    found = [_OF_A_ROUND.fullmatch(path.name) for path in folder.glob("*-*.jsonl")]
    numbers = sorted({int(name[2]) for name in found if name is not None})
    for number in numbers:
        for kind, steps in _STEPS_OF_A_ROUND.items():
            steps_by_output[folder / f"{kind}-{number}.jsonl"] = steps
    steps_by_output[folder / _TRAIN] = {"assemble"}
    discard_runs(
        {path: steps for path, steps in steps_by_output.items() if not _is_same(path, besides)}
    )


def _is_same(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return one.samefile(other)
    return False


def _refuse_unreadable(functions: Path) -> None:
    """Raise ``DatasetError`` where they cannot be read; a pipe is left alone, to be read once."""
    if functions == STANDARD_STREAM or functions.is_fifo() or functions.is_char_device():
        return
    with open_source(functions):
        pass
