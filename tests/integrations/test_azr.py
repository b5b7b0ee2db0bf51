"""Absolute Zero's executor on execbox: its methods, its texts, and what they do not let pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from execbox import Client, ConnectFailed, InvalidRequest
from execbox.integrations.azr import PythonExecutor

pytestmark = pytest.mark.docker

DOUBLE = "def f(a, b=0):\n    return a * 2 + b"
COUNT = "from collections import Counter\ndef f(s):\n    return Counter(s)"
NAMED = "def f(a):\n    raise StopIteration(a)"


@pytest.fixture
def executor(client: Client) -> Iterator[PythonExecutor]:
    """One whose calls may take half a second."""
    with PythonExecutor(
        timeout_length=0.5, max_workers=2, client=client, ast_check=True, isolation="process"
    ) as made:
        yield made


@pytest.mark.parametrize(
    ("code", "inputs", "told"),
    [
        (DOUBLE, "1, b='x'[:0] or 3", ("5", "Done")),
        (DOUBLE, "'ab'", ("", 'TypeError: can only concatenate str (not "int") to str')),
        (DOUBLE, "1, 2  # a comment", ("4", "Done")),
        ("def f():\n    return {1: (2, {3})}, b'x'", "", ("({1: (2, {3})}, b'x')", "Done")),
        (
            "def f():\n    return 'x' * 1000",
            "",
            ("'" + "x" * 199 + "..." + "x" * 199 + "'", "Done"),
        ),
        ("def f():\n    while True: pass", "", ("", "Timeout Error")),
        ("def f(:\n    pass", "", ("", "SyntaxError: invalid syntax")),
        ("def g(): pass", "", ("", "NameError: name 'f' is not defined")),
        ("import os\ndef f(): os._exit(3)", "", ("", "Error: no_result, ended with exit code 3")),
        ("def f(): return '\x00'", "", ("", "SyntaxError: ")),
        (NAMED, "1", ("", "StopIteration: 1")),
    ],
)
def test_run_code_gives_the_repr_or_the_last_line_of_a_traceback(
    executor: PythonExecutor, code: str, inputs: str, told: tuple[str, str]
) -> None:
    """Long results are cut in their middle, as there."""
    output, status = executor.run_code(code, inputs)
    assert output == told[0]
    assert status.startswith(told[1])


@pytest.mark.parametrize(("code", "valid"), [(DOUBLE, True), (NAMED, False)])
def test_validate_code_says_whether_it_returns(
    executor: PythonExecutor, code: str, valid: bool
) -> None:
    """An exception is a failure whatever its name is."""
    assert executor.validate_code(code, "1") is valid


@pytest.mark.parametrize(
    ("code", "gold", "given", "score"),
    [
        (DOUBLE, "4", "2", 1.0),
        (DOUBLE, "4.0", "1, b=2", 1.0),
        (DOUBLE, "4", "3", 0.0),
        (DOUBLE, "4", "3) or (4", 0.0),
        (DOUBLE, "4", "3) if 0 else (4", 0.0),
        (DOUBLE, "4", "", 0.0),
        (
            DOUBLE,
            "4",
            "type('A', (), {'__mul__': lambda s, n: s, '__add__': lambda s, n: s})()",
            0.0,
        ),
        (COUNT, "Counter({'a': 2, 'b': 1})", "'aba'", 1.0),
        (COUNT, "{'a': 2, 'b': 1}", "'aba'", 0.0),
        (NAMED, "None", "1", 0.0),
    ],
)
def test_input_prediction_is_right_where_it_gives_the_gold_output(
    executor: PythonExecutor, code: str, gold: str, given: str, score: float
) -> None:
    """A prediction that would close the call's bracket is wrong, and not true of everything."""
    assert executor.eval_input_prediction(code, gold, given) == score


@pytest.mark.parametrize(
    ("code", "gold", "given", "score"),
    [
        (DOUBLE, "{1: (2,)}", "{1: (2, )}", 1.0),
        (DOUBLE, "2", "1 + 1", 1.0),
        (DOUBLE, "2", "f(1)", 1.0),
        (DOUBLE, "2", "type('A', (), {'__eq__': lambda s, o: True})()", 0.0),
        (DOUBLE, "2", "", 0.0),
        (DOUBLE, "2", "exit()", 0.0),
        (COUNT, "Counter({'a': 2})", "Counter('aa')", 1.0),
    ],
)
def test_output_prediction_is_right_where_it_is_the_gold_output(
    executor: PythonExecutor, code: str, gold: str, given: str, score: float
) -> None:
    """A value that says it is equal to everything is not."""
    assert executor.eval_output_prediction(code, gold, given) == score


