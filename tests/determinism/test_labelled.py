"""The check against functions that are, or are not, deterministic by construction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
import pytest_asyncio
from harness.bench import Bench

from execbox.wire import Determinism, Status
from tests.determinism.labelled import LABELLED, Labelled

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

CERTAIN = [one for one in LABELLED if one.uncertain is None]
UNCERTAIN = [one for one in LABELLED if one.uncertain is not None]


FIRST_OF_EACH = list({one.cause: one for one in reversed(CERTAIN)}.values())
"""One of each cause and one deterministic: what a machine takes that is too slow for all."""


class Checks:
    """What the check says of every call of a function, at the default of two runs; asked once."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._turn = asyncio.Semaphore(bench.settings.slot_count)
        self._found: dict[str, list[Determinism]] = {}

    async def of(self, one: Labelled) -> list[Determinism]:
        if one.name not in self._found:
            self._found[one.name] = await self._ask(one)
        return self._found[one.name]

    async def accused(self, functions: Sequence[Labelled]) -> set[str]:
        """The names of those of which a call was found not to be deterministic."""
        results = await asyncio.gather(*map(self.of, functions))
        return {
            one.name
            for one, calls in zip(functions, results, strict=True)
            if not all(call.deterministic for call in calls)
        }

    async def _ask(self, one: Labelled) -> list[Determinism]:
        async with self._turn:
            response = await self._bench.request(
                one.code, one.calls, isolation="process", checks={"determinism": {"runs": 2}}
            )
        assert {execution.status for execution in response.executions} == {Status.OK}, one.name
        return [one.determinism for one in response.executions if one.determinism is not None]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def checks(bench: Bench) -> Checks:
    """Shared by the tests, each of which asks for what it looks at."""
    return Checks(bench)


async def test_labelled_functions_are_many_and_of_every_kind() -> None:
    """What recall and precision are measured on."""
    assert len(CERTAIN) >= 100
    assert len({one.name for one in LABELLED}) == len(LABELLED)
    causes = {"hash_seed", "clock", "entropy", "timing", "process_state", None}
    assert {one.cause for one in CERTAIN} == causes


async def test_first_function_of_each_cause_gets_it_and_none_if_deterministic(
    checks: Checks,
) -> None:
    """The short form of the next tests, for a machine that is too slow for them."""
    assert {one.cause for one in FIRST_OF_EACH} == {one.cause for one in CERTAIN}
    for one in FIRST_OF_EACH:
        causes = {call.cause for call in await checks.of(one) if not call.deterministic}
        assert causes == {one.cause} - {None}, one.name


async def test_labelled_functions_recall_and_precision_are_whole(checks: Checks) -> None:
    """Every certain function is sorted as it was made, and none the other way."""
    accused = await checks.accused(CERTAIN)
    expected = {one.name for one in CERTAIN if one.cause is not None}
    assert expected - accused == set(), "missed"
    assert accused - expected == set(), "wrongly accused"


@pytest.mark.parametrize(
    "one", [one for one in CERTAIN if one.cause is not None], ids=lambda one: one.name
)
async def test_labelled_function_gets_its_cause(checks: Checks, one: Labelled) -> None:
    """Single factors tell what it is that a function depends on; the outputs seen are shown."""
    accused = [call for call in await checks.of(one) if not call.deterministic]
    assert {call.cause for call in accused} == {one.cause}
    assert all(len(call.outputs) >= 2 for call in accused)


@pytest.mark.parametrize("one", UNCERTAIN, ids=lambda one: one.name)
async def test_labelled_function_that_is_uncertain_gets_a_result_all_the_same(
    checks: Checks, one: Labelled
) -> None:
    """Whatever the result, it is complete: a cause where accused, two runs at least where not."""
    for call in await checks.of(one):
        assert (call.cause is None) == call.deterministic
        assert call.runs >= 2
