"""What a service says of itself: alive, ready, and what it permits."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from execbox.wire.fields import BODY_BYTES_MAX, CALLS_MAX, JSON_DEPTH_MAX, Response
from execbox.wire.vocabularies import Isolation, Profile

__all__ = [
    "Capabilities",
    "Health",
    "Readiness",
]


class Health(Response):
    """Answer of ``GET /healthz``: the process is alive."""

    status: Literal["ok"] = "ok"


class Readiness(Response):
    """Answer of ``GET /readyz``: 200 when executions can run, 503 with the reason when not."""

    ready: bool
    reason: str | None = None


class Capabilities(Response):
    """Answer of ``GET /v1/capabilities``: what this service permits and runs."""

    version: str
    engine: str
    image: str
    python: str = Field(description="Version of the interpreter that runs functions.")
    packages: dict[str, str] = Field(description="Importable distributions and their versions.")
    languages: list[str] = Field(
        default_factory=lambda: ["python"],
        description="What programs can be written in, as far as the image goes.",
    )
    isolation: list[Isolation] = Field(description="Permitted levels, the default first.")
    profiles: list[Profile]
    concurrency: int = Field(description="Executions that run at once.")
    limits_default: dict[str, float]
    limits_max: dict[str, float]
    calls_max: int = CALLS_MAX
    body_bytes_max: int = BODY_BYTES_MAX
    answer_bytes_max: int | None = Field(
        default=None, description="Largest answer to one request or line; null where not told."
    )
    json_depth_max: int = JSON_DEPTH_MAX
    key_concurrency_max: int | None = Field(
        default=None, description="Requests of one API key under way at once; null for no limit."
    )
    key_rate_per_s: float | None = Field(
        default=None, description="Requests of one API key a second; null for no limit."
    )
    key_burst_count: int | None = Field(
        default=None, description="Of these, how many at once after a pause."
    )
    weaker_than_docker: list[str] = Field(
        default_factory=list, description="What this engine protects less well than Docker."
    )
