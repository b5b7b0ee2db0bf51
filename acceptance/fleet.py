"""``python -m acceptance.fleet``: one batch over two and four nodes, of which some fail meanwhile.

    python -m acceptance.fleet [--lines N] [--engine bubblewrap] [--output FOLDER]

Each line runs a cheap function on arguments of its own at level ``process``. First one node alone
answers all of them; then two nodes, one of which is killed in the middle and started again; then
four, one of which gets to run a fifth of the time, a second is killed for good, and a third is
killed and started again. Every line has to be answered once, and as the single node answered it.
As root every node has a network namespace with an address of its own. Exits with 1 if anything is
lost, double or different.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from harness.local_nodes import KEY, LocalNode, local_nodes
from harness.local_service import ServiceDidNotStart
from harness.machine import describe_machine, docker_version
from harness.report import RESULTS, Claim, facts_text, number, table, write_report

from execbox import BatchResult, Client, ClientConfig, ExecboxError, NodeReport, wire

LINES = 50_000
SLOW_PART = 0.2
_KILLED_AT, _STARTED_AT = 0.3, 0.5
"""Parts of the lines that are answered when nodes are killed and started again."""
FUNCTIONS = (
    "def main_solution(n):\n    return sum(k * k for k in range(n % 97))",
    "def main_solution(n):\n    return sorted(str(n * 7919))[::-1]",
    "def main_solution(n):\n    return {'n': n, 'binary': bin(n)[2:]}",
    "def main_solution(n):\n    return [] if n % 3 else 1 // (n % 2)",
)
"""Cheap ones; the last raises for every sixth line."""


@dataclass
class Run:
    """What one run over some nodes gave: by line, how it ended and with what."""

    name: str
    answers: dict[str, tuple[str, str]] = field(default_factory=dict)
    double_count: int = 0
    errors: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0
    nodes: Sequence[NodeReport] = ()
    events: list[str] = field(default_factory=list)

    def take(self, result: BatchResult) -> None:
        """Note one result."""
        if not isinstance(result.answer, wire.ExecuteAnswer):
            self.errors.append(result.error.message if result.error else "no answer")
            return
        name = str(result.id)
        self.double_count += name in self.answers
        execution = result.answer.executions[0]
        self.answers[name] = (execution.status, repr(execution.output))


def lines_of(count: int) -> Iterator[dict[str, object]]:
    """Line after line, each with arguments of its own."""
    for number_ in range(count):
        yield {
            "id": str(number_),
            "op": "execute",
            "function": {"code": FUNCTIONS[number_ % len(FUNCTIONS)]},
            "calls": [{"kwargs": {"n": number_}}],
            "isolation": "process",
        }


def run_batch(name: str, nodes: Sequence[LocalNode], *, line_count: int, eventful: bool) -> Run:
    """All lines over these nodes; if ``eventful``, with what the module's first lines say."""
    run = Run(name)
    config = ClientConfig(nodes=tuple(node.url for node in nodes), api_key=KEY)
    returning = nodes[-1] if eventful else None
    ending = nodes[1] if eventful and len(nodes) > 2 else None
    with ExitStack() as stack:
        client = stack.enter_context(Client(config=config))
        if ending is not None:
            stack.enter_context(nodes[0].slowed(part=SLOW_PART))
            run.events.append(f"{nodes[0].url} runs {SLOW_PART:.0%} of the time")
        begun_s = time.monotonic()
        for result in client.batch(lines_of(line_count)):
            run.take(result)
            done = len(run.answers)
            if done == int(_KILLED_AT * line_count):
                for node in filter(None, (returning, ending)):
                    node.kill()
                    run.events.append(f"{node.url} killed at {done} lines")
            if done == int(_STARTED_AT * line_count) and returning is not None:
                returning.start()
                run.events.append(f"{returning.url} started at {done} lines")
        run.elapsed_s = time.monotonic() - begun_s
        run.nodes = client.nodes()
    return run


def claims_of(run: Run, alone: Run, *, line_count: int) -> list[Claim]:
    """What has to hold of a run, held against the one of a single node."""
    different = [name for name, each in run.answers.items() if alone.answers.get(name) != each]
    lost = line_count - len(run.answers)
    return [
        Claim(f"{run.name}: every line is answered", f"{lost} lost", not lost),
        Claim(
            f"{run.name}: no line is answered twice", f"{run.double_count}", not run.double_count
        ),
        Claim(f"{run.name}: as by one node", f"{len(different)} different", not different),
        Claim(
            f"{run.name}: every node did a share",
            ", ".join(str(node.sent_count) for node in run.nodes),
            all(node.sent_count for node in run.nodes),
        ),
    ]


def returned_claim(run: Run) -> Claim:
    """The last node was killed and started again, and has work at the end."""
    last = run.nodes[-1]
    found = f"{last.address} is {last.state.value}"
    return Claim(f"{run.name}: the one that returned is used", found, last.state == "ready")


def _shares(runs: Sequence[Run]) -> str:
    rows = [
        [
            run.name,
            node.address,
            node.state.value,
            str(node.sent_count),
            f"{100 * node.sent_count / max(1, sum(each.sent_count for each in run.nodes)):.1f} %",
        ]
        for run in runs
        for node in run.nodes
    ]
    return table(["run", "node", "at the end", "lines sent there", "share"], rows, align="lllrr")


def _speeds(runs: Sequence[Run], *, line_count: int) -> str:
    rows = [
        [
            run.name,
            number(run.elapsed_s),
            number(line_count / run.elapsed_s),
            str(sum(node.sent_count for node in run.nodes) - line_count),
            "; ".join(run.events) or "-",
        ]
        for run in runs
    ]
    head = ["run", "seconds", "lines a second", "lines sent again", "what happened"]
    return table(head, rows, align="lrrrl")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m acceptance.fleet", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--lines", type=int, default=LINES)
    parser.add_argument("--engine", default="bubblewrap", help="docker or bubblewrap (default)")
    parser.add_argument("--output", type=Path, default=RESULTS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; the exit code."""
    asked = _arguments(argv)
    runs: list[Run] = []
    try:
        for count in (1, 2, 4):
            with local_nodes(count, engine=asked.engine, log_level="error") as nodes:
                if not runs:
                    with Client(config=ClientConfig(base_url=nodes[0].url, api_key=KEY)) as client:
                        able = client.capabilities()
                name = "one node" if count == 1 else f"{count} nodes"
                runs.append(run_batch(name, nodes, line_count=asked.lines, eventful=count > 1))
                print(f"{name}: {runs[-1].elapsed_s:.0f} s", file=sys.stderr)
    except (ExecboxError, ServiceDidNotStart) as error:
        print(f"acceptance.fleet: {error}", file=sys.stderr)
        return 2
    alone, *fleets = runs
    claims = [claim for run in fleets for claim in claims_of(run, alone, line_count=asked.lines)]
    claims += [returned_claim(run) for run in fleets]
    held = table(
        ["claim", "found", "holds"],
        [[claim.text, claim.found, "yes" if claim.holds else "NO"] for claim in claims],
    )
    machine = describe_machine(able, docker_version=docker_version() or "none")
    markdown = "\n\n".join(
        [
            facts_text(machine | {"lines": str(asked.lines), "engine": able.engine}),
            _speeds(runs, line_count=asked.lines),
            _shares(runs),
            held,
        ]
    )
    record = {"machine": machine, "claims": claims, "errors": [run.errors[:10] for run in runs]}
    write_report(asked.output, "fleet", markdown=markdown + "\n", record=record)
    return 0 if all(claim.holds for claim in claims) else 1


if __name__ == "__main__":
    sys.exit(main())
