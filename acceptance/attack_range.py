"""A service under attack, one program after another, and everything seen around each.

What must hold is decided in ``attack_checks``; which programs, and in what order, in ``attacks``.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from harness.attacks.as_cell import cell_of, session_limits
from harness.attacks.as_program import profile_of, program_limits, program_of
from harness.attacks.attack import LIMITS, Attack
from harness.host_view import ContainerView, HostView

from acceptance import attack_checks as checks
from acceptance.attack_checks import HostState, Sent, ServiceState
from acceptance.attack_report import Row
from acceptance.attack_targets import Target
from acceptance.soak_meters import residue_of, service_gauges
from execbox import AsyncClient, ExecboxError, wire

POOL_SIZE, SLOT_COUNT = 1, 2
"""What the service must have been started with."""
TRIES_MAX = 6
LEVELS: tuple[wire.Isolation, ...] = ("container", "process")
_CANARY = "def main_solution(x): return x * 2"
_USUAL_COUNT = 5
_CANARY_PAUSE_S = 0.05
_SETTLE_MAX_S = 60.0
_PAGE_BYTES = 4096
_ROOT_INODES = 2
"""Each of a container's two file systems has a root of its own."""
_SETTLE_PAUSE_S = 0.1
_HONEST = Target(
    "honest",
    "honest",
    "honest work",
    Attack("honest work", "def main_solution(): return sum(range(5 * 10**6)) % 7\n", ("ok",)),
    LIMITS,
)


@dataclass(frozen=True)
class Seen:
    """One attack, or the honest job in its place, and everything seen around it."""

    sent: list[Sent]
    before: HostState
    after: HostState
    beside_s: float
    """The median time of the canaries that ran meanwhile."""
    after_s: float
    canaries_right: bool


