"""``python -m tests.workers.fake_worker``: a worker whose sandboxes answer from a script. No tests.

A call ``{"kwargs": {"n": 7}}`` is answered with 7, after as many seconds as ``sleep_s`` says, with
which worker it was in where ``who`` is asked for.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from execbox_service.engines.base import EngineFacts
from execbox_service.engines.container_spec import ContainerSpec
from execbox_service.workers.worker import run_worker
from tests.fake_engine import FACTS, FakeEngine, FakeSandbox, report_frame, result_frame


def answer(sandbox: FakeSandbox, header: dict[str, Any]) -> bytes | None:
    """What a sandbox says to one call."""
    call = header["call"]
    if not call.get("kwargs"):
        # The probe of the self-test has no arguments.
        return result_frame(header["seq"], frame=report_frame({"everything": True}))
    output = os.getpid() if call["kwargs"].get("who") else call["kwargs"].get("n")
    frame = result_frame(header["seq"], frame=report_frame(output))
    sleep_s = call["kwargs"].get("sleep_s", 0)
    if not sleep_s:
        return frame
    asyncio.get_running_loop().call_later(sleep_s, sandbox.deliver, frame)
    return None


class ScriptedEngine(FakeEngine):
    """Every sandbox answers so."""

    async def create(self) -> FakeSandbox:
        sandbox = await super().create()
        sandbox.behaviour = answer
        return sandbox


def image_of(spec: ContainerSpec) -> str:
    """The file that ``FAKE_IMAGE`` names, where it is set, says which image the name of the image
    means; after a ``!``, which one there is, whatever is asked for, as where there is no Docker.
    ``{}`` is the worker's number."""
    named = os.environ.get("FAKE_IMAGE")
    image = Path(named).read_text().format(spec.worker_number) if named else FACTS.image
    return image[1:] if image.startswith("!") else spec.image_id or image


async def choose(spec: ContainerSpec) -> tuple[ScriptedEngine, EngineFacts]:
    """In the place of ``choose_engine``."""
    return ScriptedEngine(), replace(FACTS, image=image_of(spec))


if __name__ == "__main__":
    sys.exit(run_worker(sys.argv[1:], choose=choose))
