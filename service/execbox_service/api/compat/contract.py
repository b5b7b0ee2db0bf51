"""What a contract of another project consists of: its paths, and the form of its failures.

Routes, the OpenAPI document and the outermost layer are given these; what they mean is in the
contracts' own modules.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel
from starlette.responses import Response

from execbox_service.api.compat.exchange import Exchange
from execbox_service.api.request_guard import ContractTerms, FailureForm
from execbox_service.settings import Contract

__all__ = ["Compat", "FailureForm", "Path"]


@dataclass(frozen=True)
class Path:
    """One path, and what answers it."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    answer: Callable[[Exchange], Awaitable[BaseModel | Response]]
    """Raises RequestFailed."""
    summary: str
    request: type[BaseModel] | None = None
    response: type[BaseModel] | None = None
    """None: text, or JSON that is no object."""
    media_type: str = "application/json"
    """Of the answer, where there is no ``response``."""
    headers: tuple[str, ...] = ()
    """That it reads."""
    failure_form: FailureForm | None = None
    """Where it is different from the contract's."""


@dataclass(frozen=True)
class Compat:
    """One contract."""

    name: Contract
    paths: tuple[Path, ...]
    failure_form: FailureForm
    failure_schema: Mapping[str, Any]
    """Of the body of a failure: for the OpenAPI document."""
    keeps_waiting: bool = True
    """False where its clients send again what is refused, and expect to be refused at once."""
    statuses: Mapping[int, str] = field(default_factory=dict)
    """Of answers besides 200, each with what it says: for the OpenAPI document."""

    def terms_of(self, path: Path) -> ContractTerms:
        """What is different at one of its paths."""
        return ContractTerms(path.failure_form or self.failure_form, self.keeps_waiting)
