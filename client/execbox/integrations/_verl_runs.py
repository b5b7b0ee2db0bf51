"""A program that a model wrote, run for it as a tool's call: the text that it reads next."""

from __future__ import annotations

from execbox import wire
from execbox.client import AsyncClient
from execbox.errors import ExecboxError
from execbox.integrations._blame import is_about_the_code

__all__ = ["run_program"]


async def run_program(
    client: AsyncClient, code: str, *, limits: wire.ProgramLimits | None = None
) -> tuple[str, bool]:
    """What it printed, and how it ended if it did not end well; and whether that is unknown."""
    try:
        (run,) = (await client.run(code, limits=limits)).runs
    except ExecboxError as error:
        if is_about_the_code(error):
            return f"This code cannot be run: {error}", False
        return f"The sandbox failed, which says nothing about this code: {error}", True
    ended = "" if run.status is wire.ProgramStatus.OK else f"\n[ended with {run.status}]"
    return f"{run.stdout}{run.stderr}{ended}", False
