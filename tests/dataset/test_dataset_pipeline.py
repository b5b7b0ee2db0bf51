"""The chain where a service fails for some functions: started again, it ends as undisturbed."""

from __future__ import annotations

import asyncio
import fcntl
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from execbox import wire
from execbox.cli.pipeline import _show
from execbox.cli.terminal import Terminal
from execbox.dataset.files.json_lines import DatasetError
from execbox.dataset.files.resume import errors_path, run_path
from execbox.dataset.steps.generate import GenerateOptions, open_generate_step
from execbox.dataset.steps.model import CallableModel
from execbox.dataset.steps.pipeline import PipelineOptions, PipelineResult, Stage, run_pipeline
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
    folder: Path,
    *,
    fails_for: Sequence[str] = (),
    failure: ExecboxError | None = None,
    restart: bool = False,
    on_stage: Callable[[Stage], None] = lambda _: None,
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
            restart=restart,
            on_stage=on_stage,
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


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def other_functions(folder: Path) -> None:
    """Change the functions of the chains in ``folder``, so that nothing of an old one is of use."""
    lines = read_lines(folder / "functions.jsonl")
    write_lines(
        folder / "functions.jsonl",
        [line | {"refcode": f"{line['refcode']}# anew\n"} for line in lines[: COUNT // 2]],
    )


@pytest.mark.parametrize("stage_count", range(1, 8))
def test_chain_begun_anew_and_ended_on_the_way_is_gone_on_with(
    tmp_path: Path, stage_count: int
) -> None:
    """After any stage; nothing that is left of the old chain makes the same command refuse."""
    run(tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.jsonl"))) == 8
    other_functions(tmp_path)
    seen: list[Stage] = []

    def ended(stage: Stage) -> None:
        seen.append(stage)
        if len(seen) == stage_count:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", restart=True, on_stage=ended)
    result = run(tmp_path / "out")
    for stage, before in zip(result.stages, seen, strict=False):
        assert stage.summary.resumed_count == before.summary.result_count or (
            stage.summary.step == "assemble"
        )
    run(tmp_path / "undisturbed")
    undisturbed = contents(tmp_path / "undisturbed")
    for name, text in contents(tmp_path / "out").items():
        assert name.endswith(".run.json") or text == undisturbed[name], name


def test_chain_that_cannot_be_begun_anew_discards_nothing(tmp_path: Path) -> None:
    """The service is away, the functions are not there, or another run is writing a file."""
    run(tmp_path / "out")
    before = contents(tmp_path / "out")

    def refused(error: type[Exception], match: str) -> None:
        with pytest.raises(error, match=match):
            run(tmp_path / "out", restart=True)
        assert contents(tmp_path / "out") == before

    with run_path(tmp_path / "out" / "answers-2.jsonl").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused(DatasetError, "another run is writing")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Failing, "capabilities", is_away)
        refused(ServiceUnavailable, "away")
    (tmp_path / "functions.jsonl").unlink()
    (tmp_path / "functions.jsonl").mkdir()
    refused(DatasetError, "functions")


async def is_away(_: object) -> wire.Capabilities:
    raise away()


def test_chain_begun_anew_discards_only_what_a_chain_wrote(tmp_path: Path) -> None:
    """A file of somebody's is theirs, and so are functions that have the name of a stage; what
    further rounds left is the chain's."""
    folder = tmp_path / "out"
    run(folder)
    (folder / "train.jsonl").write_text('{"id": "mine"}\n')
    run_path(folder / "train.jsonl").unlink()
    pairs = (folder / "pairs.jsonl").read_bytes()
    write_lines(errors_path(folder / "verified-2.jsonl"), [{"id": "x", "retry": False}])

    def ended(_: Stage) -> None:
        raise KeyboardInterrupt

    service: Any = Failing()
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(
            run_pipeline(
                folder / "pairs.jsonl",
                folder,
                model=CallableModel(answered),
                service=service,
                options=PipelineOptions(rounds_count=1),
                restart=True,
                on_stage=ended,
            )
        )
    assert (folder / "pairs.jsonl").read_bytes() == pairs
    assert (folder / "train.jsonl").read_text() == '{"id": "mine"}\n'
    for name in ("answers-1", "verified-1", "prompts-2", "answers-2", "verified-2"):
        assert (folder / f"{name}.jsonl").read_bytes() == b""
    assert not list(folder.glob("*.errors.jsonl"))