def test_k_predictions_have_a_score_each_in_their_order(executor: PythonExecutor) -> None:
    """There, what does not parse comes last."""
    scores = executor.eval_k_input_prediction(DOUBLE, "4", ["3", ")", "2", "2"])
    assert scores == [0.0, 0.0, 1.0, 1.0]
    assert executor.eval_k_output_prediction(DOUBLE, "4", ["", "4", "2 + 2"]) == [0.0, 1.0, 1.0]


SHUFFLED = "def f(a):\n    return str(set(a))"
LATE = "import time\ndef f(a):\n    return time.time()"
EARLIER = "import time\nstart = time.time()\ndef f(a):\n    return round(time.time() - start)"


@pytest.mark.parametrize(
    ("code", "options", "told"),
    [
        (DOUBLE, {}, (True, "2")),
        (SHUFFLED, {}, (False, "")),
        (SHUFFLED, {"check_determinism": False}, (True, None)),
        (EARLIER, {}, (True, "0")),
        (LATE, {}, (False, "")),
        (NAMED, {}, (False, "")),
        (NAMED, {"check_error": True}, (True, "StopIteration")),
        (DOUBLE, {"check_error": True}, (True, "NoError")),
        ("def f(", {"check_error": True}, (False, "error")),
        ("import os.path\n" + DOUBLE, {"banned_keywords": ["path"]}, (False, None)),
        ("import os\n" + DOUBLE, {"banned_keywords": ["random"]}, (True, "2")),
        (
            NAMED,
            {"check_error": True, "banned_keywords_for_errors_and_exceptions": ["raise"]},
            (False, None),
        ),
        (DOUBLE, {"imports": ["import no_such_module"]}, (False, "")),
    ],
)
def test_check_all_says_whether_a_proposed_function_is_usable(
    executor: PythonExecutor, code: str, options: Any, told: tuple[bool, str | None]
) -> None:
    """What another hash seed or another day changes is not, which two calls in one process do not
    show."""
    inputs = "'ab'" if code is SHUFFLED else "1"
    valid, output = executor.check_all(code, inputs, **options)
    assert valid is told[0]
    assert output == told[1] or (told[1] is None and valid)


def test_apply_runs_a_snippet_for_its_last_line_or_what_it_prints(executor: PythonExecutor) -> None:
    """In their order, several at a time."""
    assert executor.batch_apply(
        ["x = 2\nx + 1", "print('a')\nprint('b')", "1 / 0", "print(y)"]
    ) == [
        ("3", "Done"),
        ("a\nb", "Done"),
        ("", "ZeroDivisionError: division by zero"),
        ("", "NameError: name 'y' is not defined"),
    ]
    executor.cleanup()
    assert executor.apply("(1,\n2)") == ("", "SyntaxError: '(' was never closed")


UNKNOWN: dict[str, Callable[[PythonExecutor], object]] = {
    "run_code": lambda executor: executor.run_code(DOUBLE, "1"),
    "validate_code": lambda executor: executor.validate_code(DOUBLE, "1"),
    "eval_k_input_prediction": lambda executor: executor.eval_k_input_prediction(
        DOUBLE, "2", ["1"]
    ),
    "check_all": lambda executor: executor.check_all(DOUBLE, "1"),
    "apply": lambda executor: executor.apply("print(1)"),
}


@pytest.mark.parametrize("method", UNKNOWN)
def test_failure_of_the_service_is_raised(lost_client: Client, method: str) -> None:
    """An empty text or a False would be a verdict."""
    with PythonExecutor(client=lost_client) as executor, pytest.raises(ConnectFailed):
        UNKNOWN[method](executor)


def test_failure_of_the_service_is_no_score(lost_client: Client) -> None:
    """What Absolute Zero's callers leave out of their means; what needs no service is known."""
    with PythonExecutor(client=lost_client) as executor:
        assert executor.eval_input_prediction(DOUBLE, "4", "2") is None
        assert executor.eval_output_prediction(DOUBLE, "4", "f(2)") is None
        assert executor.eval_output_prediction(DOUBLE, "4", "5") == 0.0


def test_limits_that_the_operator_does_not_permit_are_no_score(client: Client) -> None:
    """The mistake is whoever set them, and not the code's."""
    executor = PythonExecutor(timeout_length=50, client=client)
    with pytest.raises(InvalidRequest):
        executor.eval_input_prediction(DOUBLE, "4", "2")
