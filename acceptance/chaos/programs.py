"""``python -m acceptance.chaos.programs IN.jsonl OUT.jsonl URL``: programs of a file, in batches.

A step as the command line's are: killed and begun again, it goes on. Its exit codes are theirs.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from execbox import AsyncClient, BatchResult, ExecboxError, ServiceError
from execbox.config import config_from_env
from execbox.dataset.files.json_lines import BadRecord, DatasetError, Value
from execbox.dataset.files.records import Record
from execbox.dataset.steps.file_run import run_step_async
from execbox.dataset.steps.step import Step, Worked
from execbox.errors import TransportError

__all__ = ["main"]

_LINES_AT_ONCE: Final = 10
_CONCURRENCY: Final = 3
_LIMITS: Final = {"cpu_time_s": 1, "wall_time_s": 2}


def _line(record: Record) -> dict[str, Any]:
    value = record.value
    return {
        "id": record.id,
        "op": "run",
        "program": {"code": value["code"], "stdin": value["stdin"]},
        "expected": {"stdout": value["expected"]},
        "limits": _LIMITS,
        "isolation": "process",
    }


def _worked(result: BatchResult) -> Worked:
    if result.error is not None:
        error = result.error
        return BadRecord(error.message, reason=error.code, retry=error.retryable)
    answer: Any = result.answer
    (run,) = answer.runs
    # What is measured differs from run to run, and is no part of the result.
    return {
        "verdict": run.verdict,
        "status": run.status.value,
        "exit_code": run.exit_code,
        "stdout": run.stdout,
    }


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Step]:
    async with AsyncClient(config=config_from_env(url)) as client:

        async def work(records: Sequence[Record]) -> Sequence[Worked]:
            lost = BadRecord("the batch had no answer to it", reason="line_lost")
            found: dict[str, Worked] = {}
            async for result in client.batch([_line(record) for record in records]):
                name = str(result.id)
                if name in found:
                    raise RuntimeError(f"line {name} was answered twice")
                found[name] = _worked(result)
            return [found.get(record.id, lost) for record in records]

        yield Step(
            name="programs",
            settings={},
            work=work,
            reason_of=lambda value: str(value["verdict"]),
            concurrency=_CONCURRENCY,
            chunk_count=_LINES_AT_ONCE,
        )


async def _run(source: Path, output: Path, url: str) -> int:
    summary = await run_step_async(_opened(url), source=source, output=output)
    return 1 if summary.failures else 0


def main(arguments: Sequence[str]) -> int:
    """Run the step; 0 all is done, 1 some have no result, 2 a mistake, 3 the service failed."""
    source, output, url = arguments
    try:
        return asyncio.run(_run(Path(source), Path(output), url))
    except (ServiceError, TransportError) as error:
        print(f"acceptance.chaos.programs: {error}", file=sys.stderr)
        return 3
    except (DatasetError, ExecboxError) as error:
        print(f"acceptance.chaos.programs: {error}", file=sys.stderr)
        return 2


def as_value(code: str, *, stdin: str, expected: str) -> Value:
    """A line of the input."""
    return {"code": code, "stdin": stdin, "expected": expected}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