@dataclass
class Range:
    """A service, its two clients, and how long canaries take beside and after an honest job."""

    view: HostView
    service_pid: int
    attacker: AsyncClient
    bystander: AsyncClient
    secrets: tuple[str, ...]
    usual: dict[wire.Isolation, deque[Seen]] = field(default_factory=dict)
    source_bytes: set[int] = field(default_factory=set)
    """What each program that was sent takes as a file, in whole pages."""

    async def warm_up(self, *, also: Sequence[Target] = ()) -> HostState:
        """Learn the usual times; returns the state that is held against all later ones.

        ``also`` are honest programs of the kind that will be sent: a supervisor keeps what the last
        one needed, such as what was compiled, until its next job.
        """
        for isolation in LEVELS:
            self.usual[isolation] = deque(maxlen=_USUAL_COUNT)
            for _ in range(_USUAL_COUNT):
                await self._learn(isolation)
            for target in also:
                await self._send(target, isolation)
        return await self.settled()

    async def attack(self, target: Target, isolation: wire.Isolation, first: HostState) -> Row:
        """Send an attack, again where only a time was exceeded, and judge the last sending."""
        statuses: tuple[str, ...] = ()
        faults: list[str] = []
        late = ["never sent"]
        tries = 0
        while late and not faults and tries < TRIES_MAX:
            if tries:
                await self._learn(isolation)
            tries += 1
            try:
                seen = await self._once(target, isolation)
            except ExecboxError as error:
                faults = [f"P1: no answer but {error!r}"]
                continue
            statuses = tuple(each.execution.status.value for each in seen.sent)
            faults = self._faults(target, seen, isolation=isolation, first=first)
            late = self._late(target, seen, isolation=isolation)
        return Row(
            target.id,
            target.group,
            target.title,
            isolation,
            statuses=statuses,
            faults=(*faults, *late) if statuses else tuple(faults),
            tries=tries,
        )

    def _faults(
        self, target: Target, seen: Seen, *, isolation: wire.Isolation, first: HostState
    ) -> list[str]:
        return [
            *checks.answers(target, seen.sent, isolation=isolation),
            *checks.measures(target, seen.sent, isolation=isolation),
            *checks.secrets_told(seen.sent, secrets=self.secrets),
            *checks.inside(seen.before, seen.after, first=first),
            *checks.outside(first, seen.after, containers_max=POOL_SIZE + SLOT_COUNT),
            *([] if seen.canaries_right else ["P2: a canary was not ok"]),
        ]

    def _late(self, target: Target, seen: Seen, *, isolation: wire.Isolation) -> list[str]:
        usual = self.usual[isolation]
        beside_s = statistics.median(each.beside_s for each in usual)
        after_s = statistics.median(each.after_s for each in usual)
        return [
            *checks.delays(target, seen.sent),
            *checks.canary_delay("beside it", seen.beside_s, usual_s=beside_s),
            *checks.canary_delay("after it", seen.after_s, usual_s=after_s),
        ]

    async def _learn(self, isolation: wire.Isolation) -> None:
        """What is usual at this moment: an honest job in the place of an attack."""
        self.usual[isolation].append(await self._once(_HONEST, isolation))

    async def _once(self, target: Target, isolation: wire.Isolation) -> Seen:
        before = await self.settled()
        ended = asyncio.Event()
        beside = asyncio.create_task(self._canaries_beside(ended))
        try:
            sent = [await self._send(target, isolation) for _ in range(target.attack.repeat)]
        finally:
            ended.set()
            beside_s, beside_right = await beside
        after = await self.settled()
        after_s, after_right = await self._canary(self.attacker, isolation)
        right = beside_right and after_right
        return Seen(sent, before, after, beside_s, after_s, canaries_right=right)

    async def _send(self, target: Target, isolation: wire.Isolation) -> Sent:
        if target.kind == "cell":
            return await self._send_cell(target)
        begun_s = time.monotonic()
        ended: wire.Execution | wire.ProgramRun
        if target.kind == "program":
            source = program_of(target.attack)
            self.source_bytes.add(-(-len(source.encode()) // _PAGE_BYTES) * _PAGE_BYTES)
            answer = await self.attacker.run(
                source,
                language=target.attack.language,
                profile=profile_of(target.attack),
                limits=program_limits(target.limits),
                isolation=isolation,
            )
            ended, queue_time_s = answer.runs[0], answer.queue_time_s
            if answer.compilation is not None and answer.compilation.usage is not None:
                # No part of its limits, and in the container that the program then runs in.
                queue_time_s += answer.compilation.usage.wall_time_s
        else:
            response = await self.attacker.execute(
                target.attack.code,
                [wire.Call(args=list(target.attack.arguments))],
                limits=target.limits,
                isolation=isolation,
            )
            ended, queue_time_s = response.executions[0], response.queue_time_s
        return Sent(ended, time.monotonic() - begun_s, queue_time_s)

    async def _send_cell(self, target: Target) -> Sent:
        """In a session of its own, beside one of a different key, which must be as it was."""
        limits = session_limits(target.limits)
        async with self.bystander.session() as victim, self.attacker.session(limits=limits) as own:
            await victim.run("x = 41")
            begun_s = time.monotonic()
            cell = await own.run(cell_of(target.attack))
            elapsed_s = time.monotonic() - begun_s
            value = (await victim.run("x + 1")).value
            if value is None or value.repr != "42":
                raise ExecboxError("the bystander's session is not as it was")
        return Sent(cell, elapsed_s, queue_time_s=0.0)

    async def _canaries_beside(self, ended: asyncio.Event) -> tuple[float, bool]:
        """Canaries until the attack has ended: their median time, and whether all were right."""
        times_s: list[float] = []
        right = True
        while not times_s or not ended.is_set():
            took_s, each_right = await self._canary(self.bystander, "process")
            times_s.append(took_s)
            right = right and each_right
            await asyncio.sleep(_CANARY_PAUSE_S)
        return statistics.median(times_s), right

    @staticmethod
    async def _canary(client: AsyncClient, isolation: wire.Isolation) -> tuple[float, bool]:
        number = random.randrange(10**6)
        begun_s = time.monotonic()
        response = await client.execute(_CANARY, [{"x": number}], isolation=isolation)
        took_s = time.monotonic() - begun_s
        ended = response.executions[0]
        return took_s, (ended.status, ended.output) == (wire.Status.OK, 2 * number)

    async def settled(self) -> HostState:
        """The state once used containers are gone and new ones made; after a minute, as it is."""
        deadline_s = time.monotonic() + _SETTLE_MAX_S
        last: HostState | None = None
        while True:
            state = await asyncio.to_thread(self._look)
            calm = last is not None and state.containers == last.containers
            # A container that is still starting has no zygote yet.
            started = [each for each in state.containers.values() if each.process_count > 1]
            whole = len(started) == state.listed_count >= POOL_SIZE
            if calm and whole and not state.residue:
                return state
            if time.monotonic() > deadline_s:
                return replace(state, at_rest=False)
            last = state
            await asyncio.sleep(_SETTLE_PAUSE_S)

    def _holds_a_source(self, container: ContainerView) -> bool:
        """Whether all that its files hold is the one program that it was given last, which stays
        at level ``process`` until the next job of the same key begins."""
        source_only = replace(container, tmpfs_bytes=0, tmpfs_inode_count=_ROOT_INODES)
        return (
            container.tmpfs_inode_count == _ROOT_INODES + 1
            and container.tmpfs_bytes in self.source_bytes
            and not residue_of(source_only)
        )

    def _look(self) -> HostState:
        containers = {each.id: each for each in self.view.look()}
        residue: list[str] = []
        for each in containers.values():
            # A container may be removed while it is looked at.
            with contextlib.suppress(OSError):
                if not self._holds_a_source(each):
                    residue += [f"{left} in {each.id[:12]}" for left in residue_of(each)]
        gauges = service_gauges(self.service_pid)
        return HostState(
            containers,
            listed_count=len(self.view.containers()),
            residue=residue,
            service=ServiceState(
                int(gauges["service_fds"]),
                int(gauges["service_threads"]),
                gauges["service_rss_mb"],
            ),
        )
