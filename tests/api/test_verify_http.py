"""``POST /v1/verify`` as the HTTP layer sees it: a real server, a runtime that runs nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from execbox_service.settings import hash_api_key
from tests.api.harness import RunningServer, assert_error, running_server

ITEM: dict[str, Any] = {"id": "1", "kind": "output", "prediction": 1, "output": 1}
KEY = "a-key-of-this-test"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """Takes bodies up to a megabyte, and needs a key."""
    hashes = f"tester:{hash_api_key(KEY)}"
    with running_server(api_key_hashes=hashes, body_bytes_max="1000000") as running:
        yield running


def post(server: RunningServer, body: bytes, *, key: str = KEY) -> Any:
    return server.post(body, path="/v1/verify", headers=f"Authorization: Bearer {key}\r\n")


def test_items_are_answered_in_their_order(server: RunningServer) -> None:
    """For the key that asked."""
    items = [ITEM | {"id": str(number)} for number in range(20)]
    answer = post(server, json.dumps({"items": items, "isolation": "process"}).encode())
    assert answer.status == 200
    assert [item["id"] for item in answer.json["items"]] == [str(n) for n in range(20)]
    assert answer.json["isolation"] == "process"
    assert server.runtime.principals[-1] == "tester"


@pytest.mark.parametrize(
    ("prediction", "status"),
    [
        (b'{"$ref": "#/items"}', 200),
        (b'{"__class__": "os.system", "args": ["id"]}', 200),
        (b'"(a+)+$"', 200),
        (b"NaN", 400),
        (b"1e400", 400),
        (b"-1e400", 400),
        (b"9" * 5000, 400),
        (b'{"a": 1, "a": 2}', 400),
        (b"[" * 100_000 + b"]" * 100_000, 400),
        (b'"' + b"x" * 1_000_000 + b'"', 413),
    ],
    ids=["ref", "class", "regex", "nan", "inf", "-inf", "digits", "twice", "deep", "large"],
)
def test_hostile_prediction_is_a_value_or_a_clear_refusal(
    server: RunningServer, prediction: bytes, status: int
) -> None:
    """F30: never a 500, nothing resolved, and the service goes on."""
    item = b'{"id": "1", "kind": "output", "output": 1, "prediction": ' + prediction + b"}"
    answer = post(server, b'{"items": [' + item + b"]}")
    if status == 200:
        assert answer.status == 200
    else:
        assert_error(answer, status)
    assert post(server, json.dumps({"items": [ITEM]}).encode()).status == 200


@pytest.mark.parametrize("path", ["/v1/verify", "/v1/batch"])
def test_caller_without_the_key_is_refused(server: RunningServer, path: str) -> None:
    """Before anything of the body is looked at."""
    assert_error(server.post(b"[", path=path), 401)


@pytest.mark.parametrize("path", ["/v1/verify", "/v1/batch"])
def test_other_methods_are_refused(server: RunningServer, path: str) -> None:
    """In the one error shape."""
    answer = server.get(path, headers=f"Authorization: Bearer {KEY}\r\n")
    assert_error(answer, 405)
    assert answer.headers["allow"].upper() == "POST"
