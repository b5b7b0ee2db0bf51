"""Options of the command line against the models that they are made from."""

from __future__ import annotations

import argparse
import math
from typing import Annotated

import pytest
from pydantic import BaseModel, Field, ValidationError

from execbox import wire
from execbox.cli.outcomes import CommandError
from execbox.cli.wire_options import (
    add_limit_options,
    add_number_option,
    given_limits,
    limits_of,
)


def limit_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    add_limit_options(parser)
    return parser


def accepted_by_model(name: str, number: float) -> bool:
    try:
        wire.Limits.model_validate({name: number})
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("name", wire.Limits.model_fields)
def test_limit_option_takes_exactly_what_the_model_takes(name: str) -> None:
    """At, just inside and just outside of both ends of the range; words are no numbers."""
    whole = wire.Limits.model_fields[name].annotation is int
    bounds = wire.Limits.model_json_schema()["properties"][name]
    least = bounds.get("minimum", bounds.get("ge"))
    most = bounds.get("maximum", bounds.get("le"))
    step = 1 if whole else 1e-3
    for number in (least - step, least, least + step, most - step, most, most + step):
        argv = [f"--{name.replace('_', '-')}={number}"]
        if accepted_by_model(name, number):
            limits = given_limits(limit_parser().parse_args(argv))
            assert limits == wire.Limits.model_validate({name: number})
            assert limits.model_fields_set == {name}
        else:
            with pytest.raises(CommandError, match=f"not '{number}'"):
                limit_parser().parse_args(argv)
    for text in ("many", "", "nan", "inf", "1e999"):
        with pytest.raises(CommandError):
            limit_parser().parse_args([f"--{name.replace('_', '-')}={text}"])


def test_limit_options_show_range_default_and_description_of_the_model() -> None:
    """The help is the schema's text."""
    shown = " ".join(limit_parser().format_help().split())
    for field in wire.Limits.model_fields.values():
        assert str(field.description).rstrip(".") in shown
    assert "(from 0.01 to 60; default 5)" in shown
    assert "(from 1 to 16 MiB; default 1 MiB)" in shown


def test_limit_options_left_out_are_the_services_choice() -> None:
    """Nothing given is nothing sent; a step's own defaults stay where one option is given."""
    assert given_limits(limit_parser().parse_args([])) is None
    defaults = wire.Limits(job_time_s=60)
    limits = limits_of(limit_parser().parse_args(["--memory-mb", "64"]), defaults=defaults)
    assert (limits.memory_mb, limits.job_time_s, limits.cpu_time_s) == (64, 60, 5)


class Sample(BaseModel):
    """Fields of the forms that the API's models have."""

    optional: Annotated[int, Field(ge=1, le=9)] | None = Field(default=None, description="Some.")
    unbounded: Annotated[float, Field(ge=0)] = 0.5


def test_number_option_reads_optional_and_unbounded_fields() -> None:
    """A range may stand inside of a union, or end nowhere."""
    parser = argparse.ArgumentParser()
    add_number_option(parser, Sample, "optional", default=3)
    add_number_option(parser, Sample, "unbounded")
    args = parser.parse_args(["--unbounded", "1e300"])
    assert (args.optional, args.unbounded) == (3, 1e300)
    assert math.isclose(parser.parse_args(["--optional=9"]).optional, 9)
    with pytest.raises(CommandError, match="--optional must be a whole number from 1 to 9"):
        parser.parse_args(["--optional=10"])
    with pytest.raises(CommandError, match="--unbounded must be a number from 0"):
        parser.parse_args(["--unbounded=-1"])
    assert "Some (from 1 to 9; default 3)" in parser.format_help()
