"""The code that a model wrote: which of its blocks it is, and where that begins and ends."""

from __future__ import annotations

import pytest

from execbox.integrations._fenced import code_in

CODE = "print(1)\n"
FOUND = {
    "one block": "So:\n```python\nprint(1)\n```\nDone.",
    "the last of two": "```python\nprint(0)\n```\nNo:\n```python\nprint(1)\n```",
    "a shell's block before it": (
        "```bash\npip install x\n```\nThen the solution:\n```python\nprint(1)\n```"
    ),
    "a block of text before it": "```text\n5\n```\nCode:\n```python\nprint(1)\n```",
    "what it prints behind it": "```python\nprint(1)\n```\nExample output:\n```\n4\n```",
    "two blocks of text behind it": (
        "```python\nprint(1)\n```\nFor\n```text\n1\n```\nit is\n```text\n2\n```"
    ),
    "no tag anywhere": "```\nprint(0)\n```\nor\n```\nprint(1)\n```",
    "no tag, and others": "```json\n{}\n```\n```\nprint(1)\n```\n```text\n1\n```",
    "a tag in capitals": "```Python\nprint(1)\n```",
    "a version": "```python3.11\nprint(1)\n```",
    "a short tag": "``` py\nprint(1)\n```",
    "a title": '```python title="a.py"\nprint(1)\n```',
    "a file's name": "```python:main.py\nprint(1)\n```",
    "a tag in braces": "```{.python .numberLines}\nprint(1)\n```",
    "white space behind fences": "```python  \nprint(1)\n```  \nDone.",
    "tildes": "~~~python\nprint(1)\n~~~\nDone.",
    "more backticks": "````python\nprint(1)\n`````\nDone.",
    "no end": "```python\nprint(1)",
    "no end, after a block of text": "```text\n1\n```\n```python\nprint(1)",
    "its end behind its last line": "```python\nprint(1)```",
    "its end behind its last line, and prose": "```python\nprint(1)```\nThat prints 1.",
    "a tag behind its end": "<answer>\n```python\nprint(1)\n```</answer>",
    "a mark of a template behind its end": "```python\nprint(1)\n```<|im_end|>",
    "a sentence behind its end": "```python\nprint(1)\n``` This prints 1.\nOutput:\n```\n1\n```",
    "a full stop behind its end": "```python\nprint(1)\n```.",
    "a heading underlined with tildes": (
        "Solution\n~~~~~~~~\nHere:\n```python\nprint(1)\n```\nDone."
    ),
    "such a heading, and no tag": "Solution\n~~~~~~~~\nHere:\n```\nprint(1)\n```\nDone.",
    "a beginning behind prose": "The code: ```python\nprint(1)\n```\nDone.",
    "a first try without an end": "```python\nprint(\nWait:\n```python\nprint(1)\n```",
    "a block of Markdown around it": "```markdown\n# A\n```python\nprint(1)\n```\n```",
    "a list": "1. First\n\n   ```python\n   print(1)\n   ```\n2. Second",
    "a deep list": "- a\n  10. b:\n      ```python\n      print(1)\n      ```\n",
    "the mark of a list": "- ```python\n  print(1)\n  ```\n- Done.",
    "a list whose code is at the margin": "1. First\n   ```python\nprint(1)\n```\nDone.",
    "an empty block behind it": "```python\nprint(1)\n```\n```python\n```",
}


@pytest.mark.parametrize("text", FOUND.values(), ids=FOUND.keys())
def test_code_in_prose_is_its_last_block_of_python(text: str) -> None:
    """And no line of what is around it."""
    assert code_in(text) == CODE


def test_code_in_lines_that_end_as_on_windows_is_found() -> None:
    """Which some models write; Python reads them as they are."""
    text = "So:\r\n```python\r\nprint(1)\r\nprint(2)\r\n```\r\nDone.\r\n"
    assert code_in(text).split() == ["print(1)", "print(2)"]


DOCSTRING = '''def f():
    """For example:

    ```python
    f()
    ```
    """
    return 1
'''


@pytest.mark.parametrize("text", [DOCSTRING, f"```python\n{DOCSTRING}```\nDone."])
def test_code_with_fences_in_its_docstring_is_taken_whole(text: str) -> None:
    """They are indented: neither ends nor beginnings."""
    assert code_in(text) == DOCSTRING


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("````python\ns = '''\n```\n'''\n````", "s = '''\n```\n'''\n"),
        ("````python\ns = '''\n```python\n'''\n````", "s = '''\n```python\n'''\n"),
        ("```python\ns = '''\n~~~\n'''\n```", "s = '''\n~~~\n'''\n"),
        ("```python\ns = '''\n```text\n'''\n```", "s = '''\n```text\n'''\n"),
        ("```python\n    x = 1\n```", "    x = 1\n"),
        ("x = 1\n", "x = 1\n"),
        ("Use `x` or ```x = 1``` here", "Use `x` or ```x = 1``` here"),
        ("```cpp\nint x;\n```", "```cpp\nint x;\n```"),
        ("", ""),
    ],
    ids=[
        "longer",
        "longer, tagged",
        "other",
        "tag",
        "indented",
        "none",
        "in line",
        "C++",
        "nothing",
    ],
)
def test_code_is_what_commonmark_takes_for_it(text: str, code: str) -> None:
    """Fences that are shorter or of the other kind are content; without a block, it is the text."""
    assert code_in(text) == code


def test_code_in_a_text_made_to_be_slow_is_found_at_once() -> None:
    """Whatever a model writes, each character is looked at a few times only."""
    for piece in ("~~ ", "```python ", "x ``` ", "\t- ", "1) ", "x```\n", "```python\n", "`` ` "):
        assert code_in(piece * 200_000 + "\n```python\nprint(1)\n```") == CODE
