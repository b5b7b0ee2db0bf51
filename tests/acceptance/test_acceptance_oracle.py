"""A sample of the corpus as oracle; all of it: ``python -m acceptance.oracle``."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from acceptance.oracle import alike, changed, check_all, deterministic
from harness.corpus_files import DEFAULT_FOLDER, CorpusMissing
from harness.local_service import LocalService
from hypothesis import example, given
from hypothesis import strategies as st

from execbox import AsyncClient
from execbox_service.judge.comparison import equal

_EVERY = 15


@pytest.fixture(scope="module")
def service() -> Iterator[LocalService]:
    """A service with two slots, in a process of its own."""
    with LocalService(engine="docker", slot_count="2", queue_size="2") as running:
        yield running


@pytest.mark.corpus
@pytest.mark.docker
async def test_verdicts_on_published_pairs_are_what_the_corpus_says(
    service: LocalService,
) -> None:
    """Published pairs are correct both ways; changed ones are what running them says."""
    try:
        chosen = deterministic(DEFAULT_FOLDER)[::_EVERY]
    except CorpusMissing as error:
        pytest.skip(str(error))
    async with AsyncClient(config=service.config()) as client:
        findings = await check_all(client, chosen)
    assert findings.unmet == []
    pair_count = sum(len(each.pairs) for each in chosen)
    assert findings.met["output correct"] == findings.met["input correct"] == pair_count > 100
    assert findings.met["changed output incorrect"] == 2 * pair_count
    assert len(findings.changed_input) >= 2


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=8,
)


@given(values, st.randoms(use_true_random=False))
def test_changed_value_is_never_an_equal_one(value: Any, draw: random.Random) -> None:
    """Or the oracle would ask for the wrong verdict."""
    assert not equal(changed(value, draw), value)


@given(values, values)
@example(False, 0.0)
def test_oracles_rule_is_the_comparators(left: Any, right: Any) -> None:
    """Written twice, so that neither is its own judge."""
    assert alike(left, right) == equal(left, right)
    assert alike(left, left)
