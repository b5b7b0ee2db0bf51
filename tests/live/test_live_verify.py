"""Hostile predictions and responses on a service with real containers (F30)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.api.harness import Answer, assert_error
from tests.fuzz.test_fuzz_answers import PIECES
from tests.live_service import LiveService, headers_of

from .conftest import CANARY

pytestmark = pytest.mark.docker

ITEM_CPU_MAX_S = 0.05
RESPONSE_CHARS = 128 * 1024
ITEM = {"kind": "output", "output": [1, 2]}
DEEP = "[" * 100_000 + "]" * 100_000
RESPONSES = {
    "ref": ('{"output": {"$ref": "#/items/0/output"}}', "incorrect"),
    "class": ('{"output": {"__class__": "os.system", "args": ["id"]}}', "incorrect"),
    "call": ('{"output": __import__("os").getpid()}', "no_answer"),
    "nan": ('{"output": NaN}', "no_answer"),
    "infinity": ('{"output": 1e400}', "no_answer"),
    "digits": ('{"output": ' + "9" * 5000 + "}", "no_answer"),
    "twice": ('{"output": [1, 2], "output": [3]}', "no_answer"),
    "deep": ('{"output": ' + DEEP + "}", "no_answer"),
    "fenced_deep": (f"```json\n{DEEP}\n```", "no_answer"),
}


def verify(service: LiveService, items: list[dict[str, Any]]) -> Answer:
    body = json.dumps({"items": items}).encode()
    return service.post(body, path="/v1/verify", headers=headers_of(CANARY))


def cpu_s(service: LiveService) -> float:
    """What the service's process has used since it started."""
    fields = Path(f"/proc/{service.process.pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def test_responses_that_are_hostile_are_no_answer_or_incorrect(service: LiveService) -> None:
    """F30: nothing in them is evaluated or resolved, and none is a failure of ours."""
    items = [{"id": name, "response": text} | ITEM for name, (text, _) in RESPONSES.items()]
    answer = verify(service, items)
    assert answer.status == 200
    verdicts = {item["id"]: item["verdict"] for item in answer.json["items"]}
    assert verdicts == {name: verdict for name, (_, verdict) in RESPONSES.items()}


@pytest.mark.parametrize(
    ("prediction", "status"),
    [
        ('{"$ref": "#/items"}', 200),
        ('{"__class__": "x"}', 200),
        ("NaN", 400),
        ("1e400", 400),
        ("9" * 5000, 400),
        ('{"a": 1, "a": 2}', 400),
        (DEEP, 400),
    ],
    ids=["ref", "class", "nan", "infinity", "digits", "twice", "deep"],
)
def test_predictions_that_are_hostile_are_incorrect_or_refused(
    service: LiveService, prediction: str, status: int
) -> None:
    """F30: what is JSON is compared, what is not is a 400."""
    item = '{"id": "1", "kind": "output", "output": 1, "prediction": ' + prediction + "}"
    body = ('{"items": [' + item + "]}").encode()
    answer = service.post(body, path="/v1/verify", headers=headers_of(CANARY))
    if status == 200:
        assert answer.json["items"][0]["verdict"] == "incorrect"
    else:
        assert_error(answer, status)


def test_response_of_50_megabytes_is_413(service: LiveService) -> None:
    """F30: above the cap for bodies, whatever is in it."""
    answer = verify(service, [{"id": "1", "response": "x" * 50_000_000} | ITEM])
    assert_error(answer, 413)
    assert service.get("/readyz").status == 200


def test_responses_made_to_explode_cost_50_ms_each_at_most(service: LiveService) -> None:
    """F30: measured as the CPU time of the whole service, receiving and answering included."""
    texts = [piece * (RESPONSE_CHARS // len(piece)) for piece in PIECES if piece != "\ud800"]
    items = [{"id": str(number), "response": text} | ITEM for number, text in enumerate(texts)]
    before_s = cpu_s(service)
    answer = verify(service, items)
    assert answer.status == 200
    verdicts = {item["verdict"] for item in answer.json["items"]}
    assert verdicts <= {"no_answer", "incorrect"}
    assert (cpu_s(service) - before_s) / len(items) < ITEM_CPU_MAX_S
