"""Certificates: writing down how a pair was checked, and saying what has changed since."""

from __future__ import annotations

from collections.abc import Sequence

import execbox
from execbox.wire import (
    Certificate,
    Execution,
    Limits,
    Replay,
    ReplayResult,
    Status,
)
from execbox_service.engines.base import EngineFacts
from execbox_service.json_steps import is_light
from execbox_service.judge.sameness import key_of
from execbox_service.operations.variations import VARIED
from execbox_service.scheduling.offload import in_turns


def write(
    facts: EngineFacts,
    *,
    packages: Sequence[str],
    limits: Limits,
    runs: int,
    seed: int | None,
    attempt: int | None,
) -> Certificate:
    """The certificate of a pair that held in ``runs`` executions."""
    tops = {name.split(".")[0] for name in packages}
    distributions = sorted({facts.imports[top] for top in tops if top in facts.imports})
    return Certificate(
        runs=runs,
        variations=[name for name in VARIED if name not in facts.variations_missing],
        seed=seed,
        attempt=attempt,
        engine=facts.engine,
        image=facts.image,
        python=facts.python,
        packages={name: facts.packages[name] for name in distributions if name in facts.packages},
        limits=limits.model_dump(),
        execbox=execbox.__version__,
    )


async def with_replays(
    executions: Sequence[Execution], replays: Sequence[Replay], *, facts: EngineFacts
) -> list[Execution]:
    """Add to each execution whether it still gives what it once gave, and what drifted."""

    def replayed(each: tuple[Execution, Replay]) -> Execution:
        return each[0].model_copy(update={"replay": _compare(*each, facts=facts)})

    return await in_turns(
        replayed,
        zip(executions, replays, strict=True),
        is_large=lambda each: not is_light((each[0].output, each[1].output)),
    )


def _compare(execution: Execution, replay: Replay, *, facts: EngineFacts) -> ReplayResult | None:
    if execution.status is Status.NOT_RUN:
        return None
    then = Execution(status=Status.OK, output=replay.output)
    holds = key_of(execution) == key_of(then)
    drifted = [] if holds else [f"output: {execution.status.value} instead of the certified value"]
    if execution.status is Status.OK and not holds:
        drifted = ["output"]
    if replay.certificate is not None:
        drifted += _surroundings(replay.certificate, facts)
    return ReplayResult(holds=holds, drifted=drifted)


def _surroundings(certificate: Certificate, facts: EngineFacts) -> list[str]:
    """What has changed its version since it was certified, whether or not the output has."""
    drifted = []
    if certificate.image != facts.image:
        drifted.append("image")
    if certificate.engine != facts.engine:
        drifted.append(f"engine {certificate.engine} to {facts.engine}")
    if certificate.python != facts.python:
        drifted.append(f"python {certificate.python} to {facts.python}")
    for name, version in certificate.packages.items():
        now = facts.packages.get(name, "absent")
        if now != version:
            drifted.append(f"{name} {version} to {now}")
    return drifted
