"""The tests of an open-instruct request: a list, or that list as a text. Pure.

Its datasets keep tests as JSON, or pickled, compressed and base64; both are sent as they are. A
pickle can run anything in whoever reads it, so only plain values are read here: what names a class
or a function is refused, and so is what is larger, unpacked, than a body may be.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import pickle
import zlib
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from execbox.wire import BODY_BYTES_MAX, ErrorCode
from execbox_service.failures import CallerMistake

__all__ = ["StdioTest", "assert_tests", "stdio_tests"]

StdioTest = tuple[str, str]
"""What a program reads, and what it has to print."""
_UNPACKED_BYTES_MAX: Final = BODY_BYTES_MAX


def assert_tests(tests: object) -> list[str]:
    """The texts of the tests of ``/test_program``. Raises CallerMistake."""
    found = _tests(tests)
    for index, test in enumerate(found):
        if not isinstance(test, str):
            raise _mistake(f"tests[{index}]: must be the text of an assert, not {_kind(test)}")
    return list(found)


def stdio_tests(tests: object) -> list[StdioTest]:
    """The tests of ``/test_program_stdio``. Raises CallerMistake."""
    return [_stdio_test(test, index) for index, test in enumerate(_tests(tests))]


def _stdio_test(test: object, index: int) -> StdioTest:
    if not isinstance(test, dict) or not {"input", "output"} <= test.keys():
        raise _mistake(f"tests[{index}]: must be an object with input and output")
    given, expected = test["input"], test["output"]
    if isinstance(given, list) and all(isinstance(line, str) for line in given):
        given = "\n".join(given)
    for name, value in (("input", given), ("output", expected)):
        if not isinstance(value, str):
            raise _mistake(f"tests[{index}].{name}: must be a string, not {_kind(value)}")
    return given, expected


def _tests(tests: object) -> Sequence[Any]:
    if isinstance(tests, str) and tests:
        tests = _decoded(tests)
    if not tests:
        return []
    if not isinstance(tests, list):
        raise _mistake(f"tests: must be an array, or the text of one, not {_kind(tests)}")
    return tests


def _decoded(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        packed = base64.b64decode(text.encode("ascii"), validate=True)
        unpacking = zlib.decompressobj()
        data = unpacking.decompress(packed, _UNPACKED_BYTES_MAX)
    except (ValueError, binascii.Error, zlib.error) as error:
        raise _mistake(
            "tests: the text is no JSON, and no base64 of a compressed pickle"
        ) from error
    if not unpacking.eof:
        raise _mistake(f"tests: more than {_UNPACKED_BYTES_MAX} bytes when it is unpacked")
    try:
        return _PlainValues(io.BytesIO(data)).load()
    except Exception as error:
        # Whatever a broken or hostile pickle makes of its reader, it is its sender's mistake.
        raise _mistake("tests: the pickle is broken, or holds more than plain values") from error


# The reader that is written in Python: the one in C makes a table as long as a pickle tells it to.
class _PlainValues(pickle._Unpickler):
    """Lists, dicts, texts, numbers; nothing is imported, so nothing can be called."""

    def find_class(self, _module: str, _name: str) -> NoReturn:
        raise pickle.UnpicklingError("names a class or a function")

    def persistent_load(self, _name: object) -> NoReturn:
        raise pickle.UnpicklingError("names something outside of it")

    def get_extension(self, _code: int) -> NoReturn:
        raise pickle.UnpicklingError("names something outside of it")


def _kind(value: object) -> str:
    return type(value).__name__


def _mistake(problem: str) -> CallerMistake:
    detail = {"problems": [problem], "problem_count": 1}
    return CallerMistake(ErrorCode.INVALID_REQUEST, problem, detail=detail)
