"""The raw answers of the transform step: as asked for, and as models really write them."""

from __future__ import annotations

import pytest

from execbox.dataset.files.json_lines import BadRecord
from execbox.dataset.files.records import Record
from execbox.dataset.files.transform import TransformedFunction, parse_transformed, raw_answer
from execbox.dataset.steps.record_function import function_record

CODE = "import math\n\n# main function\ndef main_solution(n):\n    return math.sqrt(n)"
GENERATOR = "import random\n\ndef input_generator():\n    return {'n': random.randint(0, 9)}"
REQUIREMENTS = "Input:\n  `n` (int): a number\nOutput:\n  `return` (float): its root"
PROBLEM = "A square field has an area of `n`.\n\nHow long is its side?"
EXPECTED = TransformedFunction(
    code=CODE, requirements=REQUIREMENTS, generator=GENERATOR, problem=PROBLEM
)
PLAIN = f"""## Main Function
```python
{CODE}
```
## Input Output Description
{REQUIREMENTS}
## Input Generator
```python
{GENERATOR}
```
## Problem Statement
{PROBLEM}
"""


def _indented(text: str, by: str) -> str:
    return "\n".join(by + line if line else line for line in text.split("\n"))


VARIANTS = {
    "as asked for": PLAIN,
    "windows lines": PLAIN.replace("\n", "\r\n"),
    "other levels": PLAIN.replace("## ", "# ", 1).replace("## ", "#### "),
    "bold headings": PLAIN.replace("## Main Function", "**Main Function**")
    .replace("## Input Output Description", "**Input Output Description:**")
    .replace("## Input Generator", "**Input Generator**:")
    .replace("## Problem Statement", "**4. Problem Statement**"),
    "numbered": PLAIN.replace("## Main", "## 1. Main")
    .replace("## Input Output", "## 2. Input Output")
    .replace("## Input Gen", "3. Input Gen")
    .replace("## Problem", "### 4) Problem"),
    "colons": PLAIN.replace("Function\n", "Function:\n").replace("Statement\n", "Statement: \n"),
    "closed headings": PLAIN.replace("## Main Function", "## Main Function ##"),
    "lower case": PLAIN.replace("## Input Generator", "## input generator"),
    "other titles": PLAIN.replace("Main Function", "Reference Code")
    .replace("Input Output Description", "Input/Output Requirements")
    .replace("Problem Statement", "Problem Description"),
    "title with a remark": PLAIN.replace("## Main Function", "## Main Function (Python)"),
    "other order": PLAIN[PLAIN.index("## Problem") :] + PLAIN[: PLAIN.index("## Problem")],
    "talk around it": f"Sure! Here is what you asked for.\n\n{PLAIN}",
    "tagged py": PLAIN.replace("```python", "```py"),
    "untagged": PLAIN.replace("```python", "```"),
    "tildes": PLAIN.replace("```python", "~~~python").replace("```\n", "~~~\n"),
    "longer fence": PLAIN.replace("```python", "````python").replace("```\n", "````\n"),
    "all in a fence": f"```markdown\n{PLAIN}```",
    "all in a fence left open": f"```markdown\n{PLAIN}",
    "after thoughts": f"<think>\n## Main Function\nLet me see.\n```python\nx\n</think>\n{PLAIN}",
    "drafted before": PLAIN.replace(CODE, "def main_solution(n):\n    return 1", 1).replace(
        PROBLEM, "A draft."
    )
    + "\nOn second thoughts:\n\n"
    + PLAIN,
    "requirements in a fence": PLAIN.replace(REQUIREMENTS, f"```\n{REQUIREMENTS}\n```"),
    "code without a fence": PLAIN.replace(f"```python\n{CODE}\n```", CODE),
    "example after the code": PLAIN.replace(
        f"{CODE}\n```", f"{CODE}\n```\nFor example:\n```python\nprint(main_solution(4))\n```"
    ),
    "code in two blocks": PLAIN.replace(
        f"```python\n{CODE}",
        "```python\nimport math\n```\nand\n```python\n" + CODE[12:].lstrip("\n"),
    ),
    "indented fences": PLAIN.replace(
        f"```python\n{CODE}\n```", _indented(f"```python\n{CODE}\n```", "   ")
    ),
    "empty first": f"## Problem Statement\n\n{PLAIN}",
}


