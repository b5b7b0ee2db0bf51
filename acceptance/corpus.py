"""``python -m acceptance.corpus``: the public corpora, run through the service over HTTP.

Reading the files is in ``corpus_files.py``, judging what came back in ``matching.py``.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness.corpus_files import (
    DEFAULT_FOLDER,
    CodeioFunction,
    CorpusMissing,
    CruxevalFunction,
    read_codeio,
    read_cruxeval,
)
from harness.local_service import LocalService, ServiceDidNotStart

from acceptance.matching import Outcome, Probe, reason
from execbox import Client, ExecboxError
from execbox.wire import Call, Checks, DeterminismCheck, Execution, Function, Isolation, Status

_OK_SHARE_MIN = 0.95
_PROBE_RUNS = 3
_MISSING_MODULE = "ModuleNotFoundError"


@dataclass(frozen=True)
class Ran:
    """A function with what its published pairs gave; ``failure`` where the service gave nothing."""

    function: CodeioFunction
    outcomes: tuple[Outcome, ...]
    failure: str | None = None

    @property
    def imports_missing(self) -> bool:
        return any(
            outcome.execution.error is not None and outcome.execution.error.type == _MISSING_MODULE
            for outcome in self.outcomes
        )

    @property
    def matches(self) -> bool:
        return not self.failure and all(outcome.matches for outcome in self.outcomes)


def main(argv: Sequence[str] | None = None) -> int:
    """Run both corpora; 1 if a figure is missed: 95 % ok, all of CRUXEval, an answer to all."""
    arguments = _parser().parse_args(argv)
    try:
        functions = read_codeio(arguments.corpus)
        puzzles = read_cruxeval(arguments.corpus)
        with (
            LocalService() as service,
            Client(config=service.config()) as client,
            ThreadPoolExecutor(client.capabilities().concurrency + 1) as threads,
        ):
            bench = _Bench(client, isolation=arguments.isolation, threads=threads)
            good = bench.codeio(functions, list_path=arguments.list)
            return 0 if bench.cruxeval(puzzles) and good else 1
    except (CorpusMissing, ServiceDidNotStart) as error:
        print(f"acceptance.corpus: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m acceptance.corpus",
        description="Run every published pair of two public corpora through a service of our own.",
    )
    parser.add_argument(
        "--corpus",
        type=Path,
        default=DEFAULT_FOLDER,
        metavar="FOLDER",
        help="holds codeio_functions.jsonl and cruxeval.jsonl (default ../shared/corpus)",
    )
    parser.add_argument("--isolation", choices=["container", "process"], default="process")
    parser.add_argument(
        "--list", type=Path, metavar="FILE", help="write what does not match, a JSON object a line"
    )
    return parser


class _Bench:
    """One client's run over the corpora; prints as it goes."""

    def __init__(self, client: Client, *, isolation: Isolation, threads: ThreadPoolExecutor):
        self._client = client
        self._isolation: Isolation = isolation
        self._threads = threads

    # CodeI/O

    def codeio(self, functions: Sequence[CodeioFunction], *, list_path: Path | None) -> bool:
        """Run every pair, then find out why some do not match. True if enough ended ok."""
        began_s = time.monotonic()
        ran = list(self._threads.map(self._run, functions))
        took_s = time.monotonic() - began_s
        good = _print_counts(ran, took_s=took_s)
        differing = [one for one in ran if not one.matches]
        reasons = list(self._threads.map(self._reason, differing))
        print(f"\n{len(differing)} functions do not match (msgidx, pairs that differ, reason):")
        for one, why in zip(differing, reasons, strict=True):
            print(f"  {one.function.number:>5}  {_differing_text(one):>7}  {why}")
        if list_path is not None:
            _write_list(list_path, zip(differing, reasons, strict=True))
        return good

    def _run(self, function: CodeioFunction) -> Ran:
        calls = [Call(kwargs=given) for given, _published in function.pairs]
        try:
            executions = self._execute(function, calls)
        except ExecboxError as error:
            return Ran(function, (), failure=str(error))
        published = [output for _given, output in function.pairs]
        return Ran(function, tuple(map(Outcome, published, executions)))

    def _execute(
        self, function: CodeioFunction, calls: Sequence[Call], *, checks: Checks | None = None
    ) -> Sequence[Execution]:
        return self._client.execute(
            Function(code=function.code, entry_point=function.entry_point),
            calls,
            isolation=self._isolation,
            checks=checks,
        ).executions

    def _reason(self, one: Ran) -> str:
        if one.failure is not None:
            return f"no answer: {one.failure}"
        try:
            return reason(one.outcomes, self._probe(one.function))
        except ExecboxError as error:
            return f"the probes had no answer: {error}"

    def _probe(self, function: CodeioFunction) -> Probe:
        calls = [Call(kwargs=given) for given, _published in function.pairs]
        checks = Checks(determinism=DeterminismCheck(runs=_PROBE_RUNS))
        executions = self._execute(function, calls, checks=checks)
        causes = {
            execution.determinism.cause or "unknown"
            for execution in executions
            if execution.determinism is not None and not execution.determinism.deterministic
        }
        given = [pair[0] for pair in function.pairs]
        together = Call(expression=f"[{function.entry_point}(**given) for given in {given!r}]")
        (execution,) = self._execute(function, [together])
        outcome = Outcome([pair[1] for pair in function.pairs], execution)
        return Probe(tuple(sorted(causes)), outcome.matches)

    # CRUXEval

    def cruxeval(self, puzzles: Sequence[CruxevalFunction]) -> bool:
        """Run every function by expression. True if all gave the published output."""
        began_s = time.monotonic()
        differing = [text for text in self._threads.map(self._differs, puzzles) if text]
        took_s = time.monotonic() - began_s
        right_count = len(puzzles) - len(differing)
        print(f"\nCRUXEval: {right_count} of {len(puzzles)} gave the published output", end="")
        print(f" ({took_s:.1f} s)")
        for text in differing:
            print(f"  {text}")
        return not differing

    def _differs(self, puzzle: CruxevalFunction) -> str | None:
        call = Call(expression=f"repr(f({puzzle.arguments}))")
        try:
            (execution,) = self._client.execute(
                Function(code=puzzle.code, entry_point="f"), [call], isolation=self._isolation
            ).executions
        except ExecboxError as error:
            return f"{puzzle.name}: no answer: {error}"
        if execution.status is not Status.OK:
            return f"{puzzle.name}: {execution.status.value}"
        wanted = repr(ast.literal_eval(puzzle.output))
        if execution.output == wanted:
            return None
        return f"{puzzle.name}: {execution.output} instead of {wanted}"


