"""The check against functions that are, or are not, deterministic by construction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from harness.bench import Bench

from execbox.wire import Determinism, Status
from tests.determinism.labelled import LABELLED, Labelled

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

CERTAIN = [one for one in LABELLED if one.uncertain is None]
UNCERTAIN = [one for one in LABELLED if one.uncertain is not None]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def found(bench: Bench) -> AsyncIterator[dict[str, list[Determinism]]]:
    """What the check says of every call of every function, at the default of two runs."""
    turn = asyncio.Semaphore(bench.settings.slot_count)

    async def check(one: Labelled) -> list[Determinism]:
        async with turn:
            response = await bench.request(
                one.code, one.calls, isolation="process", checks={"determinism": {"runs": 2}}
            )
        assert {execution.status for execution in response.executions} == {Status.OK}, one.name
        return [one.determinism for one in response.executions if one.determinism is not None]

    results = await asyncio.gather(*(check(one) for one in LABELLED))
    yield dict(zip([one.name for one in LABELLED], results, strict=True))


async def test_labelled_functions_are_many_and_of_every_kind() -> None:
    """What recall and precision are measured on."""
    assert len(CERTAIN) >= 100
    assert len({one.name for one in LABELLED}) == len(LABELLED)
    causes = {"hash_seed", "clock", "entropy", "timing", "process_state", None}
    assert {one.cause for one in CERTAIN} == causes


async def test_labelled_functions_recall_and_precision_are_whole(
    found: dict[str, list[Determinism]],
) -> None:
    """Every certain function is sorted as it was made, and none the other way."""
    accused = {name for name, calls in found.items() if not all(c.deterministic for c in calls)}
    expected = {one.name for one in CERTAIN if one.cause is not None}
    certain = {one.name for one in CERTAIN}
    assert expected - accused == set(), "missed"
    assert accused & certain - expected == set(), "wrongly accused"


@pytest.mark.parametrize(
    "one", [one for one in CERTAIN if one.cause is not None], ids=lambda one: one.name
)
async def test_labelled_function_gets_its_cause(
    found: dict[str, list[Determinism]], one: Labelled
) -> None:
    """Single factors tell what it is that a function depends on; the outputs seen are shown."""
    accused = [call for call in found[one.name] if not call.deterministic]
    assert {call.cause for call in accused} == {one.cause}
    assert all(len(call.outputs) >= 2 for call in accused)


@pytest.mark.parametrize("one", UNCERTAIN, ids=lambda one: one.name)
async def test_labelled_function_that_is_uncertain_gets_a_result_all_the_same(
    found: dict[str, list[Determinism]], one: Labelled
) -> None:
    """Whatever the result, it is complete: a cause where accused, two runs at least where not."""
    for call in found[one.name]:
        assert (call.cause is None) == call.deterministic
        assert call.runs >= 2
