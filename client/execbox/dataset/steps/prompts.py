"""``prompts``: from functions with their pairs to questions for a model, in our own words.

One record per question, in the shape of the CodeI/O repository (``messages``, ``itemid``,
``ioid``, ``io_pred``) with what is needed to check an answer: ``refcode``, ``funcname`` and the
pair itself as ``io``. Asking a model is in ``infer``.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from string import Template
from typing import Literal, TypeAlias

from execbox import strict_json
from execbox.dataset.files.json_lines import BadRecord, DatasetError, Value, list_field, text_field
from execbox.dataset.files.record_certificates import OWN_META
from execbox.dataset.files.records import Record
from execbox.dataset.files.sources import open_source, reading_errors
from execbox.dataset.steps.sorting import is_finite
from execbox.dataset.steps.step import Step, part_of, per_record

__all__ = ["PromptOptions", "Templates", "prompts_step", "templates_from_file"]

PredictionKind: TypeAlias = Literal["input", "output"]

_OUTPUT = """\
$problem

What goes in and what comes out:

$requirements
$code
Now take this input:

$input

Work out, step by step and in your own words, what comes out. Do not write a program. End your \
answer with one JSON object on a line of its own, {"output": ...}, holding the result and nothing \
else."""

_INPUT = """\
$problem

What goes in and what comes out:

$requirements
$code
Now look at this output:

$output

Work out, step by step and in your own words, an input that leads to exactly this output; if there \
are several, any one of them will do. Do not write a program. End your answer with one JSON object \
on a line of its own, {"input": {...}}, whose inner object gives every input variable by its \
name."""

_CODE = """
This reference code solves the problem. Let it guide your reasoning, without quoting it:

```python
$refcode
```
"""

_UNUSABLE = "unusable_ioid"
"""Marks a part that is listed as a failure instead of being asked."""
_NAMES = frozenset({"problem", "requirements", "code", "refcode", "input", "output"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """The wording, with ``$name`` for what is filled in (``string.Template``; ``$$`` is a dollar).

    ``output`` and ``input`` are the two questions and know ``$problem``, ``$requirements``,
    ``$code``, and ``$input`` or ``$output``. ``code`` becomes ``$code`` where code is shown at
    all, and knows ``$refcode``. ``system`` is sent before the question unless empty.
    """

    output: str = _OUTPUT
    input: str = _INPUT
    code: str = _CODE
    system: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptOptions:
    """Which questions are asked.

    Of each function's pairs ``pairs_count`` are taken: the first ones, as CodeI/O does, or with a
    ``seed`` a draw that depends on seed and function only. ``kinds`` is in the order in which the
    questions about one pair come. With ``show_code`` the question includes the function's code.
    """

    pairs_count: int = 3
    kinds: Sequence[PredictionKind] = ("input", "output")
    seed: int | None = None
    show_code: bool = True
    templates: Templates = Templates()

    def __post_init__(self) -> None:
        if self.pairs_count < 1:
            raise DatasetError(f"the number of pairs must be 1 or more, not {self.pairs_count}")
        if not self.kinds or not set(self.kinds) <= {"input", "output"}:
            raise DatasetError(f"kinds must be input, output or both, not {list(self.kinds)!r}")


def templates_from_file(path: Path, *, instead_of: Templates = Templates()) -> Templates:
    """Templates from a JSON object with any of ``output``, ``input``, ``code``, ``system``.

    What the file leaves out is as ``instead_of`` has it.

    Raises ``DatasetError`` for another name, a ``$name`` that is never filled in, or a question
    that shows neither input nor output.
    """
    try:
        with open_source(path) as source, reading_errors(source.name):
            members = strict_json.decode(source.file.read())
    except DatasetError:
        raise
    except ValueError as error:
        raise DatasetError(f"{path}: not strict JSON: {error}") from error
    names = set(Templates.__slots__)
    if not isinstance(members, dict) or not set(members) <= names:
        raise DatasetError(f"{path}: must be a JSON object with any of {', '.join(sorted(names))}")
    for name, text in members.items():
        _check_template(f"{path}: {name}", name, text)
    return replace(instead_of, **members)


def prompts_step(options: PromptOptions) -> Step:
    """The step; its results are counted as ``input`` and ``output``.

    A record's ``itemid`` is its zero-based line among the functions and ``ioid`` the place of the
    pair in ``ios``, both as in CodeI/O; ``io_pred`` is ``i`` or ``o``.
    """

    def parts(record: Record) -> Sequence[Record]:
        return _questions(record, options)

    settings = {**asdict(options), "kinds": list(options.kinds)}
    return Step(
        name="prompts",
        settings=settings,
        work=per_record(_question_or_problem),
        parts=parts,
        non_finite=True,
        numbers_lines=True,
        reason_of=lambda value: "input" if value.get("io_pred") == "i" else "output",
    )


def _questions(record: Record, options: PromptOptions) -> Sequence[Record]:
    ios = list_field(record.value, "ios")
    if not ios:
        raise BadRecord('"ios" is empty: there is nothing to ask', reason="no_pairs")
    usable = [ioid for ioid, pair in enumerate(ios) if is_finite(pair)]
    questions: list[Record] = []
    for ioid in _chosen(record, usable, options):
        pair = ios[ioid]
        if not isinstance(pair, dict) or not {"input", "output"} <= pair.keys():
            raise BadRecord(f'ios[{ioid}] must have "input" and "output"', reason="invalid_pair")
        for kind in options.kinds:
            letter = kind[0]
            value = _question(record, ioid, pair, kind=kind, options=options)
            questions.append(
                part_of(record, len(questions), suffix=f".{ioid}.{letter}", value=value)
            )
    unusable = [
        part_of(record, len(questions) + number, suffix=f".{ioid}", value={_UNUSABLE: ioid})
        for number, ioid in enumerate(sorted({*range(len(ios))} - {*usable}))
    ]
    return [*questions, *unusable]


async def _question_or_problem(record: Record) -> Value:
    if _UNUSABLE in record.value:
        raise BadRecord(
            f"ios[{record.value[_UNUSABLE]}] holds NaN or an infinity: it is no ground truth, and "
            "nothing is asked about it",
            reason="non_finite",
        )
    return record.value


def _chosen(record: Record, usable: Sequence[int], options: PromptOptions) -> Sequence[int]:
    wanted = min(options.pairs_count, len(usable))
    if options.seed is None:
        return usable[:wanted]
    key = f"{options.seed}:{record.id}".encode("utf-8", "surrogatepass")
    draw = random.Random(hashlib.sha256(key).digest())  # noqa: S311 - a choice of examples
    return sorted(draw.sample(usable, wanted))


def _question(
    record: Record, ioid: int, pair: Value, *, kind: PredictionKind, options: PromptOptions
) -> Value:
    function = record.value
    value: Value = {
        "messages": _messages(function, pair, kind=kind, options=options),
        "itemid": record.index,
        "ioid": ioid,
        "io_pred": kind[0],
        "refcode": text_field(function, "refcode"),
        "funcname": function.get("funcname", "main_solution"),
        "io": {"input": pair["input"], "output": pair["output"]},
    }
    # What a function was certified with is what its answers have to be checked with.
    for name in ("prelude", "convert"):
        if name in function:
            value[name] = function[name]
    meta = function.get("meta")
    if isinstance(meta, dict):
        # Without the account of how its pairs came about: it is long, and in the functions' file.
        value["meta"] = {name: member for name, member in meta.items() if name != OWN_META}
    return value


def _messages(
    function: Value, pair: Value, *, kind: PredictionKind, options: PromptOptions
) -> list[dict[str, str]]:
    templates = options.templates
    refcode = text_field(function, "refcode")
    code = Template(templates.code).safe_substitute(refcode=refcode) if options.show_code else ""
    question = Template(templates.output if kind == "output" else templates.input).safe_substitute(
        problem=text_field(function, "problem_description"),
        requirements=text_field(function, "io_requirements"),
        code=code,
        refcode=refcode,
        **_shown(pair, kind=kind),
    )
    messages = [{"role": "user", "content": question}]
    if templates.system:
        messages.insert(0, {"role": "system", "content": templates.system})
    return messages


def _shown(pair: Value, *, kind: PredictionKind) -> Mapping[str, str]:
    """The half of the pair that may be seen: the other one is what is asked for."""
    name = "input" if kind == "output" else "output"
    return {name: json.dumps(pair[name], ensure_ascii=False)}


def _check_template(where: str, name: str, text: object) -> None:
    if not isinstance(text, str):
        raise DatasetError(f"{where}: must be text")
    template = Template(text)
    unknown = [found for found in template.get_identifiers() if found not in _NAMES]
    if not template.is_valid() or unknown:
        problem = f"${unknown[0]} is not known" if unknown else "a $ is left over; $$ means one"
        raise DatasetError(f"{where}: {problem}; known are ${', $'.join(sorted(_NAMES))}")
    needed = {"output": "input", "input": "output"}.get(name)
    if needed is not None and needed not in template.get_identifiers():
        raise DatasetError(f"{where}: must show ${needed}, or the question cannot be answered")
