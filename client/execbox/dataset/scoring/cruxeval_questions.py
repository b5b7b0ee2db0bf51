"""CRUXEval's questions: the benchmark's format, an assertion to complete, in our own words.

What is taken out of the answers is in ``cruxeval_answers``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from string import Template

from execbox.dataset.files.json_lines import DatasetError, Value, text_field
from execbox.dataset.files.records import Record
from execbox.dataset.scoring.cruxeval_answers import Mode
from execbox.dataset.steps.prompts import Templates
from execbox.dataset.steps.step import Step, kept, part_of, per_record

__all__ = ["CRUXEVAL_TEMPLATES", "CruxevalOptions", "cruxeval_prompts_step"]

_OUTPUT = """\
Below is a Python function with one call of it. Work out what the call returns, exactly as the \
code is written, even where it looks mistaken. Then complete the assertion: put the returned value \
in place of ??, as a literal with nothing left to compute and no call in it. Write the completed \
assertion between [ANSWER] and [/ANSWER], and nothing else there. An example:

[PYTHON]
def f(word, count):
    return word.upper() * count
assert f("ab", 2) == ??
[/PYTHON]
[ANSWER]
assert f("ab", 2) == "ABAB"
[/ANSWER]

Now this one:

[PYTHON]
$code
assert f($input) == ??
[/PYTHON]
"""

_INPUT = """\
Below is a Python function with a value that one call of it returned. Find arguments with which \
the function returns exactly this value; if there are several, any will do. Then complete the \
assertion: put the arguments in place of ??, as literals. Write the completed assertion between \
[ANSWER] and [/ANSWER], and nothing else there. An example:

[PYTHON]
def f(numbers):
    return sum(numbers) - len(numbers)
assert f(??) == 7
[/PYTHON]
[ANSWER]
assert f([4, 5]) == 7
[/ANSWER]

Now this one:

[PYTHON]
$code
assert f(??) == $output
[/PYTHON]
"""

CRUXEVAL_TEMPLATES = Templates(output=_OUTPUT, input=_INPUT, code="")
"""The wording where none is given; ``$code``, ``$input`` and ``$output`` are filled in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CruxevalOptions:
    """Which of the two questions are asked of each sample, and in which words."""

    kinds: Sequence[Mode] = ("input", "output")
    templates: Templates = field(default=CRUXEVAL_TEMPLATES)

    def __post_init__(self) -> None:
        if not self.kinds or not set(self.kinds) <= {"input", "output"}:
            raise DatasetError(f"kinds must be input, output or both, not {list(self.kinds)!r}")


def cruxeval_prompts_step(options: CruxevalOptions) -> Step:
    """The step over the benchmark's samples (``id``, ``code``, ``input``, ``output``).

    Its results have ``messages``, ``sample_id`` and ``io_pred`` (``i`` or ``o``), by which
    scoring finds the answers again; they are counted as ``input`` and ``output``.
    """

    def parts(record: Record) -> Sequence[Record]:
        return [
            part_of(
                record,
                place,
                suffix=f".{kind[0]}",
                value=_question(record, kind, options.templates),
            )
            for place, kind in enumerate(options.kinds)
        ]

    return Step(
        name="prompts cruxeval",
        settings={"kinds": list(options.kinds), "templates": asdict(options.templates)},
        work=per_record(kept),
        parts=parts,
        reason_of=lambda value: "input" if value.get("io_pred") == "i" else "output",
    )


def _question(record: Record, kind: Mode, templates: Templates) -> Value:
    sample = {name: text_field(record.value, name) for name in ("code", "input", "output")}
    del sample[kind]  # What is asked for is not shown.
    text = Template(templates.output if kind == "output" else templates.input)
    messages = [{"role": "user", "content": text.safe_substitute(sample)}]
    if templates.system:
        messages.insert(0, {"role": "system", "content": templates.system})
    return {"messages": messages, "sample_id": record.id, "io_pred": kind[0]}