@pytest.mark.parametrize("name", VARIANTS)
def test_transformed_answer_in_any_dress_gives_the_four_sections(name: str) -> None:
    """Headings are told from comments in code, and code from what is around it."""
    found = parse_transformed(VARIANTS[name])
    if name == "code in two blocks":
        assert found.code == "import math\n\n" + CODE[12:].lstrip("\n")
    else:
        assert found.code == CODE
    assert found.generator == GENERATOR
    assert found.requirements == REQUIREMENTS
    assert found.problem.startswith("A square field")
    assert found.problem.endswith("How long is its side?") or name == "other order"


def test_transformed_problem_keeps_its_own_headings_and_fences() -> None:
    """Only the four sections' titles end a section."""
    problem = "### Background\n\nA table:\n\n```\na | b\n```\n\nWhat is `b`?"
    assert parse_transformed(PLAIN.replace(PROBLEM, problem)).problem == problem


def test_transformed_code_may_have_comments_that_look_like_headings() -> None:
    """A line of code never is a heading."""
    code = CODE + "\n# Input Generator\n# Problem Statement\n"
    assert parse_transformed(PLAIN.replace(CODE, code)).code == code.rstrip()


def test_transformed_blocks_without_headings_are_known_by_what_they_define() -> None:
    """Prose has no such mark, so its headings are needed."""
    text = PLAIN.replace("## Main Function\n", "").replace("## Input Generator\n", "")
    found = parse_transformed(text)
    assert (found.code, found.generator) == (CODE, GENERATOR)


@pytest.mark.parametrize(
    ("text", "reason", "named"),
    [
        ("", "missing_section", "Main Function"),
        ("I cannot do that.", "missing_section", "Problem Statement"),
        (PLAIN[: PLAIN.index("## Problem")], "missing_section", "Problem Statement"),
        (PLAIN.replace(GENERATOR, ""), "missing_section", "Input Generator"),
        (PLAIN[: PLAIN.index("    return {")], "truncated_answer", "cut off"),
    ],
)
def test_transformed_answer_that_is_incomplete_says_what_is_missing(
    text: str, reason: str, named: str
) -> None:
    """The record is put aside with a reason that can be counted."""
    with pytest.raises(BadRecord) as caught:
        parse_transformed(text)
    assert caught.value.reason == reason
    assert named in caught.value.message


@pytest.mark.parametrize(
    "value",
    [
        {"output": "text"},
        {"response": "text", "messages": []},
        {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "text"}]},
        {"choices": [{"message": {"role": "assistant", "content": "text"}}]},
    ],
)
def test_raw_answer_is_found_under_the_usual_names(value: dict[str, object]) -> None:
    """What infer and CodeI/O write, and what APIs answer."""
    assert raw_answer(value) == "text"


@pytest.mark.parametrize(
    "value",
    [{}, {"output": None}, {"messages": [{"role": "user", "content": "?"}]}, {"choices": []}],
)
def test_raw_answer_that_is_not_there_is_none(value: dict[str, object]) -> None:
    """A question is no answer."""
    assert raw_answer(value) is None


@pytest.mark.parametrize(
    ("fields", "msgidx"),
    [
        ({"index": 93}, 93),
        ({"index": 0}, 0),
        ({}, 6),
        ({"index": 93, "meta": {"msgidx": 5}}, 5),
    ],
)
def test_function_of_a_raw_answer_keeps_where_it_is_from(
    fields: dict[str, object], msgidx: int
) -> None:
    """CodeI/O's scripts number answers by the line that was asked, and results come in any order;
    what the answer's record says besides stays, and what only its model's call said goes."""
    value: dict[str, object] = {
        "messages": [{"role": "user", "content": "?"}],
        "output": PLAIN,
        "model": "m",
        "reasoning": "hm",
        "finish_reason": "stop",
        "repo_name": "a/b",
        "path": "src/c.py",
        "size": 7,
    }
    record = Record(source="a", number=7, id="6", value=value | fields, end_bytes=0)
    made = function_record(record)
    kept = {"repo_name": "a/b", "path": "src/c.py", "size": 7} | fields
    assert {name: made[name] for name in kept if name != "meta"} == {
        name: member for name, member in kept.items() if name != "meta"
    }
    assert made["meta"] == {
        "msgidx": msgidx,
        "model": "m",
        "repo_name": "a/b",
        "path": "src/c.py",
    }
    assert {"messages", "output", "model", "reasoning", "finish_reason"}.isdisjoint(made)
