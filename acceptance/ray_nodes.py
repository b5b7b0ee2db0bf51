"""`python -m acceptance.ray_nodes`: generate through Ray Data on two nodes, one of which is killed.

The same functions go through `execbox generate`'s own step on one service, and through Ray Data on
a local Ray cluster of two nodes with a service each. In the middle one node is killed, its service
and Ray's own processes with it. Passes where the results are the same, record by record, and none
is lost or there twice. Needs `pip install 'execbox[ray]'`, and is not in CI: Ray is heavy.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from execbox import AsyncClient
from execbox.dataset.files.resume import errors_path
from execbox.dataset.steps.file_run import run_step
from execbox.dataset.steps.generate import GenerateOptions, open_generate_step

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

    from execbox.ray import Fleet

ROOT: Final = Path(__file__).resolve().parents[1]
_STORE_BYTES: Final = 100 * 2**20
_CPUS: Final = 2
_BATCH: Final = 4
_OPTIONS: Final = GenerateOptions(count=3, attempts=60)
_KILL_AFTER: Final = 0.25
"""Share of the records that are done when the node is killed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one way made of the records: id to result, or to the failure's reason."""

    results: Mapping[str, Any]
    rows: int
    duration_s: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run both ways and compare. The exit code says whether they agree."""
    parser = argparse.ArgumentParser(
        prog="python -m acceptance.ray_nodes", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--records", type=int, default=200, help="functions (default 200)")
    parser.add_argument("--engine", default="auto", help="of the services (default auto)")
    args = parser.parse_args(argv)
    # Not before it is known what is asked: Ray is in no lock file.
    import ray
    from ray.cluster_utils import Cluster

    from execbox.ray import start_fleet

    with tempfile.TemporaryDirectory(prefix="execbox-ray-") as folder:
        source = Path(folder) / "functions.jsonl"
        write_functions(source, args.records)
        cluster = Cluster(initialize_head=True, head_node_args=_node_arguments())
        doomed = cluster.add_node(**_node_arguments())
        ray.init(address=cluster.address, logging_level="error")
        try:
            fleet = start_fleet("acceptance", port=18_600, settings={"EXECBOX_ENGINE": args.engine})
            plain = by_step(fleet, source, Path(folder) / "pairs.jsonl")
            kill = _Kill(cluster, doomed, after=int(args.records * _KILL_AFTER))
            spread = by_ray_data(fleet, source, kill)
            services = len(fleet.addresses())
            fleet.stop()
        finally:
            ray.shutdown()
            cluster.shutdown()
    return report(plain, spread, records=args.records, killed=kill.done, services=services)


def _node_arguments() -> dict[str, Any]:
    return {
        "num_cpus": _CPUS,
        "object_store_memory": _STORE_BYTES,
        "include_dashboard": False,
    }


def write_functions(path: Path, count: int) -> None:
    """The functions of examples/ over and over, each with an id of its own."""
    lines = (ROOT / "examples/functions.jsonl").read_text("utf-8").splitlines()
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            value = json.loads(lines[number % len(lines)])
            file.write(json.dumps({"id": f"f{number:06}"} | value) + "\n")


def by_step(fleet: Fleet, source: Path, output: Path) -> Outcome:
    """As `execbox generate` does it."""
    begun_s = time.monotonic()
    step = open_generate_step(AsyncClient(config=fleet.config()), _OPTIONS)
    run_step(step, source=source, output=output)
    duration_s = time.monotonic() - begun_s
    values = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    errors = errors_path(output)
    failed = errors.read_text("utf-8").splitlines() if errors.exists() else []
    found = {value["id"]: value for value in values}
    found |= {value["id"]: value["reason"] for value in map(json.loads, failed)}
    return Outcome(found, len(values) + len(failed), duration_s)


def by_ray_data(fleet: Fleet, source: Path, kill: _Kill) -> Outcome:
    """As one pipeline of Ray Data, whose rows come in whatever order."""
    from ray import data

    from execbox.ray import Generate

    begun_s = time.monotonic()
    pairs = (
        data.read_text(str(source), override_num_blocks=16)
        .repartition(16)
        .map_batches(
            Generate,
            fn_constructor_args=(fleet, _OPTIONS),
            batch_format="pyarrow",
            batch_size=_BATCH,
            num_cpus=0,
            # On each node one, so that the node that is killed takes work with it.
            scheduling_strategy="SPREAD",
            concurrency=2,
        )
    )
    rows = []
    for row in pairs.iter_rows():
        rows.append(row)
        kill.seen(len(rows))
    found = {}
    for row in rows:
        if row["text"] is None:
            failure = json.loads(row["failure"])
            found[failure["id"]] = failure["reason"]
        else:
            value = json.loads(row["text"])
            found[value["id"]] = value
    return Outcome(found, len(rows), time.monotonic() - begun_s)


class _Kill:
    """Kills a node once so many rows have come out."""

    def __init__(self, cluster: Cluster, node: Any, *, after: int) -> None:
        self._cluster = cluster
        self._node = node
        self._after = after
        self._thread: threading.Thread | None = None
        self.done = False

    def seen(self, row_count: int) -> None:
        """Told with each row."""
        if self._thread is None and row_count >= self._after:
            self._thread = threading.Thread(target=self._kill)
            self._thread.start()

    def _kill(self) -> None:
        self._cluster.remove_node(self._node, allow_graceful=False)
        self.done = True


def report(plain: Outcome, spread: Outcome, *, records: int, killed: bool, services: int) -> int:
    """Print both, and say whether they agree."""
    differing = [name for name in plain.results if plain.results[name] != spread.results.get(name)]
    print(f"{records} functions, {_OPTIONS.count} pairs each at most")
    print("| way | rows | records | s |\n|---|---|---|---|")
    for way, outcome in {"step": plain, "Ray Data, a node killed": spread}.items():
        print(f"| {way} | {outcome.rows} | {len(outcome.results)} | {outcome.duration_s:.1f} |")
    print(f"different: {len(differing)} {differing[:5]}; services left: {services}")
    agree = not differing and spread.rows == plain.rows == records and killed and services == 1
    print("PASS" if agree else "FAIL")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
