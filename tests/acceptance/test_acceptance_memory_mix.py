"""What the mix of large requests is made of, and what is wrong with an answer to one of them."""

from __future__ import annotations

import json

import pytest
from acceptance.memory_mix import Answered, Asked, Mix, fault_of, judge, mix_of
from harness.hostile_requests import REQUESTS

REFUSED = json.dumps(
    {"error": {"code": "queue_full", "message": "m", "detail": None, "retryable": True}}
).encode()
GOOD = Answered(Asked("numbers", "first"), 200, 0.1, None)
BAD = Answered(Asked("numbers", "first"), 503, 0.1, "status 503")


def test_mix_has_every_shape_and_both_keys_and_is_repeated_by_its_seed() -> None:
    """Chance decides about the order and the sender, and not about what is left out."""
    mix = mix_of(7, count=200)
    assert len(mix) == 200
    assert {asked.name for asked in mix} == set(REQUESTS)
    assert {asked.key for asked in mix} == {"first", "second"}
    assert mix == mix_of(7, count=200)
    assert mix != mix_of(8, count=200)


@pytest.mark.parametrize(
    ("status", "text", "expected", "fault"),
    [
        (200, b"{}", 200, None),
        (413, REFUSED, 200, None),
        (429, REFUSED, 422, None),
        (422, REFUSED, 422, None),
        (200, b"{}", 413, "status 200 instead of 413"),
        (503, REFUSED, 200, "status 503 instead of 200"),
        (500, b"Internal Server Error", 200, "status 500"),
        (413, b"too large", 413, "without an error"),
        (413, b'{"error":{"code":"c"}}', 413, "other fields"),
    ],
)
def test_answer_of_the_mix_is_the_expected_one_or_a_refusal_in_the_one_shape(
    status: int, text: bytes, expected: int, fault: str | None
) -> None:
    """Whatever else comes is named."""
    found = fault_of(status, text, expected=expected)
    assert found is None if fault is None else fault in (found or "")


@pytest.mark.parametrize(
    ("changed", "holds"),
    [
        ({}, [True, True, True, True]),
        ({"answers": [GOOD, BAD]}, [False, True, True, True]),
        ({"answers": []}, [False, True, True, True]),
        ({"peak_mb": 1025.0}, [True, False, True, True]),
        ({"small": [GOOD, BAD]}, [True, True, False, True]),
        ({"afterwards": [GOOD, BAD]}, [True, True, True, False]),
        ({"afterwards": []}, [True, True, True, False]),
    ],
)
def test_mix_holds_only_where_everything_does(
    changed: dict[str, list[Answered]], holds: list[bool]
) -> None:
    """Nothing at all is no proof of anything."""
    good = {"answers": [GOOD], "small": [GOOD], "afterwards": [GOOD], "peak_mb": 700.0}
    found = Mix(**(good | changed))  # type: ignore[arg-type]
    assert [claim.holds for claim in judge(found, bound_mb=1024)] == holds
