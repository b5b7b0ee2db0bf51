"""A step whose results are as long as a test wants them. No tests."""

from __future__ import annotations

import asyncio

from execbox.dataset.files.json_lines import Value
from execbox.dataset.files.records import Record
from execbox.dataset.steps.step import Step, per_record


def padded(padding_bytes: int) -> Step:
    """Its results come in pairs the wrong way round."""

    async def work(record: Record) -> Value:
        if record.index % 2 == 0:
            await asyncio.sleep(0.001)
        return {"n": record.value["n"], "padding": "x" * padding_bytes}

    return Step(
        name="padded",
        settings={},
        work=per_record(work),
        reason_of=lambda _: "done",
        concurrency=2,
    )
