"""When a program printed what was expected, by each comparator."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from execbox.wire import StdoutComparator
from execbox_service.judge.stdout_comparison import same_lines, same_stdout


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("1\n", "1\n", "exact trimmed tokens numbers"),
        ("", "", "exact trimmed tokens numbers"),
        ("1", "1\n", "trimmed tokens numbers"),
        ("1\n2\n", "1 \n2\t\n\n", "trimmed tokens numbers"),
        ("1\r\n2", "1\n2", "trimmed tokens numbers"),
        (" a", "a", "trimmed tokens numbers"),
        ("a\n b", "a\nb", "tokens numbers"),
        ("a b", "a  b", "tokens numbers"),
        ("a\nb", "a b", "tokens numbers"),
        ("a\n\nb", "a\nb", "tokens numbers"),
        ("ab", "a b", ""),
        ("a", "A", ""),
        ("a", "", ""),
        ("1 2", "1", ""),
        ("1.5", "1.50", "numbers"),
        ("0.333333333", "0.3333333", "numbers"),
        ("1000000.0", "1000000.9", "numbers"),
        ("1000000.0", "1000001.1", ""),
        ("0.0", "0.0000009", "numbers"),
        ("0.0", "0.0000011", ""),
        ("1e3", "1000.0", "numbers"),
        ("1000", "1000.0", "numbers"),
        ("7", "07", "numbers"),
        ("+7", "7", "numbers"),
        ("-0.0", "0.0", "numbers"),
        ("10000001", "10000002", ""),
        ("x 1.0", "x 1.0000001", "numbers"),
        ("x1.0", "x1.0000001", ""),
        ("nan", "nan", "exact trimmed tokens numbers"),
        ("nan", "NaN", ""),
        ("inf", "1e999", ""),
        ("1e999", "2e999", ""),
        ("1e999", "1e999", "exact trimmed tokens numbers"),
        ("1_000.0", "1000.0", ""),
        ("\u0661.0", "1.0", ""),
        ("[1, 2]", "[1,2]", ""),
        ("", "a", ""),
        ("1\x1f2\u3000 3", "1 2\u20283", "tokens numbers"),
    ],
)
@pytest.mark.parametrize("comparator", ["exact", "trimmed", "tokens", "numbers"])
def test_stdout_is_the_same_by_a_comparators_rule(
    expected: str, printed: str, same: str, comparator: StdoutComparator
) -> None:
    """``same`` names the comparators by which it is."""
    assert same_stdout(expected, printed, comparator=comparator) is (comparator in same.split())


def test_stdout_of_hostile_numbers_is_compared_in_linear_time() -> None:
    """A megabyte of digits, of points and of exponents costs no more CPU time than any text."""
    for text in ("9" * 2**20, "1." * 2**19, "1e" * 2**19, "1.0 " * 2**18):
        began_s = time.process_time()
        same_stdout(text, text + "1", comparator="numbers")
        assert time.process_time() - began_s < 2


@pytest.mark.parametrize("comparator", ["trimmed", "tokens", "numbers"])
@pytest.mark.parametrize("unit", ["ab\n", "ab "])
def test_stdout_of_many_words_is_compared_without_a_list_of_them(
    comparator: StdoutComparator, unit: str
) -> None:
    """Fourteen megabytes of words took 0.16 s in one piece, and more memory than a request is
    counted with."""
    expected = unit * 1_000_000
    tracemalloc.start()
    try:
        assert same_stdout(expected, unit * 1000 + "ab", comparator=comparator) is False
        _now_bytes, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2 * len(expected)


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        ("a\n", "a", True),
        ("  a \n b\n\n", "a\nb", True),
        ("a\n\nb", "a\nb", False),
        ("1.0 2", "1 2.00", True),
        ("1e2", "100", True),
        ("1 2", "12", False),
        ("1 a", "1 a ", True),
        ("1.0 a", "1 a", False),
        ("sNaN", "sNaN", True),
        ("sNaN 1", "sNaN 1.0", False),
        ("1e999999999", "1", False),
        ("", "", True),
        ("", "0", False),
    ],
)
def test_lines_are_compared_as_open_instruct_does(printed: str, expected: str, same: bool) -> None:
    """Equal lines but for white space around them, or equal numbers."""
    assert same_lines(printed, expected) is same
