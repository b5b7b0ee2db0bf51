"""What a client makes of the answers of a service that is one version newer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from execbox import wire

ANSWERS: tuple[type[BaseModel], ...] = (
    wire.Capabilities,
    wire.CellOutput,
    wire.CellResponse,
    wire.ErrorResponse,
    wire.ExecuteAnswer,
    wire.ExecuteResponse,
    wire.FailedAnswer,
    wire.GenerateAnswer,
    wire.GenerateResponse,
    wire.Health,
    wire.Readiness,
    wire.RunAnswer,
    wire.RunResponse,
    wire.SessionInfo,
    wire.VerifyAnswer,
    wire.VerifyResponse,
)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a value of this type may hold, itself included."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_in(field.annotation)
    for argument in get_args(annotation):
        yield from models_in(argument)


@pytest.mark.parametrize("answer", ANSWERS)
def test_answer_with_fields_of_a_newer_service_is_read(answer: type[BaseModel]) -> None:
    """What is only added changes no version, so a client that is older must read over it."""
    refusing = {
        model.__name__ for model in models_in(answer) if model.model_config.get("extra") == "forbid"
    }
    assert not refusing


def test_certificate_keeps_what_a_newer_service_says_in_it() -> None:
    """It goes through a client into a data set, and back to a service years later."""
    certificate = {
        "runs": 2,
        "variations": [],
        "seed": None,
        "attempt": None,
        "engine": "docker",
        "image": "sha256:0",
        "python": "3.11.2",
        "packages": {},
        "limits": {},
        "execbox": "0.3.0",
        "new_in_2": [1],
    }
    assert wire.Certificate.model_validate(certificate).model_dump() == certificate
