"""What a model's reply holds: a block to run, or an answer."""

from __future__ import annotations

import pytest

from execbox.dataset.steps.interpreted_reply import reply_of, same_answer

BLOCK = "```python\nprint(1)\n```"


@pytest.mark.parametrize(
    ("text", "code", "answer"),
    [
        (f"First this.\n{BLOCK}", "print(1)\n", None),
        (f"{BLOCK}\nIt prints 1, so <<<1>>>", "print(1)\n", None),
        (f"{BLOCK}\nand\n```python\nprint(2)\n```", "print(1)\n", None),
        (f"<<<7>>>\n{BLOCK}", None, "7"),
        ("It is <<<7>>>, or rather <<< 8\n>>>.", None, "8"),
        ("```python\nprint('<<<1>>>')\n```", "print('<<<1>>>')\n", None),
        ("```\n<<<1>>>\n```\nno more", None, None),
        ("```bash\nls\n```\n<<<2>>>", None, "2"),
        ("```bash\nls\n```\nthen\n```py\nx\n```", "x\n", None),
        ("~~~python\nx = '''\n```\n'''\n~~~", "x = '''\n```\n'''\n", None),
        ("So: ```python\nprint(1)\n```", "print(1)\n", None),
        ("- item\n  ```Python3\n  if 1:\n      print(1)\n  ```", "if 1:\n    print(1)\n", None),
        ("```python\nprint(1)\n", "print(1)\n", None),
        ("```python", "", None),
        ("Use ```x``` here. <<<3>>>", None, "3"),
        ("<<<>>>", None, ""),
        ("a << b >> c", None, None),
        ("", None, None),
    ],
)
def test_reply_is_the_first_block_or_the_last_answer(
    text: str, code: str | None, answer: str | None
) -> None:
    """An answer behind a block was written before the block had run, and counts for nothing."""
    reply = reply_of(text)
    assert (reply.code, reply.answer) == (code, answer)
    assert text.startswith(reply.text)


def test_block_that_was_cut_is_no_code() -> None:
    """What the endpoint cut for its length is not all of it; what stopped at its end is."""
    assert reply_of("```python\nprint(1", is_cut=True).code is None
    assert reply_of(f"{BLOCK}\nAnd then", is_cut=True).code == "print(1)\n"


def test_text_behind_a_block_is_left_out() -> None:
    """So that the model does not read the output that it made up."""
    assert reply_of(f"See:\n{BLOCK}\nOutput: 5").text == f"See:\n{BLOCK}"


@pytest.mark.parametrize(
    ("answer", "expected", "same"),
    [
        (" 42 ", 42, True),
        ("42.0", 42, True),
        ("4.2e1", "42", True),
        ("42", "43", False),
        ("true", 1, False),
        ("1", True, False),
        ("true", True, True),
        ("null", "null", True),
        ("Paris", " Paris\n", True),
        ("paris", "Paris", False),
        ("[1, 2.0]", [1, 2], True),
        ('{"a": [true]}', {"a": [1]}, False),
        ("1/3", "1/3", True),
        ("NaN", float("nan"), False),
        ("", "", True),
        ("[" * 2000, [], False),
    ],
)
def test_answer_is_right_where_it_says_the_same(answer: str, expected: object, same: bool) -> None:
    """As text, or as JSON; a boolean is never a number."""
    assert same_answer(answer, expected) is same
