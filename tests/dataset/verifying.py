"""A ``Verifier`` that knows one function, doubling, and fails the way services do. No tests.

What a real service answers is proven in ``test_dataset_chain``; this one is for what no real
service does on demand.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from execbox import wire
from tests.dataset.fake_service import FakeService

ItemFault = Callable[[wire.VerifyItem], wire.VerifiedItem | Exception | None]


def no_fault(_: wire.VerifyItem) -> None:
    """Every item is checked."""


@dataclass
class Doubling(FakeService):
    """Answers are JSON objects as the prompts ask for; ``fault`` may answer or raise instead."""

    fault: ItemFault = no_fault
    delay_s: float = 0.0
    requests: list[list[str]] = field(default_factory=list)
    isolations: list[wire.Isolation | None] = field(default_factory=list)
    converts: list[wire.Conversion | None] = field(default_factory=list)

    async def verify(
        self,
        items: Sequence[wire.VerifyItem],
        *,
        isolation: wire.Isolation | None = None,
        convert: wire.Conversion | None = None,
        feedback_templates: wire.FeedbackTemplates | None = None,
    ) -> wire.VerifyResponse:
        self.requests.append([item.id for item in items])
        self.converts.append(convert)
        self.isolations.append(isolation)
        await asyncio.sleep(self.delay_s)
        return wire.VerifyResponse(
            items=[self._verified(item) for item in items],
            isolation=isolation or "container",
            engine="fake",
            image="sha256:0",
        )

    def _verified(self, item: wire.VerifyItem) -> wire.VerifiedItem:
        found = self.fault(item)
        if isinstance(found, Exception):
            raise found
        if found is not None:
            return found
        try:
            answer = json.loads(item.response or "")[item.kind]
        except (ValueError, KeyError, TypeError):
            return wire.VerifiedItem(
                id=item.id, verdict=wire.Verdict.NO_ANSWER, feedback="No answer was found."
            )
        right = item.output == (answer if item.kind == "output" else 2 * answer["n"])
        return wire.VerifiedItem(
            id=item.id,
            verdict=wire.Verdict.CORRECT if right else wire.Verdict.INCORRECT,
            feedback="Correct." if right else f"{json.dumps(answer)} is wrong.",
            extracted=answer,
        )
