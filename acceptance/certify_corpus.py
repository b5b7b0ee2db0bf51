"""``python -m acceptance.certify_corpus``: published pairs and sample functions, certified.

What becomes of every pair of the CodeI/O sample, which functions are not deterministic, what
certifying costs and of what that is made. Runs in this process, without HTTP, to look inside;
``execbox certify`` on the same file sorts the same way.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

from harness.corpus_files import CODEIO_FILE, DEFAULT_FOLDER
from harness.report import ratio, table
from harness.time_spent import Spent, SpentMeter

from execbox import wire
from execbox.dataset.files.record_certificates import OWN_META
from execbox.dataset.files.resume import errors_path
from execbox.dataset.steps.certify import certify_step
from execbox.dataset.steps.file_run import run_step_async
from execbox.dataset.steps.generate import GenerateOptions, generate_step
from execbox.dataset.steps.progress import Summary
from execbox.dataset.steps.run_options import RunOptions, settled_for
from execbox.dataset.steps.step import Step
from execbox_service.operations.registry import EXECUTE, GENERATE
from execbox_service.operations.source_words import names_entropy
from execbox_service.runtime import Runtime
from execbox_service.scheduling.caller import Caller
from execbox_service.settings import load_settings

_EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "functions.jsonl"
_ROUNDS = 3
_CALLS = 400
_EVERY = 5
Job: TypeAlias = tuple[wire.Function, list[wire.Call]]


class InProcess:
    """The service without HTTP, as the dataset steps take it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def execute(
        self,
        function: wire.Function | str,
        calls: Sequence[wire.Call | Mapping[str, object]],
        **options: Any,
    ) -> wire.ExecuteResponse:
        """One execution per call."""
        given = {name: value for name, value in options.items() if value is not None}
        request = wire.ExecuteRequest(function=_function(function), calls=_calls(calls), **given)
        return await self._runtime.perform(EXECUTE, request, caller=Caller("bench"))

    async def generate(
        self,
        function: wire.Function | str,
        input_generator: wire.InputGenerator | str,
        **options: Any,
    ) -> wire.GenerateResponse:
        """The pairs of one function."""
        given = {name: value for name, value in options.items() if value is not None}
        assert isinstance(input_generator, wire.InputGenerator)
        request = wire.GenerateRequest(
            function=_function(function), input_generator=input_generator, **given
        )
        return await self._runtime.perform(GENERATE, request, caller=Caller("bench"))

    async def capabilities(self) -> wire.Capabilities:
        """What is permitted."""
        return self._runtime.capabilities()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None


def main(argv: Sequence[str] | None = None) -> int:
    """Certify, generate, compare, print."""
    parser = argparse.ArgumentParser(
        prog="python -m acceptance.certify_corpus",
        description="Certify the published pairs of the CodeI/O sample, and say what it costs.",
    )
    parser.add_argument("--corpus", type=Path, default=DEFAULT_FOLDER, metavar="FOLDER")
    parser.add_argument("--runs", type=int, default=2, metavar="N", help="default 2")
    arguments = parser.parse_args(argv)
    source = arguments.corpus / CODEIO_FILE
    if not source.exists():
        print(f"certify_corpus: {source} is not there: name its folder with --corpus")
        return 2
    asyncio.run(_measure(source, runs=arguments.runs))
    return 0


async def _measure(source: Path, *, runs: int) -> None:
    options = RunOptions(runs=runs)
    with tempfile.TemporaryDirectory() as folder:
        async with _service() as service:
            chosen = settled_for(options, await service.capabilities())
            certified = Path(folder) / "certified.jsonl"
            summary, spent = await _run(certify_step(service, chosen), source, certified)
            _show_pairs(summary)
            accounts = _accounts(source, certified)
            _show_functions(accounts)
            _show_spent("certifying the CodeI/O sample, per function", spent)
            generating = generate_step(service, GenerateOptions(run=chosen))
            pairs = Path(folder) / "pairs.jsonl"
            summary, spent = await _run(generating, _EXAMPLES, pairs)
            _show_spent("generating ten pairs for each sample function, per function", spent)
            await _show_ratio(service, _steady(source, accounts), runs=runs)


@asynccontextmanager
async def _service() -> AsyncIterator[InProcess]:
    runtime = Runtime(load_settings({"port": "18999"}))
    await runtime.start()
    try:
        yield InProcess(runtime)
    finally:
        await runtime.stop()


async def _run(step: Step, source: Path, output: Path) -> tuple[Summary, list[Spent]]:
    with SpentMeter() as meter:
        summary = await run_step_async(meter.of_step(step), source=source, output=output)
    return summary, meter.spent


# Showing


def _show(heading: str, text: str) -> None:
    print(f"\n## {heading}\n\n{text}", flush=True)


def _show_pairs(summary: Summary) -> None:
    total = sum(summary.tallies.values())
    tallies = sorted(summary.tallies.items(), key=lambda item: (-item[1], item[0]))
    _show(
        f"What became of {total} published pairs",
        table(["", "pairs"], [[name, str(count)] for name, count in tallies]),
    )


