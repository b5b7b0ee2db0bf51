"""What a service says of itself on ``/metrics``, read over HTTP; nothing is made of the numbers."""

from __future__ import annotations

import urllib.request

_ANSWER_TIMEOUT_S = 60.0


def exported(url: str, *, key: str | None = None) -> dict[str, float]:
    """What the service's ``/metrics`` has, by name with labels."""
    request = urllib.request.Request(f"{url}/metrics")
    if key is not None:
        request.add_header("Authorization", f"Bearer {key}")
    with urllib.request.urlopen(request, timeout=_ANSWER_TIMEOUT_S) as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}
