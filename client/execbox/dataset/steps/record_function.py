"""The function that a record holds, in CodeI/O's shape or as a model's raw answer.

Running it is up to the steps; how, where the record does not say, is in ``run_options``.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from execbox import wire
from execbox.dataset.files.json_lines import BadRecord, Value, text_field
from execbox.dataset.files.records import Record
from execbox.dataset.files.transform import ANSWER_FIELDS, parse_transformed, raw_answer
from execbox.dataset.steps.run_options import RunOptions

__all__ = [
    "conversion_of",
    "function_of",
    "function_record",
    "generator_of",
    "invalid_record",
    "named_settings",
]


_OF_AN_ANSWER = frozenset(
    (
        *("messages", "choices", *ANSWER_FIELDS, "model", "finish_reason", "usage"),
        *("reasoning", "reasoning_content"),
    )
)
"""Of a model's call, and not of the function that came of it."""


def function_record(record: Record) -> Value:
    """A record in the shape of a function: as it is, or made from a raw answer.

    Of a raw answer's record everything is kept but the messages and the text. Its ``meta`` gets
    the ``model``, ``repo_name`` and ``path``, which later steps pass on there, and ``msgidx``: the
    record's ``index``, as in CodeI/O, or its zero-based line where it has none. Raises
    ``BadRecord``.
    """
    value = record.value
    if "refcode" in value:
        return value
    text = raw_answer(value)
    if text is None:
        raise BadRecord(
            '"refcode" is missing, and so is a raw answer ("output") to take it from',
            reason="missing_field",
        )
    parsed = parse_transformed(text)
    meta = value.get("meta")
    origin: Value = {"msgidx": value.get("index", record.index)}
    origin |= {name: value[name] for name in ("model", "repo_name", "path") if name in value}
    rest = {name: member for name, member in value.items() if name not in _OF_AN_ANSWER}
    return rest | {
        "problem_description": parsed.problem,
        "io_requirements": parsed.requirements,
        "refcode": parsed.code,
        "funcname": "main_solution",
        "input_generator": parsed.generator,
        "category": value.get("category"),
        "meta": origin | meta if isinstance(meta, dict) else origin,
    }


def function_of(value: Value, options: RunOptions) -> wire.Function:
    """A record's function. Raises ``BadRecord`` where there is none, or none that can be run."""
    if not text_field(value, "refcode").strip():
        raise BadRecord('"refcode" is empty: there is nothing to run', reason="missing_field")
    try:
        return wire.Function.model_validate(
            {
                "code": value["refcode"],
                "entry_point": value.get("funcname", "main_solution"),
                "prelude": value.get("prelude", options.prelude),
            }
        )
    except ValidationError as error:
        names = {"code": "refcode", "entry_point": "funcname"}
        raise invalid_record(error, names=names) from error


def generator_of(value: Value) -> wire.InputGenerator:
    """A record's input generator. Raises ``BadRecord`` where there is none."""
    if not text_field(value, "input_generator").strip():
        raise BadRecord('"input_generator" is empty', reason="missing_field")
    try:
        return wire.InputGenerator.model_validate({"code": value["input_generator"]})
    except ValidationError as error:
        raise invalid_record(error, names={"code": "input_generator"}) from error


def conversion_of(value: Value, options: RunOptions) -> wire.Conversion:
    """How values without a JSON form are written for this record."""
    match value.get("convert", options.convert):
        case "none":
            return "none"
        case "codeio":
            return "codeio"
    raise BadRecord('"convert" must be none or codeio', reason="invalid_field")


def named_settings(function: wire.Function, convert: wire.Conversion) -> Value:
    """Members for a record that say how it was run, so that answers are checked the same way."""
    settings: Value = {"prelude": function.prelude, "convert": convert}
    return {name: setting for name, setting in settings.items() if setting != "none"}


def invalid_record(error: ValidationError, *, names: Mapping[str, str]) -> BadRecord:
    """The first thing wrong with a record, by the record's own name for it."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = str(first["loc"][0]) if first["loc"] else ""
    problem = first["msg"].removeprefix("Value error, ")
    return BadRecord(f'"{names.get(place, place)}": {problem}', reason="invalid_field")
