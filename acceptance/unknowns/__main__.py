"""``python -m acceptance.unknowns``: does any failure become a verdict about the code?

The same checks, of which the right answer is known, through every adapter, while one thing after
the other fails. What is written down is the share of checks that were right, unknown, and false.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final, TypeVar

from harness.bench import IMAGE
from harness.local_service import ServiceDidNotStart
from harness.measurement import capabilities_of, machine_of, say
from harness.own_daemon import NoOwnDaemon, OwnDaemon
from harness.report import RESULTS, facts_text
from harness.unsteady_network import UnsteadyNetwork

from acceptance.unknowns.adapter import Adapter
from acceptance.unknowns.checks import checks_of
from acceptance.unknowns.contract_adapters import CONTRACT_ADAPTERS
from acceptance.unknowns.faults import FAULTS, Fault
from acceptance.unknowns.measuring import Tally, asked
from acceptance.unknowns.own_adapters import OWN_ADAPTERS
from acceptance.unknowns.place import Place
from acceptance.unknowns.table import Tallies, dishonest, in_page, table_of
from execbox import ClientConfig

__all__ = ["ADAPTERS", "main", "placed", "tallied"]

ADAPTERS: Final = (*OWN_ADAPTERS, *CONTRACT_ADAPTERS)
_CHECK_COUNT: Final = 2000
_WORKERS: Final = 16
_SEED: Final = 12
_Named = TypeVar("_Named", Adapter, Fault)


@contextmanager
def placed(*, daemon: bool, seed: int) -> Iterator[Place]:
    """A place for checks, with a Docker daemon of its own where that is asked for. Raises
    ``NoOwnDaemon``."""
    with ExitStack() as stack:
        own = stack.enter_context(OwnDaemon(IMAGE)) if daemon else None
        network = stack.enter_context(UnsteadyNetwork(seed=seed))
        # verl's function finds its service by this, as it does in a trainer.
        before = os.environ.get("EXECBOX_URL")
        os.environ["EXECBOX_URL"] = network.url
        try:
            yield Place(network, own, seed=seed, instance=f"unknowns-{os.getpid()}")
        finally:
            del os.environ["EXECBOX_URL"]
            if before is not None:
                os.environ["EXECBOX_URL"] = before


def tallied(
    place: Place, fault: Fault, *, adapters: Sequence[Adapter], count: int, workers: int
) -> Iterator[tuple[Adapter, Tally]]:
    """Each adapter's, one after the other, with the service between two of them as it should be."""
    checks = checks_of(count)
    with place.served(fault.settings):
        for adapter in adapters:
            place.wait_until_ready()
            try:
                with fault.failing(place):
                    tally = asked(adapter, checks, url=place.network.url, workers=workers)
            except ImportError as error:
                say(f"{adapter.name}: passed over, {error}")
                continue
            yield adapter, tally


def main(argv: Sequence[str] | None = None) -> int:
    """Ask, print and write the table; 1 where a failure became a verdict, 2 where none started."""
    # As Ctrl-C does: daemon, services and containers are ended with their blocks.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = _parser()
    asked_for = parser.parse_args(argv)
    faults = _chosen(FAULTS, asked_for.fault, parser)
    adapters = _chosen(ADAPTERS, asked_for.adapter, parser)
    tallies = _earlier(asked_for.output) if asked_for.keep else {}
    facts: dict[str, str] = {}
    try:
        with placed(daemon=any(each.needs_daemon for each in faults), seed=_SEED) as place:
            for fault in faults:
                options = {"count": asked_for.checks, "workers": asked_for.workers}
                for adapter, tally in tallied(place, fault, adapters=adapters, **options):
                    tallies[adapter.name, fault.name] = tally
                    facts = facts or machine_of(
                        capabilities_of(ClientConfig(base_url=place.network.url))
                    )
                    _tell(adapter, fault, tally)
                    _write(asked_for.output, tallies)
    except (NoOwnDaemon, ServiceDidNotStart) as error:
        print(f"acceptance.unknowns: {error}", file=sys.stderr)
        return 2
    print(f"\n{facts_text(facts)}\n\n{table_of(tallies, ADAPTERS, FAULTS)}")
    if asked_for.page is not None:
        asked_for.page.write_text(
            in_page(asked_for.page.read_text("utf-8"), table_of(tallies, ADAPTERS, FAULTS)),
            encoding="utf-8",
        )
    wrong = dishonest(tallies, ADAPTERS)
    for sentence in wrong:
        say(sentence)
    return int(bool(wrong))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m acceptance.unknowns",
        description="Whether any failure becomes a verdict about the code.",
    )
    faults = ", ".join(each.name for each in FAULTS)
    parser.add_argument("--fault", action="append", metavar="NAME", help=f"of {faults}")
    parser.add_argument("--adapter", action="append", metavar="NAME", help="as the table has it")
    parser.add_argument("--checks", type=int, default=_CHECK_COUNT, help="for each (2000)")
    parser.add_argument("--workers", type=int, default=_WORKERS, help="that ask at once (16)")
    parser.add_argument("--keep", action="store_true", help="what an earlier run found, too")
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
        f"{fault.name}; {adapter.name}: {tally.right} right, {tally.unknown} unknown, "
        f"{tally.false_zeros} false zeros, {tally.false_ones} false ones, {tally.other} other, "
        f"{tally.took_s:.1f} s"
    )
    for note in tally.notes:
        say(f"    {note}")


def _write(folder: Path, tallies: Tallies) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"adapter": adapter, "fault": fault} | asdict(tally)
        for (adapter, fault), tally in tallies.items()
    ]
    (folder / "unknowns.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _earlier(folder: Path) -> Tallies:
    path = folder / "unknowns.json"
    rows = json.loads(path.read_text("utf-8")) if path.exists() else []
    return {(row.pop("adapter"), row.pop("fault")): Tally(**row) for row in rows}


if __name__ == "__main__":
    sys.exit(main())
