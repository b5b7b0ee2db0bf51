"""The vocabularies of the API: each word in one place, and said everything about that is needed."""

from __future__ import annotations

import ast
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from execbox import wire
from execbox.wire import ErrorCode, RejectReason, Status, Verdict

ROOT = Path(__file__).resolve().parents[2]
SERVICE = ROOT / "service" / "execbox_service"
CLIENT = ROOT / "client" / "execbox"
SOURCES = sorted([*SERVICE.rglob("*.py"), *CLIENT.rglob("*.py")])
STATUSES_OF = {
    "CallerMistake": range(400, 429),
    "HeadersTooLarge": [431],
    "Overloaded": [429],
    "ServiceFailure": [503],
}


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def codes_named(tree: ast.AST) -> Iterator[ErrorCode]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ErrorCode.__members__:
            yield ErrorCode[node.attr]


def raised_with(tree: ast.AST) -> Iterator[tuple[str, ErrorCode]]:
    """The name of each exception class that is called with a code, and the code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            for code in codes_named(node.args[0]):
                yield node.func.id, code


@pytest.mark.parametrize("code", ErrorCode)
def test_error_code_says_whose_fault_it_is_and_what_to_do(code: ErrorCode) -> None:
    """The status follows from whose fault it is, and ``retryable`` from the status."""
    facts = code.facts
    service = facts.http_status in (429, 503)
    assert service if facts.fault == "service" else facts.http_status in range(400, 432)
    assert facts.retryable == (service or code is ErrorCode.RECEIVE_TIMEOUT)
    for clause in (facts.meaning, facts.remedy):
        assert clause[0] == clause[0].lower() or clause.startswith("API"), clause
        assert clause == clause.strip(" .\n")
        assert clause


@pytest.mark.parametrize("code", ErrorCode)
def test_error_code_is_its_text_and_survives_a_process_pool(code: ErrorCode) -> None:
    """Callers compare with text, and exceptions that hold a code are pickled."""
    assert code == code.value == f"{code}" == code.name.lower()
    assert ErrorCode(code.value) is code
    assert pickle.loads(pickle.dumps(code)) is code
    assert wire.ErrorBody(code=code, message="", retryable=False).code == code


def test_error_code_each_is_used() -> None:
    """A code that nothing answers with is documentation of nothing."""
    answered = [path for path in SOURCES if path.parent.name != "wire"]
    used = {code for path in answered for code in codes_named(ast.parse(path.read_text("utf-8")))}
    assert used == set(ErrorCode) == set(wire.ERROR_CODES)


# Of other projects' contracts, whose words are their own.
_COMPAT = SERVICE / "api" / "compat"


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(SERVICE.rglob("*.py")) if _COMPAT not in path.parents],
    ids=shown,
)
def test_error_code_is_never_typed_out_in_the_service(path: Path) -> None:
    """A code that is spelled in a second place can be spelled differently there."""
    tree = ast.parse(path.read_text("utf-8"))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    listed = {
        element.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        for element in ast.walk(node.value)
        if isinstance(element, ast.Constant)
    }
    assert not (texts - listed) & {code.value for code in ErrorCode}


def test_error_code_fits_the_exception_it_is_raised_with() -> None:
    """A caller's mistake is never answered as our failure, nor the other way round."""
    found = [
        pair
        for path in SERVICE.rglob("*.py")
        for pair in raised_with(ast.parse(path.read_text("utf-8")))
        if pair[0] in STATUSES_OF
    ]
    assert len(found) > 20
    for name, code in found:
        assert code.facts.http_status in STATUSES_OF[name], (name, code)


def test_reject_reason_and_verdict_have_every_status() -> None:
    """What an execution can end as, a draw can be rejected for and a prediction be judged as."""
    failed = {status.value for status in Status} - {"ok"}
    assert failed <= {reason.value for reason in RejectReason}
    assert failed <= {verdict.value for verdict in Verdict}
    # What a generator returns that is no JSON, or too long, is an invalid input.
    drawing = failed - {"unserializable", "output_too_large", "not_run"}
    assert {f"generator_{status}" for status in drawing} == {
        reason.value for reason in RejectReason if reason.value.startswith("generator_")
    }
