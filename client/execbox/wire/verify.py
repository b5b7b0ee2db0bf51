"""``POST /v1/verify``: predictions to check, and what each was worth."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from execbox.wire import html_view
from execbox.wire.error_codes import ErrorBody
from execbox.wire.execute import Execution
from execbox.wire.feedback_templates import FeedbackTemplates
from execbox.wire.fields import CALLS_MAX, JSON, Request, Response, Seconds, exactly_one_of
from execbox.wire.functions import Function, Limits
from execbox.wire.vocabularies import (
    Comparator,
    Conversion,
    Extraction,
    Isolation,
    Profile,
    Verdict,
)

__all__ = [
    "Tolerance",
    "VerifiedItem",
    "VerifyItem",
    "VerifyRequest",
    "VerifyResponse",
]


class Tolerance(Request):
    """Numbers are equal within either bound: ``|a - b| <= max(rel * max(|a|, |b|), abs)``."""

    rel: Annotated[Seconds, Field(ge=0, le=1)] = 1e-6
    abs: Annotated[Seconds, Field(ge=0)] = 0.0


class VerifyItem(Request):
    """One prediction to check. Exactly one of ``prediction`` and ``response`` is given.

    ``kind`` input: the prediction is an input, run to see whether it gives ``output``.
    ``kind`` output: the prediction is compared with ``output``, or, where that is absent, with
    what the function gives for ``input``.
    """

    model_config = ConfigDict(json_schema_extra=exactly_one_of("prediction", "response"))

    id: Annotated[str, Field(max_length=1000)]
    function: Function | None = Field(
        default=None, description="Needed unless an output prediction has a known output."
    )
    kind: Literal["input", "output"]
    prediction: JSON = Field(default=None, description="The bare value; never unwrapped.")
    response: str | None = Field(
        default=None, description="A model's text; the answer is extracted from it."
    )
    extraction: Extraction = Field(
        default="tolerant",
        description="How the answer is found in response; strict is the rule of CodeI/O's scripts.",
    )
    input: JSON = None
    output: JSON = None
    comparator: Comparator = "codeio"
    tolerance: Tolerance | None = None
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        given = self.model_fields_set
        if self.tolerance is not None and self.comparator != "tolerance":
            raise ValueError("tolerance is given, so comparator must be tolerance")
        if ("prediction" in given) == ("response" in given) or (
            "response" in given and self.response is None
        ):
            raise ValueError("give exactly one of prediction (JSON) and response (text)")
        if self.kind == "input" and "output" not in given:
            raise ValueError("an input prediction is checked against output, which is missing")
        if self.kind == "output" and not {"output", "input"} & given:
            raise ValueError("an output prediction needs output, or input to run the function on")
        if self.function is None and (self.kind == "input" or "output" not in given):
            raise ValueError("function is missing: this item can be checked by running it only")
        return self


class VerifyRequest(Request):
    """Body of ``POST /v1/verify``. Items that share function and limits are run together."""

    items: Annotated[list[VerifyItem], Field(min_length=1, max_length=CALLS_MAX)]
    isolation: Isolation = "container"
    profile: Profile = "default"
    convert: Conversion = Field(
        default="none", description="As for execute: how values that are no JSON become JSON."
    )
    feedback_templates: FeedbackTemplates = FeedbackTemplates()


class VerifiedItem(Response):
    """What one prediction was worth. ``verdict`` is null only where ``error`` says why."""

    id: str
    verdict: Verdict | None
    feedback: str | None = Field(
        default=None, description="Text for a model's next turn; null without verdict or not_run."
    )
    extracted: JSON = Field(
        default=None, description="The prediction as it was understood; null with no_answer."
    )
    executed_output: JSON = Field(
        default=None, description="What the function gave, where it was run and ended ok."
    )
    execution: Execution | None = Field(default=None, description="Null where nothing was run.")
    error: ErrorBody | None = None

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        return html_view.item_html(self)


class VerifyResponse(Response):
    """Answer of ``POST /v1/verify``: one entry per item, in their order."""

    items: list[VerifiedItem]
    isolation: Isolation
    engine: str
    image: str

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        return html_view.verify_html(self)
