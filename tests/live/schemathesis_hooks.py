"""What schemathesis cannot know of this API: how lines of JSON are written and read. Its own
process imports this."""

from __future__ import annotations

import json
from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def _one_line(_context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n"


@schemathesis.deserializer("application/x-ndjson")
def _answer_to_one_line(_context: Any, response: Any) -> Any:
    first, *others = [line for line in response.content.split(b"\n") if line.strip()]
    assert not others, "more answers than lines"
    return json.loads(first)
