"""The chain where a service fails for some functions: started again, it ends as undisturbed."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from execbox import wire
from execbox.cli.pipeline import _show
from execbox.cli.terminal import Terminal
from execbox.dataset.steps.generate import GenerateOptions, open_generate_step
from execbox.dataset.steps.model import CallableModel
from execbox.dataset.steps.pipeline import PipelineResult, run_pipeline
from execbox.errors import ExecboxError, RequestTooLarge, ServiceUnavailable
from tests.dataset.files import function, read_lines, write_lines
from tests.dataset.verifying import Doubling

COUNT = 6


def away() -> ExecboxError:
    return ServiceUnavailable("the engine is away", code="engine_unavailable", retryable=True)


@dataclass
class Failing(Doubling):
    """Fails for these functions, retryably by default."""

    fails_for: Sequence[str] = ()
    failure: ExecboxError = field(default_factory=away)
    asked: list[str] = field(default_factory=list)

    async def generate(self, function: Any, *_: object, **options: Any) -> wire.GenerateResponse:
        code = str(function.code if isinstance(function, wire.Function) else function)
        if any(f"# {name}\n" in code for name in self.fails_for):
            raise self.failure
        return await self.one_pair(isolation="process")


def answered(_messages: object) -> str:
    return json.dumps({"output": 2, "input": {"n": 1}})


def run(
    folder: Path, *, fails_for: Sequence[str] = (), failure: ExecboxError | None = None
) -> PipelineResult:
    source = folder.parent / "functions.jsonl"
    if not source.exists():
        lines = [
            function(n) | {"refcode": f"def main_solution(n): return 2 * n  # {n}\n"}
            for n in range(COUNT)
        ]
        write_lines(source, [line | {"input_generator": "draw"} for line in lines])
    service: Any = Failing(fails_for=fails_for, failure=failure or away())
    return asyncio.run(
        run_pipeline(
            source,
            folder,
            model=CallableModel(answered),
            service=service,
            make_pairs=open_generate_step(service, GenerateOptions(count=1)),
        )
    )


def test_chain_that_lacked_functions_for_a_while_ends_with_the_bytes_of_an_undisturbed_one(
    tmp_path: Path,
) -> None:
    """No question is numbered before all functions are there: their lines number them."""
    first = run(tmp_path / "disturbed", fails_for=["1", "3"])
    assert (first.rounds, first.retryable_count) == ((), 2)
    assert not (tmp_path / "disturbed" / "prompts-1.jsonl").exists()
    said = io.StringIO()
    _show(first, Terminal(out=said, err=said, colored=False), as_json=False)
    assert "2 of the functions have no pairs, because the service failed" in said.getvalue()
    assert run(tmp_path / "disturbed").retryable_count == 0
    assert run(tmp_path / "undisturbed").retryable_count == 0
    names = sorted(path.name for path in (tmp_path / "undisturbed").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "disturbed").iterdir())
    for name in (each for each in names if not each.endswith(".run.json")):
        texts = [(tmp_path / each / name).read_bytes() for each in ("disturbed", "undisturbed")]
        assert texts[0] == texts[1], name
    prompts = read_lines(tmp_path / "disturbed" / "prompts-1.jsonl")
    assert sorted({each["itemid"] for each in prompts}) == list(range(COUNT))


def test_chain_goes_on_without_a_function_whose_answer_never_fits(tmp_path: Path) -> None:
    """It would be too large in every run, so nothing waits for it."""
    too_large = RequestTooLarge("no room", code="answer_too_large", http_status=413)
    result = run(tmp_path / "out", fails_for=["1"], failure=too_large)
    assert (len(result.rounds), result.retryable_count) == (2, 0)
    prompts = read_lines(tmp_path / "out" / "prompts-1.jsonl")
    assert len({each["itemid"] for each in prompts}) == COUNT - 1
