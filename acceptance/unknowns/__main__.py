"""``python -m acceptance.unknowns``: does any failure become a verdict about the code?

The same checks, of which the right answer is known, through every adapter, while one thing after
the other fails. What is written down is the share of checks that were right, unknown, and false.
The checks are shared out over the faults, so that each adapter is asked for all of them once. How
the adapters of one fault are asked together is in ``waves``.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, TypeVar

from harness.bench import IMAGE
from harness.local_service import ServiceDidNotStart
from harness.measurement import capabilities_of, machine_of, say
from harness.own_daemon import NoOwnDaemon, OwnDaemon
from harness.report import RESULTS, facts_text
from harness.unsteady_network import UnsteadyNetwork

from acceptance.unknowns.adapter import Adapter
from acceptance.unknowns.answer_log import AnswerLog, OtherRun
from acceptance.unknowns.checks import PART_COUNT, checks_of
from acceptance.unknowns.contract_adapters import CONTRACT_ADAPTERS
from acceptance.unknowns.faults import FAULTS, Fault
from acceptance.unknowns.measuring import Tally
from acceptance.unknowns.own_adapters import OWN_ADAPTERS
from acceptance.unknowns.place import Place
from acceptance.unknowns.table import Tallies, dishonest, in_page, spared, table_of
from acceptance.unknowns.waves import Run, ask_all
from execbox import ClientConfig

__all__ = ["ADAPTERS", "CHOSEN_FAULTS", "main", "placed"]

ADAPTERS: Final = (*OWN_ADAPTERS, *CONTRACT_ADAPTERS)
CHOSEN_FAULTS: Final = [each for each in FAULTS if each.is_chosen]
_CHECK_COUNT: Final = 2000
_IN_FLIGHT: Final = 64
_CPU_WEIGHT: Final = 8
"""Of the containers together; on a machine that others use, they are starved otherwise."""
_PIECES_MAX: Final = 30
"""So that about one request in ten meets the end of its connection."""
_SEED: Final = 12
_Named = TypeVar("_Named", Adapter, Fault)


@contextmanager
def placed(*, daemon: bool, seed: int) -> Iterator[Place]:
    """A place for checks, with a Docker daemon of its own where that is asked for. Raises
    ``NoOwnDaemon``."""
    with ExitStack() as stack:
        own = stack.enter_context(OwnDaemon(IMAGE, cpu_weight=_CPU_WEIGHT)) if daemon else None
        network = stack.enter_context(UnsteadyNetwork(seed=seed, pieces_max=_PIECES_MAX))
        # verl's function finds its service by this, as it does in a trainer.
        before = os.environ.get("EXECBOX_URL")
        os.environ["EXECBOX_URL"] = network.url
        try:
            yield Place(network, own, seed=seed, instance=f"unknowns-{os.getpid()}")
        finally:
            del os.environ["EXECBOX_URL"]
            if before is not None:
                os.environ["EXECBOX_URL"] = before


def main(argv: Sequence[str] | None = None) -> int:
    """Ask, print and write the table; 1 where a failure became a verdict, 2 where none started."""
    parser = _parser()
    given = parser.parse_args(argv)
    # As Ctrl-C does: daemon, services and containers are ended with their blocks.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    faults = _chosen(FAULTS, given.fault, parser) if given.fault else CHOSEN_FAULTS
    adapters = _chosen(ADAPTERS, given.adapter, parser)
    run = Run(checks=checks_of(given.checks), in_flight=given.in_flight)
    facts: dict[str, str] = {}
    try:
        log = AnswerLog(given.output, checks=run.checks, anew=given.anew)
        with placed(daemon=any(each.needs_daemon for each in faults), seed=_SEED) as place:
            for fault in faults:
                for adapter in ask_all(place, fault, adapters=adapters, log=log, run=run):
                    facts = facts or machine_of(
                        capabilities_of(ClientConfig(base_url=place.service_url))
                    )
                    _tell(adapter, fault, log.tally(adapter.name, fault.name))
    except (NoOwnDaemon, ServiceDidNotStart, OtherRun) as error:
        print(f"acceptance.unknowns: {error}", file=sys.stderr)
        return 2
    tallies = {cell: log.tally(*cell) for cell in log.cells}
    made = table_of(tallies, ADAPTERS, FAULTS, whole_count=given.checks // PART_COUNT)
    return _concluded(tallies, facts, made=made, page=given.page)


def _concluded(tallies: Tallies, facts: dict[str, str], *, made: str, page: Path | None) -> int:
    print(f"\n{facts_text(facts)}\n\n{made}")
    if page is not None:
        page.write_text(in_page(page.read_text("utf-8"), made), encoding="utf-8")
    wrong = dishonest(tallies, ADAPTERS) + spared(tallies)
    for sentence in wrong:
        say(sentence)
    return int(bool(wrong))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m acceptance.unknowns",
        description="Whether any failure becomes a verdict about the code. The same command goes "
        "on where it was cut off.",
    )
    names = ", ".join(each.name for each in FAULTS)
    chosen = ", ".join(each.name for each in CHOSEN_FAULTS)
    parser.add_argument(
        "--fault", action="append", metavar="NAME", help=f"of {names} (each of {chosen})"
    )
    parser.add_argument("--adapter", action="append", metavar="NAME", help="as the table has it")
    parser.add_argument(
        "--checks",
        type=int,
        default=_CHECK_COUNT,
        help="through each adapter, a quarter of them under each fault (2000)",
    )
    parser.add_argument(
        "--in-flight",
        type=int,
        default=_IN_FLIGHT,
        help=f"of them at once, of all adapters together, about ({_IN_FLIGHT})",
    )
    parser.add_argument("--anew", action="store_true", help="without what --output has already")
    parser.add_argument("--page", type=Path, help="a page whose table is replaced")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for what is found")
    return parser


def _chosen(
    every: Sequence[_Named], names: Sequence[str] | None, parser: argparse.ArgumentParser
) -> list[_Named]:
    known = {each.name: each for each in every}
    unknown = sorted(set(names or ()) - known.keys())
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
    return [each for name, each in known.items() if not names or name in names]


def _tell(adapter: Adapter, fault: Fault, tally: Tally) -> None:
    say(
        f"{fault.name}, {tally.strike_count} times; {adapter.name}: {tally.right} right, "
        f"{tally.unknown} unknown, {tally.false_zeros} false zeros, {tally.false_ones} false "
        f"ones, {tally.other} other, {tally.took_s:.1f} s"
    )
    for note in tally.notes:
        say(f"    {note}")


if __name__ == "__main__":
    sys.exit(main())
