"""``python -m acceptance.attacks``: every attack program, and what must hold after each.

    python -m acceptance.attacks [--seed N] [--only TEXT] [--each-group COUNT]
                                 [--output docs/security-results.md]
                                 [--kind function | program | both | cell | started]

Starts a service with one warm container and sends it every program of ours and of
../shared/attacks, at both isolation levels, in random order, one after another: as a function, or
as a whole program that calls it at its end (both), or as a cell of a session, which has a container
of its own and so one level only; ``started`` are the programs in bash and C++, which need
``make image-languages``. Exits with 1 if a post-condition did not hold. What holds is decided in
``attack_checks``, looked at in ``attack_range``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import os
import platform
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.attacks.attack import LIMITS, Attack
from harness.host_view import HostView
from harness.local_service import LocalService

from acceptance.attack_range import LEVELS, POOL_SIZE, SLOT_COUNT, TRIES_MAX, Range
from acceptance.attack_report import Circumstances, Row, render
from acceptance.attack_targets import Target, all_targets, as_cells, as_programs, started_targets
from execbox import AsyncClient, ClientConfig, wire
from execbox.config import RetryPolicy

_LANGUAGES_IMAGE = "execbox-sandbox:languages"
_HONEST_CPP = Target(
    "honest",
    "honest",
    "honest work",
    Attack("honest work", "int main() { return 0; }\n", ("ok",), language="cpp"),
    LIMITS,
    kind="program",
)
_KEYS = ("attacker", "bystander")
_CHECKOUT = str(Path(__file__).resolve().parents[1])


async def _run_all(
    service: LocalService, keys: tuple[str, ...], runs: list[tuple[Target, wire.Isolation]]
) -> tuple[list[Row], str]:
    async with contextlib.AsyncExitStack() as stack:
        attacker, bystander = [
            await stack.enter_async_context(
                AsyncClient(
                    config=ClientConfig(
                        base_url=service.url, api_key=key, retry=RetryPolicy.never()
                    )
                )
            )
            for key in keys
        ]
        able = await attacker.capabilities()
        view = stack.enter_context(
            contextlib.closing(HostView(service.url.removeprefix("http://")))
        )
        ground = Range(view, service.pid, attacker, bystander, (*keys, _CHECKOUT))
        languages = {target.attack.language for target, _isolation in runs}
        first = await ground.warm_up(also=[_HONEST_CPP] if "cpp" in languages else [])
        rows = []
        for number, (target, isolation) in enumerate(runs, start=1):
            row = await ground.attack(target, isolation, first)
            rows.append(row)
            print(f"{number}/{len(runs)} {told(row)}", flush=True)
    return rows, f"{able.engine} engine, Python {able.python}, image {able.image[:19]}"


def told(row: Row) -> str:
    """One line about an attack, which may have got no answer."""
    status = row.statuses[-1] if row.statuses else "no answer"
    return f"{row.id} [{row.isolation}] {status}: {'; '.join(row.faults) or 'ok'}"


def targets_of(kind: str) -> list[Target]:
    """As functions, as programs, as both, as cells; or those in bash and C++."""
    functions = all_targets()
    programs = as_programs(functions)
    return {
        "function": functions,
        "program": programs,
        "both": functions + programs,
        "cell": as_cells(functions),
        "started": started_targets(),
    }[kind]


def levels_of(target: Target) -> tuple[wire.Isolation, ...]:
    """At which levels it can be sent."""
    return ("container",) if target.kind == "cell" else LEVELS


def first_of_each_group(targets: Sequence[Target], count: int) -> list[Target]:
    """As many of each group, in their order; all of a group that has no more."""
    taken: Counter[str] = Counter()
    share = []
    for target in targets:
        taken[target.group] += 1
        if taken[target.group] <= count:
            share.append(target)
    return share


def run(
    *, seed: int, only: str, kind: str, each_group: int | None = None
) -> tuple[list[Row], Circumstances]:
    """Run what matches; the rows are in the order of the tables."""
    targets = [each for each in targets_of(kind) if only in f"{each.id} {each.group} {each.title}"]
    if each_group is not None:
        targets = first_of_each_group(targets, each_group)
    order = [(target, isolation) for target in targets for isolation in levels_of(target)]
    runs = random.Random(seed).sample(order, len(order))
    keys = tuple(secrets.token_hex(16) for _ in _KEYS)
    hashes = ",".join(
        f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"
        for name, key in zip(_KEYS, keys, strict=True)
    )
    begun_s = time.monotonic()
    languages = {"image": _LANGUAGES_IMAGE, "profiles_allowed": "default,processes"}
    with LocalService(
        **(languages if kind == "started" else {}),
        api_key_hashes=hashes,
        pool_size=str(POOL_SIZE),
        pool_size_max=str(POOL_SIZE),
        slot_count=str(SLOT_COUNT),
    ) as service:
        rows, engine = asyncio.run(_run_all(service, keys, runs))
    places = {(target.id, isolation): at for at, (target, isolation) in enumerate(order)}
    rows.sort(key=lambda row: places[row.id, row.isolation])  # type: ignore[index]
    share = f" --each-group {each_group}" if each_group is not None else ""
    about = Circumstances(
        command=f"python -m acceptance.attacks --seed {seed} --kind {kind}{share}",
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        machine=f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}",
        engine=engine,
        took_s=time.monotonic() - begun_s,
        tries_max=TRIES_MAX,
    )
    return rows, about


def count_of(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m acceptance.attacks", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--only", default="", help="only attacks whose id or title has this text")
    parser.add_argument(
        "--each-group",
        type=count_of,
        metavar="COUNT",
        help="the first so many of each group, on a machine that is too slow for all",
    )
    parser.add_argument(
        "--kind", choices=["function", "program", "both", "cell", "started"], default="both"
    )
    parser.add_argument("--output", type=Path, help="write the page here")
    args = parser.parse_args(argv)
    print(f"seed {args.seed}", flush=True)
    rows, about = run(seed=args.seed, only=args.only, kind=args.kind, each_group=args.each_group)
    if args.output:
        args.output.write_text(render(rows, about), "utf-8")
    failed = [row for row in rows if row.faults]
    print(f"{len(rows) - len(failed)} of {len(rows)} passed")
    for row in failed:
        print(f"FAILED {row.id} [{row.isolation}] {row.title}: {'; '.join(row.faults)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