def _print_counts(ran: Sequence[Ran], *, took_s: float) -> bool:
    """True if every function was answered and enough of the calls that could end ok did."""
    outcomes = [outcome for one in ran for outcome in one.outcomes]
    able = [outcome for one in ran if not one.imports_missing for outcome in one.outcomes]
    ok_count = sum(outcome.execution.status is Status.OK for outcome in able)
    statuses = Counter(outcome.execution.status.value for outcome in outcomes)
    match_count = sum(outcome.matches for outcome in outcomes)
    unanswered_count = sum(one.failure is not None for one in ran)
    print(f"CodeI/O: {len(ran)} functions, {len(outcomes)} calls in {took_s:.1f} s")
    print(f"  statuses: {_counts_text(statuses)}")
    print(f"  gave the published output: {match_count}")
    print(f"  functions whose imports the image lacks: {sum(one.imports_missing for one in ran)}")
    print(f"  functions without an answer: {unanswered_count}")
    print(f"  of the calls whose imports it has, ok: {ok_count} of {len(able)}", end="")
    print(f" ({ok_count / max(1, len(able)):.1%})")
    return not unanswered_count and ok_count >= _OK_SHARE_MIN * len(able)


def _counts_text(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def _differing_text(one: Ran) -> str:
    count = sum(not outcome.matches for outcome in one.outcomes)
    return f"{count}/{len(one.outcomes)}"


def _write_list(path: Path, found: Iterable[tuple[Ran, str]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for one, why in found:
            record = {"msgidx": one.function.number, "differ": _differing_text(one), "reason": why}
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    sys.exit(main())
