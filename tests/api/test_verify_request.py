"""What the schema and the operator's policy say about a verify request before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from execbox.wire import VerifyRequest
from execbox_service.api.validation import parsed, validated
from execbox_service.failures import CallerMistake
from execbox_service.operations.policy import permitted_items
from execbox_service.settings import load_settings

CODE = {"code": "def main_solution(n): return n"}
KNOWN = {"id": "1", "kind": "output", "prediction": 1, "output": 1}


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ({"id": "1", "kind": "output", "output": 1}, "exactly one of prediction"),
        (KNOWN | {"response": "x"}, "exactly one of prediction"),
        ({"id": "1", "kind": "output", "response": None, "output": 1}, "exactly one of prediction"),
        (KNOWN | {"kind": "both"}, "must be 'input' or 'output'"),
        ({"id": "1", "kind": "input", "prediction": 1, "function": CODE}, "output, which is missi"),
        ({"id": "1", "kind": "input", "prediction": 1, "output": 1}, "function is missing"),
        ({"id": "1", "kind": "output", "prediction": 1, "function": CODE}, "needs output, or inpu"),
        ({"id": "1", "kind": "output", "prediction": 1, "input": 1}, "function is missing"),
        (KNOWN | {"id": 1}, "must be a string"),
        (KNOWN | {"id": "x" * 1001}, "1000"),
        (KNOWN | {"comparator": "fuzzy"}, "'codeio', 'exact' or 'tolerance'"),
        (KNOWN | {"tolerance": {"rel": 0.1}}, "comparator must be tolerance"),
        (KNOWN | {"comparator": "tolerance", "tolerance": {"rel": -1}}, "0"),
        (KNOWN | {"comparator": "tolerance", "tolerance": {"abs": True}}, "number"),
        (KNOWN | {"limits": {"cpu_time_s": 0}}, "0.01 to 60"),
        (KNOWN | {"expected": 1}, "unknown field"),
    ],
)
def test_item_that_cannot_be_checked_is_refused_by_its_place(
    item: dict[str, Any], problem: str
) -> None:
    """422 that names the item and what is wrong with it."""
    with pytest.raises(CallerMistake) as refused:
        validated(VerifyRequest, {"items": [KNOWN, item]})
    assert refused.value.http_status == 422
    assert "items[1]" in refused.value.message
    assert problem in refused.value.message


@pytest.mark.parametrize("body", [{}, {"items": []}, {"items": {}}, {"items": [KNOWN] * 10_001}])
def test_request_without_a_reasonable_number_of_items_is_refused(body: dict[str, Any]) -> None:
    """From one to ten thousand."""
    with pytest.raises(CallerMistake, match="items"):
        validated(VerifyRequest, body)


@pytest.mark.parametrize(
    "prediction",
    [
        b"NaN",
        b"1e400",
        b"9" * 5000,
        b'{"a":1,"a":2}',
        b"[" * 100_000 + b"]" * 100_000,
        b"[" * 65 + b"]" * 65,
        b'"\\ud800"',
        b"tru",
    ],
    ids=["nan", "overflow", "digits", "duplicate", "deep", "depth_65", "surrogate", "syntax"],
)
def test_prediction_that_is_no_strict_json_is_refused(prediction: bytes) -> None:
    """400 before anything looks at it (F30)."""
    body = b'{"items":[{"id":"1","kind":"output","output":1,"prediction":' + prediction + b"}]}"
    with pytest.raises(CallerMistake) as refused:
        parsed(VerifyRequest, body)
    assert refused.value.http_status == 400
    assert len(refused.value.message) < 300


@pytest.mark.parametrize(
    "item",
    [
        {"id": "1", "kind": "output", "prediction": None, "output": None},
        {"id": "1", "kind": "output", "prediction": {"$ref": "#/x"}, "output": {"__class__": "y"}},
        {"id": "", "kind": "input", "prediction": None, "output": None, "function": CODE},
        {"id": "1", "kind": "output", "response": "", "input": [], "function": CODE},
        KNOWN | {"comparator": "tolerance"},
        KNOWN | {"comparator": "tolerance", "tolerance": {"rel": 0, "abs": 0.5}},
        KNOWN | {"input": {"n": 1}, "function": CODE},
    ],
)
def test_item_that_can_be_checked_is_accepted(item: dict[str, Any]) -> None:
    """null is a value, and objects that mean something elsewhere are only objects."""
    assert validated(VerifyRequest, {"items": [item]}).items[0].id == item["id"]


def test_limits_above_the_operators_maximum_are_refused_by_their_place() -> None:
    """As for execute, and the item is named."""
    settings = load_settings({"cpu_time_s_max": "2", "isolation_allowed": "process"})
    request = validated(VerifyRequest, {"items": [KNOWN, KNOWN | {"limits": {"cpu_time_s": 3}}]})
    with pytest.raises(CallerMistake, match=r"items\[1\].limits.cpu_time_s: 3.0 is above"):
        permitted_items(request, settings)


def test_what_a_request_leaves_out_is_the_operators_default() -> None:
    """Lowered limits, the first permitted isolation."""
    settings = load_settings({"cpu_time_s_max": "2", "isolation_allowed": "process"})
    asked = permitted_items(validated(VerifyRequest, {"items": [KNOWN]}), settings)
    assert (asked.items[0].limits.cpu_time_s, asked.isolation) == (2, "process")


def test_more_items_than_the_operator_permits_are_refused() -> None:
    """The calls of one request have one maximum, whoever makes them."""
    settings = load_settings({"calls_max": "2"})
    with pytest.raises(CallerMistake, match="items: 3 items"):
        permitted_items(validated(VerifyRequest, {"items": [KNOWN] * 3}), settings)
