"""Requests as large as permitted, each of a shape that keeps a careless service busy. Sends none.

Every one of them does what it says on real sandboxes; a sandbox that only pretends to run can read
from the call, the generator or the arguments what it would give.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

__all__ = [
    "FEEDBACK_WITHOUT_END",
    "LINES",
    "REQUESTS",
    "body",
    "drawing",
    "giving",
    "printing",
    "verify_body",
    "wanted_of_arguments",
    "wanted_of_generator",
]

LARGE_OUTPUT = {"limits": {"output_bytes": 2**24}}
ANY_SIZE = {"total_bytes": 2**40, "container_items": 2**40}
DETERMINISM = {"checks": {"determinism": {"runs": 2}}}
FUNCTION = {
    "code": """
import json
import random

def main_solution(x=None, n=None, **others):
    if not (isinstance(x, dict) and "unit" in x):
        return 1
    last = random.getrandbits(50) if x["varies"] else 1
    return json.loads("[" + x["unit"] + "1]")[:-1] * x["count"] + [last]
"""
}
"""Gives what ``giving`` asks for, and 1 for any other call."""
GENERATOR = """
import json
import random

def input_generator():
    unit = json.loads("[" + asked["unit"] + "1]")[:-1]
    return {"x": unit * asked["count"], "n": random.getrandbits(50)}
"""
PROGRAM = """
import json
import sys

sys.stdin.buffer.read()
asked = json.loads(sys.argv[1]) if sys.argv[1:] else {}
sys.stdout.write(asked.get("unit", "1") * asked.get("count", 1))
for number in range(asked.get("file_count", 0)):
    with open(f"made-{number}", "wb") as file:
        file.write(b"x" * asked["file_bytes"])
"""
"""Prints, and leaves, what ``printing`` asks for; without that it prints 1."""
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


def giving(unit: str, count: int, *, varies: bool = False) -> dict[str, Any]:
    """The call whose output is an array of so many times this text, and a number at its end, which
    ``varies`` from one execution to the next."""
    return {"args": [{"unit": unit, "count": count, "varies": varies}]}


def drawing(unit: str, count: int) -> dict[str, Any]:
    """The input generator whose draws have such an array, and differ."""
    asked = json.dumps({"unit": unit, "count": count, "drawn": True})
    return {"code": f"#{asked}\nasked = {{'unit': {unit!r}, 'count': {count}}}\n{GENERATOR}"}


def wanted_of_generator(code: str) -> dict[str, Any] | None:
    """What the draws of this generator have, where ``drawing`` made it."""
    first = code.partition("\n")[0]
    wanted: dict[str, Any] | None = json.loads(first[1:]) if first.startswith("#{") else None
    return wanted


def printing(
    unit: str = "", count: int = 1, *, file_count: int = 0, file_bytes: int = 0
) -> list[str]:
    """The arguments with which ``PROGRAM`` prints a text so many times, and leaves such files."""
    files = {"file_count": file_count, "file_bytes": file_bytes}
    return [json.dumps({"unit": unit, "count": count} | files)]


def wanted_of_arguments(arguments: list[str]) -> dict[str, Any] | None:
    """What the program of these arguments is to print and leave, where ``printing`` made them."""
    wanted: dict[str, Any] | None = json.loads(arguments[0]) if arguments else None
    return wanted


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


def run_body(*, cases: list[dict[str, Any]] | None = None, **fields: Any) -> bytes:
    """A program's; what belongs to the program itself is taken from ``fields``."""
    of_program = ("code", "arguments", "stdin", "files", "fetch")
    program = {"code": PROGRAM} | {name: fields.pop(name) for name in of_program if name in fields}
    return text_of({"program": program} | ({} if cases is None else {"cases": cases}) | fields)


def stdin_body(stdin: str, inner: str) -> bytes:
    """The same with a stdin that is given as its text with ``...`` for what there is much of."""
    text = stdin.replace("...", inner).encode()
    return run_body(stdin="STDIN").replace(b'"STDIN"', text)


