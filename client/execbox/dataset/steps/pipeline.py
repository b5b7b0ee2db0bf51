"""The whole chain, from functions to training records, in one folder; each step is its own module.

    pairs.jsonl       generate, or certify where the functions have their ``ios``
    prompts-1.jsonl   prompts
    answers-N.jsonl   infer      of round N
    verified-N.jsonl  verify
    prompts-N.jsonl   revise     from round 2 on
    train.jsonl       assemble

Every step resumes, so the chain does: started again it goes on where it was. Nothing is asked
before every function has its pairs, or a lasting reason why it has none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from execbox.dataset.files.json_lines import DatasetError
from execbox.dataset.files.records import Record, read_records
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

_TRAIN: Final = "train.jsonl"
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
    Raises what its steps raise; what they finished is in ``folder``.
    """
    chain = _Chain(folder, restart=restart, listener=listener, on_stage=on_stage)
    options = options or PipelineOptions()
    pairs = functions
    if make_pairs is not None:
        pairs = await chain.run(make_pairs, functions, "pairs.jsonl")
        if chain.stages[-1].summary.retryable_count:
            # Questions are named by their function's line, and further lines come in between.
            return PipelineResult(output=folder / _TRAIN, rounds=(), stages=chain.stages)
    prompts = await chain.run(prompts_step(options.prompts), pairs, "prompts-1.jsonl")
    verified: list[Path] = []
    async with model, service:
        checking = await options_for(service, options.verify)
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
        self.stages: list[Stage] = []

    async def run(self, step: Step | OpenStep, source: Path, name: str) -> Path:
        output = self._folder / name
        summary = await run_step_async(
            step, source=source, output=output, restart=self._restart, listener=self._listener
        )
        stage = Stage(summary=summary, output=output)
        self.stages.append(stage)
        self._on_stage(stage)
        return output
