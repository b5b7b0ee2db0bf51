"""Requests as large as permitted, each of a shape that keeps a careless service busy. No tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.heavy_service import drawing, giving

__all__ = ["FEEDBACK_WITHOUT_END", "LINES", "REQUESTS", "body", "verify_body"]

LARGE_OUTPUT = {"limits": {"output_bytes": 2**24}}
ANY_SIZE = {"total_bytes": 2**40, "container_items": 2**40}
DETERMINISM = {"checks": {"determinism": {"runs": 2}}}
FUNCTION = {"code": "def main_solution(x):\n    return x\n"}
IMPORTS = "from a" + ".a" * 49 + " import " + ",".join("a" * 148) + "\n"
SOURCE = {"code": "x = 1\n" * 2_000_000}
FEEDBACK_WITHOUT_END = {"feedback_templates": {"wrong_output": "$expected" * 440}}
CERTIFICATE = {
    "runs": 2,
    "variations": [],
    "seed": None,
    "attempt": None,
    "limits": {},
    "packages": {},
    "engine": "e",
    "image": "i",
    "python": "p",
    "execbox": "v",
}
EMOJI = "#\U0001f600"
BAD_ITEM = {"id": 1, "kind": 1, "function": 1, "limits": 1, "tolerance": 1, "comparator": 1}


def text_of(request: dict[str, Any]) -> bytes:
    return json.dumps(request, separators=(",", ":")).encode()


def body(**fields: Any) -> bytes:
    return text_of({"function": FUNCTION, "calls": [{"args": [1]}]} | fields)


def call_body(call: str, inner: str, **fields: Any) -> bytes:
    """The body of one call, given as its text with ``...`` for what there is much of: Python values
    of it would take a gigabyte."""
    text = call.replace("...", inner)
    return body(calls=["CALL"], **fields).replace(b'"CALL"', text.encode())


def generate_body(generator: dict[str, Any], **fields: Any) -> bytes:
    asked = {"function": FUNCTION, "input_generator": generator, "count": 5, "attempts": 20}
    return text_of(asked | fields)


def verify_body(count: int, **fields: Any) -> bytes:
    item = {"kind": "output", "prediction": 1, "output": "y" * 900}
    return text_of({"items": [item | {"id": str(n)} for n in range(count)]} | fields)


def items_body(*items: dict[str, Any]) -> bytes:
    common = {"id": "a", "kind": "output"}
    return text_of({"items": [common | item for item in items]})


def prediction_body(prediction: str, inner: str) -> bytes:
    text = prediction.replace("...", inner).encode()
    return items_body({"prediction": "VALUE", "output": 1}).replace(b'"VALUE"', text)


def members(count: int) -> str:
    return ",".join(f'"{number:x}":1' for number in range(count))


EXECUTES: dict[str, tuple[int, Callable[[], bytes]]] = {
    "source of imports (G01)": (200, lambda: body(function={"code": IMPORTS * 38_000})),
    "source, checked": (200, lambda: body(function=SOURCE, **DETERMINISM)),
    "source beyond the basic plane": (
        200, lambda: body(function={"code": "CODE"}).replace(b"CODE", EMOJI.encode() * 3_300_000)
    ),
    "expression": (200, lambda: body(calls=[{"expression": "y" * 16_000_000}])),
    "half a million arguments, checked": (
        200, lambda: call_body('{"kwargs":{...}}', members(490_000), **DETERMINISM)
    ),
    "a million members": (400, lambda: call_body('{"args":[{...}]}', members(1_000_000))),
    "arguments in order": (200, lambda: call_body('{"args":[...1]}', "1," * 8_000_000)),
    "a million arrays": (200, lambda: body(calls=[{"args": [[[]] * 1_000_000]}])),
    "numbers": (200, lambda: body(calls=[{"args": [[12345] * 2_600_000]}])),
    "numbers, checked": (200, lambda: body(calls=[{"args": [[12345] * 600_000]}], **DETERMINISM)),
    "long integers": (200, lambda: call_body('{"args":[[...1]]}', ("9" * 4299 + ",") * 2000)),
    "strings": (200, lambda: call_body('{"args":[[...1]]}', '"ab",' * 1_500_000)),
    "string in an array, checked": (
        200, lambda: call_body('{"args":[["..."]]}', "y" * 16_000_000, **DETERMINISM)
    ),
    "string of quotes": (200, lambda: call_body('{"args":["..."]}', '\\"' * 8_000_000)),
    "nothing but quotes": (413, lambda: b'"' * 16_000_000),
    "arrays that take 0.6 GB": (413, lambda: body(calls=[{"args": [[[]] * 5_000_000]}])),
    "arrays and then a fault": (400, lambda: call_body('{"args":[[...]]]}', "[]," * 2_500_000)),
    "10,000 calls": (
        200,
        lambda: body(calls=[{"args": [n]} for n in range(10_000)], checks={"complexity": "codeio"}),
    ),
    "2,000 calls, checked": (
        200, lambda: body(calls=[{"args": [n]} for n in range(2000)], **DETERMINISM)
    ),
    "unknown fields of a call": (422, lambda: call_body("{...}", members(490_000))),
    "unknown fields of a check": (
        422,
        lambda: call_body('{"args":[]}],"checks":{"complexity":{...}},"x":[1', members(490_000))
    ),
    "packages of a certificate": (
        422,
        lambda: body(replay=[{"output": 1, "certificate": CERTIFICATE | {"packages": {
            str(n): "" for n in range(490_000)}}}]),
    ),
    "a million replays": (422, lambda: body(replay=[{"output": 1}] * 1_000_000)),
    "replay of arrays": (200, lambda: body(replay=[{"output": [[]] * 1_500_000}])),
    "size of the input": (
        200,
        lambda: body(calls=[{"args": [[12345] * 300_000]}], checks={"complexity": ANY_SIZE}),
    ),
    "output of 3 MB": (200, lambda: body(calls=[giving("[],", 1_000_000)], **LARGE_OUTPUT)),
    "output of a string": (
        200, lambda: body(calls=[giving('"' + "y" * 1000 + '",', 16_000)], **LARGE_OUTPUT)
    ),
    "outputs that vary": (
        200,
        lambda: body(calls=[giving('"0x12345678",', 50_000, varies=True)], **DETERMINISM),
    ),
    "outputs just not large": (200, lambda: body(calls=[giving("1,", 19_000)] * 50)),
    "outputs of 120 MB (G03)": (
        413, lambda: body(calls=[giving("[],", 5_000_000)] * 8, **LARGE_OUTPUT)
    ),
    "honest outputs of 60 MB (G03)": (413, lambda: body(calls=[giving("[],", 349_000)] * 60)),
}  # fmt: skip
GENERATES: dict[str, tuple[int, Callable[[], bytes]]] = {
    "generator of 12 MB": (200, lambda: generate_body(SOURCE)),
    "function of 12 MB": (200, lambda: generate_body({"code": "x"}, function=SOURCE)),
    "inputs of 0.6 MB": (
        200, lambda: generate_body(drawing("1,", 300_000), attempts=8, **DETERMINISM)
    ),
    "inputs that are none": (200, lambda: generate_body({"code": "x"}, attempts=5000)),
}  # fmt: skip
RUNS: dict[str, tuple[int, Callable[[], bytes]]] = {
    "program of 12 MB": (200, lambda: text_of({"program": SOURCE})),
    "files of 15 MB": (
        200, lambda: text_of({"program": {"code": "x", "files": {"a": "y" * 15_000_000}}})
    ),
    "bytes of 12 MB": (
        200,
        lambda: text_of(
            {"program": {"code": "x", "files": {"a": {"base64": "eXl5" * 3_900_000}}}}
        ),
    ),
    "10,000 cases": (
        200, lambda: text_of({"program": {"code": "x"}, "cases": [{"stdin": "1"}] * 10_000})
    ),
}  # fmt: skip
VERIFIES: dict[str, tuple[int, Callable[[], bytes]]] = {
    "10,000 items": (200, lambda: verify_body(10_000)),
    "4,700 items of 50 bytes": (200, lambda: items_body(*[{"prediction": 1, "output": 1}] * 4700)),
    "10,000 items full of faults": (422, lambda: text_of({"items": [BAD_ITEM] * 10_000})),
    "feedback of 400 MB (G02)": (200, lambda: verify_body(1000, **FEEDBACK_WITHOUT_END)),
    "prediction of a string in an array": (
        200, lambda: prediction_body('["..."]', "y" * 16_000_000)
    ),
    "prediction of a long name": (200, lambda: prediction_body('{"...":1}', "y" * 16_000_000)),
    "prediction to run on": (
        200,
        lambda: items_body({"kind": "input", "function": FUNCTION, "output": 1, "prediction": {
            str(n): 1 for n in range(300_000)}}),
    ),
    "responses": (200, lambda: items_body(*[{"response": "{'a':[" * 21_000, "output": 1}] * 20)),
    "responses, by the strict rule": (
        200,
        lambda: items_body(
            *[{"response": "{}" * 60_000, "output": 1, "extraction": "strict"}] * 20
        ),
    ),
    "outputs of 3 MB": (
        200,
        lambda: items_body(*[{"function": FUNCTION, "prediction": 1, **LARGE_OUTPUT,
                              "input": giving("[],", 1_000_000)["args"]}] * 2),
    ),
}  # fmt: skip
REQUESTS: dict[str, tuple[str, int, Callable[[], bytes]]] = {
    name: (f"/v1/{operation}", status, make)
    for operation, shapes in (
        ("execute", EXECUTES), ("run", RUNS), ("generate", GENERATES), ("verify", VERIFIES)
    )
    for name, (status, make) in shapes.items()
}  # fmt: skip
"""Where each goes, how it is answered, and what makes it."""


def line(request: bytes, op: str = "execute") -> bytes:
    return b'{"id":"x","op":"%s",' % op.encode() + request[1:] + b"\n"


LINES: dict[str, Callable[[], bytes]] = {
    "empty lines": lambda: b"\n" * 16_000_000 + line(body()),
    "a line of spaces": lambda: b" " * 16_700_000 + b"\n" + line(body()),
    "a string that never ends": lambda: b'"' + b"y" * 16_700_000 + b"\n" + line(body()),
    "a name of escapes": lambda: b'{"id":"' + b'\\"' * 4_000_000 + b"\n" + line(body()),
    "a line of 16 MB": lambda: line(EXECUTES["string in an array, checked"][1]()),
    "an answer of 16 MB": lambda: line(EXECUTES["output of a string"][1]()) * 2,
    "a generator of 12 MB": lambda: line(GENERATES["generator of 12 MB"][1](), "generate"),
}
"""Bodies of batches by what they begin with; their last line is answered with a result."""