def encoded(size_bytes: int) -> dict[str, str]:
    return {"base64": base64.b64encode(b"x" * size_bytes).decode()}


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
STDOUT_OF_1_MB: dict[str, Any] = {"limits": {"stdout_bytes": 2**20}}
FILES_OF_15_MB = printing(file_count=15, file_bytes=2**20)
RUNS: dict[str, tuple[int, Callable[[], bytes]]] = {
    "program of 12 MB": (200, lambda: text_of({"program": SOURCE})),
    "file of 15 MB": (200, lambda: run_body(files={"a": "y" * 15_000_000})),
    "file in base64": (200, lambda: run_body(files={"a": {"base64": "eXl5" * 3_900_000}})),
    "10,000 cases": (200, lambda: run_body(cases=[{"stdin": "1"}] * 10_000)),
    "stdin of 15 MB": (200, lambda: stdin_body('"..."', "y" * 15_000_000)),
    "stdin of quotes": (200, lambda: stdin_body('"..."', '\\"' * 7_500_000)),
    "stdin in base64": (200, lambda: run_body(stdin=encoded(11_000_000))),
    "stdin of one case in ten thousand": (
        200,
        lambda: run_body(
            cases=[{"stdin": "y" * 14_000_000}, *[{}] * 9999],
            expected={"stdout": "2"},
            stop_at_first_failure=True,
        ),
    ),
    "10,000 cases, of which the first fails": (
        200,
        lambda: run_body(
            cases=[{"stdin": "y" * 1400, "expected": {"stdout": "2"}}] * 10_000,
            stop_at_first_failure=True,
        ),
    ),
    "1,000 cases": (
        200, lambda: run_body(cases=[{"stdin": "y" * 15_000}] * 1000, expected={"stdout": "1"})
    ),
    "arguments of 100 cases": (
        200,
        lambda: run_body(
            cases=[{"arguments": printing("1", 1) + ["y" * 150] * 900}] * 100
        ),
    ),
    "1,000 files": (
        200, lambda: run_body(files={f"folder/{n}": encoded(11_000) for n in range(1000)})
    ),
    "files beyond files_bytes": (
        422, lambda: run_body(files={"a": encoded(11_000_000)}, limits={"files_bytes": 2**20})
    ),
    "files given and fetched": (
        200, lambda: run_body(files={"a": encoded(11_000_000)}, fetch=["**"])
    ),
    "files of 15 MB fetched": (
        200, lambda: run_body(arguments=FILES_OF_15_MB, fetch=["**"])
    ),
    "files of 150 MB fetched": (
        413,
        lambda: run_body(arguments=FILES_OF_15_MB, fetch=["**"], cases=[{}] * 10),
    ),
    "stdout of 10 MB": (
        200,
        lambda: run_body(
            arguments=printing("y", 2**20), cases=[{}] * 10, **STDOUT_OF_1_MB
        ),
    ),
    "stdout of control characters": (
        413,
        lambda: run_body(
            arguments=printing("\0", 2**20), cases=[{}] * 40, **STDOUT_OF_1_MB
        ),
    ),
    "stdout of words against 14 MB of words": (
        200,
        lambda: run_body(
            arguments=printing("1 ", 2**19),
            expected={"stdout": "1 " * 7_000_000, "comparator": "tokens"},
            **STDOUT_OF_1_MB,
        ),
    ),
    "stdout of numbers": (
        200,
        lambda: run_body(
            arguments=printing("1.5 ", 2**18),
            cases=[{}] * 10,
            expected={"stdout": "1.50 " * 2**18, "comparator": "numbers"},
            **STDOUT_OF_1_MB,
        ),
    ),
}  # fmt: skip
REQUESTS: dict[str, tuple[str, int, Callable[[], bytes]]] = {
    name: (f"/v1/{operation}", status, make)
    for operation, shapes in (
        ("execute", EXECUTES), ("generate", GENERATES), ("verify", VERIFIES), ("run", RUNS)
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
    "files of 15 MB fetched": lambda: line(RUNS["files of 15 MB fetched"][1](), "run"),
    "a generator of 12 MB": lambda: line(GENERATES["generator of 12 MB"][1](), "generate"),
}
"""Bodies of batches by what they begin with; their last line is answered with a result."""
