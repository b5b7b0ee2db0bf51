"""Answers as models write them, made from known values, and what extraction makes of them.

``python -m acceptance.answer_styles --beside REVISION`` also runs the extractor of another revision
of this repository on the same answers, and shows how many changed. Nothing is judged here but
whether the value that was written is the one that is read.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from execbox_service.answers.extraction import extract

__all__ = ["STYLES", "Outcome", "StyledAnswer", "answers", "compared", "main", "table"]

JSON: TypeAlias = Any
Style: TypeAlias = Callable[[JSON, JSON], str]

ROOT = Path(__file__).resolve().parents[1]
_WORDS = ("alpha", "beta", "gamma", "red", "green", "not found", "a{b}", "x: y", "it's", "42")


class Extractor(Protocol):
    """``extract`` of this or of another revision."""

    def __call__(self, response: str, *, kind: Any) -> object: ...


def _wrapped(value: JSON) -> str:
    return json.dumps({"output": value})


def _fenced(value: JSON, *, label: str = "json") -> str:
    return f"```{label}\n{_wrapped(value)}\n```"


def _marked(value: JSON) -> str:
    return value if isinstance(value, str) and value.isalpha() else json.dumps(value)


def _latex(value: JSON) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"\\text{{{value}}}" if isinstance(value, str) and value.isalpha() else json.dumps(value)


STYLES: dict[str, Style] = {
    "bare object": lambda right, _: f"Step by step, we get {_wrapped(right)}.",
    "fenced object": lambda right, _: f"So:\n{_fenced(right)}",
    "fenced, no label": lambda right, _: f"So:\n{_fenced(right, label='')}",
    "fenced Python dict": lambda right, _: f"So:\n```python\n{ {'output': right}!r}\n```",
    "Python dict": lambda right, _: f"Thus { {'output': right}!r} it is.",
    "fenced, object of the input after": lambda right, _: f'{_fenced(right)}\nas {{"n": 3}} shows.',
    "fenced draft, bare answer": lambda right, wrong: f"{_fenced(wrong)}\nNo: {_wrapped(right)}",
    "bare draft, fenced answer": lambda right, wrong: f"{_wrapped(wrong)}? No:\n{_fenced(right)}",
    "draft in <think>, bare answer": lambda right, wrong: (
        f"<think>Try\n{_fenced(wrong)}\nno.</think>\nThe answer: {_wrapped(right)}"
    ),
    "draft before </think> only": lambda right, wrong: (
        f"Try\n{_fenced(wrong)}\nno.\n</think>\n\nThe answer: {_wrapped(right)}"
    ),
    "answer, placeholder repeated": lambda right, _: (
        f'{_wrapped(right)}\n\nin the format {{"output": <your output>}}'
    ),
    "object without the key after": lambda right, wrong: (
        f"{_wrapped(right)}\nCheck: {json.dumps({'k': wrong})}"
    ),
    "\\boxed{}": lambda right, _: f"Hence $\\boxed{{{json.dumps(right)}}}$.",
    "\\boxed{} as printed": lambda right, _: f"Hence $\\boxed{{{_latex(right)}}}$.",
    "<answer>": lambda right, _: f"I see.\n<answer>{_marked(right)}</answer>",
    "<answer> after a draft": lambda right, wrong: (
        f"{_fenced(wrong)}\n<answer>{_marked(right)}</answer>"
    ),
    "Final answer:": lambda right, _: f"We go on.\n\n**Final answer:** {json.dumps(right)}",
    "capital key": lambda right, _: json.dumps({"Output": right}),
    "unquoted key": lambda right, _: f"```json5\n{{output: {json.dumps(right)}}}\n```",
    "comment in the object": lambda right, _: (
        f'{{\n  "output": {json.dumps(right)} // as shown\n}}'
    ),
    "curly quotes": lambda right, _: f"{{\u201coutput\u201d: {json.dumps(right)}}}",
    "HTML entities": lambda right, _: _wrapped(right).replace("&", "&amp;").replace('"', "&quot;"),
}
"""Each writes the right value, and a wrong one where it has a draft."""


@dataclass(frozen=True, slots=True)
class StyledAnswer:
    """One text, and the value that its writer meant."""

    style: str
    text: str
    meant: JSON


@dataclass(slots=True)
class Outcome:
    """What became of the answers of one style."""

    count: int = 0
    right: Counter[str] = field(default_factory=Counter)
    """By extractor, now or before: read as the value that was meant."""
    wrong: Counter[str] = field(default_factory=Counter)
    """By extractor: read as a different value, which is worse than none."""
    changed: int = 0


def answers(count: int, *, seed: int = 0) -> Iterator[StyledAnswer]:
    """``count`` answers, the styles in turn; the same for the same seed."""
    draw = random.Random(seed)
    styles = list(STYLES.items())
    for number in range(count):
        name, style = styles[number % len(styles)]
        right, wrong = _value(draw), _value(draw)
        while wrong == right:
            wrong = _value(draw)
        yield StyledAnswer(name, style(right, wrong), right)


def _value(draw: random.Random, depth: int = 0) -> JSON:
    kind = draw.randrange(7 if depth < 2 else 4)
    match kind:
        case 0:
            return draw.randrange(-100_000, 100_000)
        case 1:
            return round(draw.uniform(-100, 100), draw.randrange(1, 6))
        case 2:
            return draw.choice(_WORDS)
        case 3:
            return draw.choice([True, False, None]) if depth else draw.choice([True, False])
        case 6:
            return {draw.choice(_WORDS): _value(draw, depth + 1) for _ in range(draw.randrange(4))}
    return [_value(draw, depth + 1) for _ in range(draw.randrange(5))]


def compared(made: Sequence[StyledAnswer], extractors: dict[str, Extractor]) -> dict[str, Outcome]:
    """By style, what each extractor reads."""
    outcomes: dict[str, Outcome] = {style: Outcome() for style in STYLES}
    for one in made:
        outcome = outcomes[one.style]
        outcome.count += 1
        read: list[str | None] = []
        for name, extractor in extractors.items():
            found = extractor(one.text, kind="output")
            value = json.dumps(found.value, sort_keys=True) if hasattr(found, "value") else None
            read.append(value)
            if value == json.dumps(one.meant, sort_keys=True):
                outcome.right[name] += 1
            elif value is not None:
                outcome.wrong[name] += 1
        outcome.changed += len(set(read)) > 1
    return outcomes


def table(outcomes: dict[str, Outcome], names: Sequence[str]) -> str:
    """The outcomes in Markdown, a row a style and one for all."""
    columns = [column for name in names for column in (f"right {name}", f"wrong {name}")]
    rows = [["style", "answers", *columns, "changed"]]
    total = Outcome()
    for style, outcome in outcomes.items():
        rows.append([f"`{style}`", *_figures(outcome, names)])
        total.count += outcome.count
        total.right += outcome.right
        total.wrong += outcome.wrong
        total.changed += outcome.changed
    rows.append(["all", *_figures(total, names)])
    rows.insert(1, ["---", *["---:"] * (len(rows[0]) - 1)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _figures(outcome: Outcome, names: Sequence[str]) -> list[str]:
    pairs = [(outcome.right[name], outcome.wrong[name]) for name in names]
    figures = [outcome.count, *(figure for pair in pairs for figure in pair), outcome.changed]
    return [str(figure) for figure in figures]


def _extractor_of(revision: str, folder: Path) -> Extractor:
    """The extractor as it was: its two modules, taken out of git into a package of their own."""
    package = folder / "extractor_before"
    package.mkdir()
    (package / "__init__.py").touch()
    names = _git("ls-tree", "-r", "--name-only", revision, "service").splitlines()
    for name in names:
        if re.search(r"/(?:answers|judge)/(?:extraction|literals)\.py$", name):
            source = _git("show", f"{revision}:{name}")
            source = re.sub(r"execbox_service\.\w+\.(?=literals)", "extractor_before.", source)
            (package / Path(name).name).write_text(source, "utf-8")
    sys.path.insert(0, str(folder))
    module = importlib.import_module("extractor_before.extraction")
    found: Extractor = module.extract
    return found


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
    ).stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 0 whatever it says."""
    parser = argparse.ArgumentParser(prog="python -m acceptance.answer_styles", description=__doc__)
    parser.add_argument("--count", type=int, default=3000, help="answers to make (default 3000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--beside", metavar="REVISION", help="compare with its extractor")
    options = parser.parse_args(arguments)
    made = list(answers(options.count, seed=options.seed))
    extractors: dict[str, Extractor] = {}
    with tempfile.TemporaryDirectory() as folder:
        if options.beside:
            extractors["before"] = _extractor_of(options.beside, Path(folder))
        extractors["now"] = extract
        outcomes = compared(made, extractors)
    sys.stdout.write(table(outcomes, list(extractors)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