def _accounts(source: Path, certified: Path) -> dict[int, dict[str, Any]]:
    """What was done to each function's pairs, by its msgidx."""
    numbers = [record["meta"]["msgidx"] for record in _lines(source)]
    accounts = {}
    for line in _lines(certified):
        accounts[numbers[int(line["id"])]] = line["meta"][OWN_META]
    for line in _lines(errors_path(certified)):
        accounts[numbers[line["line"] - 1]] = line.get("detail", {}).get(OWN_META, {})
    return dict(sorted(accounts.items()))


def _show_functions(accounts: Mapping[int, dict[str, Any]]) -> None:
    """Every function with a pair that was dropped for randomness or corrected."""
    rows = []
    for number, account in accounts.items():
        found = [e for e in account.get("dropped", []) if e["reason"] == "non_deterministic"]
        if found:
            causes = ", ".join(sorted({entry["cause"] for entry in found}))
            hints = next((entry["message"] for entry in found if "message" in entry), "")
            rows.append([str(number), f"{len(found)} of {account['pairs']}", causes, hints])
    head = ["msgidx", "pairs", "cause", "explained by"]
    _show("Functions that are not deterministic", table(head, rows, align="rrll"))
    rows = []
    for number, account in accounts.items():
        found = account.get("corrected", [])
        if found:
            reasons = ", ".join(sorted({entry["reason"] for entry in found}))
            rows.append([str(number), f"{len(found)} of {account['pairs']}", reasons])
    head = ["msgidx", "pairs", "reason"]
    _show("Functions whose outputs were corrected", table(head, rows, align="rrl"))


def _show_spent(what: str, spent: Sequence[Spent]) -> None:
    rows = []
    total_s = sum(one.total_s for one in spent)
    for name in ("container_s", "imports_s", "forks_s", "own_s"):
        values = [getattr(one, name) for one in spent]
        middles_ms = (statistics.mean(values) * 1000, statistics.median(values) * 1000)
        figures = [f"{middle_ms:.0f} ms" for middle_ms in middles_ms]
        rows.append([name.removesuffix("_s"), *figures, f"{sum(values) / total_s:.0%}"])
    _show(f"Time: {what}", table(["", "mean", "median", "share"], rows))
    executions = [one.execution_count for one in spent]
    print(
        f"\n{len(spent)} functions, {sum(executions)} executions, "
        f"{total_s / len(spent) * 1000:.0f} ms each function, "
        f"{total_s / sum(executions) * 1000:.1f} ms each execution."
    )


async def _show_ratio(service: InProcess, steady: Sequence[Job], *, runs: int) -> None:
    """The same calls with and without the check, in turns."""
    trivial = wire.Function(code="def main_solution(n): return n * 2")
    calls = [wire.Call(kwargs={"n": n}) for n in range(_CALLS)]
    rows = []
    for what, jobs in (
        (f"{_CALLS} calls of a trivial function", [(trivial, calls)]),
        (f"{len(steady)} deterministic functions of the sample", steady),
        *_by_entropy(steady),
    ):
        await _ratio(service, jobs, runs=runs)  # Once for nothing: interpreters start.
        ratios = [await _ratio(service, jobs, runs=runs) for _ in range(_ROUNDS)]
        rows.append([what, ratio(statistics.median(ratios))])
    _show(f"Cost of runs: {runs} against no check, level process", table(["", "ratio"], rows))


def _by_entropy(steady: Sequence[Job]) -> Iterator[tuple[str, list[Job]]]:
    """Those that are run as often as was asked for, and those that are run six times."""
    for names, what in ((False, "that name no randomness"), (True, "that name some: six runs")):
        jobs = [
            (function, calls)
            for function, calls in steady
            if names_entropy([function.code]) is names
        ]
        if jobs:
            yield f"{len(jobs)} of them {what}", jobs


async def _ratio(service: InProcess, jobs: Sequence[Job], *, runs: int) -> float:
    took_s: dict[bool, float] = {True: 0.0, False: 0.0}
    for function, calls in jobs:
        for checked in (False, True):
            check = wire.DeterminismCheck(runs=runs) if checked else None
            checks = wire.Checks(determinism=check, complexity="codeio")
            begun_s = time.perf_counter()
            await service.execute(function, calls, checks=checks, isolation="process")
            took_s[checked] += time.perf_counter() - begun_s
    return took_s[True] / took_s[False]


def _steady(source: Path, accounts: Mapping[int, dict[str, Any]]) -> list[Job]:
    """Every so many of the functions all of whose pairs were kept."""
    jobs = []
    for record in _lines(source):
        account = accounts.get(record["meta"]["msgidx"])
        if account and not account["dropped"] and not account["corrected"]:
            function = wire.Function(
                code=record["refcode"], entry_point=record["funcname"], prelude="codeio"
            )
            jobs.append((function, [wire.Call(kwargs=pair["input"]) for pair in record["ios"]]))
    return jobs[::_EVERY]


def _lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _function(function: wire.Function | str) -> wire.Function:
    return wire.Function(code=function) if isinstance(function, str) else function


def _calls(calls: Sequence[wire.Call | Mapping[str, object]]) -> list[wire.Call]:
    return [call if isinstance(call, wire.Call) else wire.Call(kwargs=dict(call)) for call in calls]


if __name__ == "__main__":
    raise SystemExit(main())
