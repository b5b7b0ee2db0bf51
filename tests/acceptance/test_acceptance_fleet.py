"""A short form of ``acceptance.fleet``: two real services, one of which is killed meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from acceptance.fleet import Run, claims_of, run_batch
from harness.local_nodes import KEY, LocalNode, local_nodes

from execbox import BatchResult, Client, ClientConfig, NodeReport, NodeState, SessionGone, wire

LINES = 400


def report(address: str, sent_count: int) -> NodeReport:
    return NodeReport(
        address=address,
        state=NodeState.READY,
        reason=None,
        slots=2,
        image="i",
        version="1",
        outstanding_count=0,
        session_count=0,
        sent_count=sent_count,
    )


def answered(name: str, output: int) -> BatchResult:
    usage = {"cpu_time_s": 0, "wall_time_s": 0, "peak_memory_bytes": 0}
    execution = {"status": "ok", "output": output, "usage": usage}
    fields = {"isolation": "process", "engine": "e", "image": "i", "queue_time_s": 0}
    document = {"id": name, "op": "execute", "executions": [execution]} | fields
    answer = wire.ExecuteAnswer.model_validate(document)
    return BatchResult(id=name, op="execute", answer=answer)


def run_of(*outputs: tuple[str, int], shares: tuple[int, int] = (1, 1)) -> Run:
    run = Run("2 nodes", nodes=[report("a", shares[0]), report("b", shares[1])])
    for name, output in outputs:
        run.take(answered(name, output))
    return run


@pytest.mark.parametrize(
    ("run", "held"),
    [
        (run_of(("0", 1), ("1", 2)), [True, True, True, True]),
        (run_of(("0", 1)), [False, True, True, True]),
        (run_of(("0", 1), ("0", 1), ("1", 2)), [True, False, True, True]),
        (run_of(("0", 1), ("1", 3)), [True, True, False, True]),
        (run_of(("0", 1), ("1", 2), shares=(2, 0)), [True, True, True, False]),
    ],
)
def test_claims_find_what_is_lost_double_or_different(run: Run, held: list[bool]) -> None:
    """And a node that did nothing."""
    alone = run_of(("0", 1), ("1", 2))
    assert [claim.holds for claim in claims_of(run, alone, line_count=2)] == held


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[LocalNode]]:
    """Two nodes at addresses of their own."""
    with local_nodes(2, engine="docker", pool_size="1", log_level="error") as started:
        yield started


@pytest.mark.docker
def test_batch_over_two_nodes_of_which_one_is_killed_is_as_by_one_node(
    nodes: list[LocalNode],
) -> None:
    """The killed one is started again in the middle, and every line is answered once."""
    alone = run_batch("one node", nodes[:1], line_count=LINES, eventful=False)
    both = run_batch("2 nodes", nodes, line_count=LINES, eventful=True)
    assert (alone.errors, both.errors) == ([], [])
    assert [claim for claim in claims_of(both, alone, line_count=LINES) if not claim.holds] == []
    assert len(both.events) == 2


@pytest.mark.docker
def test_certificate_names_the_image_of_the_node_that_made_it(nodes: list[LocalNode]) -> None:
    """All nodes have the same, which the fleet has looked at before."""
    urls = tuple(node.url for node in nodes)
    with Client(config=ClientConfig(nodes=urls, api_key=KEY)) as fleet:
        response = fleet.generate(
            "def main_solution(n): return n * 2",
            "def input_generator():\n    import random\n    return {'n': random.randrange(99)}",
            count=2,
            isolation="process",
        )
        images = {report.image for report in fleet.nodes() if report.image is not None}
    certificates = [pair.certificate for pair in response.pairs]
    assert {each.image for each in certificates if each is not None} == images
    assert len(certificates) == 2


def both_used(fleet: Client) -> Client:
    """The fleet, once both of its nodes have answered their probes: a busy machine takes long."""
    deadline_s = time.monotonic() + 60
    while any(report.state is not NodeState.READY for report in fleet.nodes()):
        assert time.monotonic() < deadline_s, fleet.nodes()
        fleet.healthz()
        time.sleep(0.2)
    return fleet


@pytest.mark.docker
def test_session_of_a_killed_node_is_gone_and_the_others_go_on(nodes: list[LocalNode]) -> None:
    """No session is ever answered from the variables of a different one."""
    urls = tuple(node.url for node in nodes)
    nodes[1].wait_until_ready()
    with (
        Client(config=ClientConfig(nodes=urls, api_key=KEY)) as fleet,
        fleet.session() as first,
        both_used(fleet).session() as second,
    ):
        told = {}
        for value, session in enumerate((first, second)):
            session.run(f"x = {value}")
        nodes[1].kill()
        for value, session in enumerate((first, second)):
            try:
                cell = session.run("x")
                told[value] = cell.value.repr if cell.value is not None else None
            except SessionGone as gone:
                told[value] = gone.message
    gone_texts = [text for text in told.values() if text is not None and urls[1] in text]
    assert len(gone_texts) == 1
    assert [text for value, text in told.items() if text == str(value)] != []
