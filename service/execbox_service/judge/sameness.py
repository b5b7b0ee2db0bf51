"""Comparing executions of one call, bit for bit after JSON: pure, no runs are started here."""

from __future__ import annotations

import re

from execbox.wire import Execution, Status
from execbox_service.json_steps import encode_in_steps

_ADDRESS = re.compile(r"0x[0-9a-f]{6,16}")
_ADDRESS_CHARS_MAX = 18
_LOOKED_AT_CHARS = 64 * 1024


def key_of(execution: Execution) -> str:
    """What two executions must share to count as equal. It takes as long as writing the output.

    The output's JSON text with sorted keys, since a JSON object has no order; -0.0 and 0.0, 1 and
    1.0 differ. Equal exceptions are equal; their tracebacks are not looked at.
    """
    if execution.status is Status.OK:
        if execution.output_text is not None:
            return f"non_finite {execution.output_text}"
        return "ok " + "".join(encode_in_steps(execution.output, sort_keys=True))
    error = execution.error
    if error is None:
        return execution.status.value
    return f"{execution.status.value} {error.type} {error.message}"


def without_addresses(key: str) -> str:
    """A key with every memory address masked, as default reprs write them."""
    pieces: list[str] = []
    at = 0
    while at < len(key):
        # Looked at in steps: in a text of many megabytes, one search takes long.
        end = at + _LOOKED_AT_CHARS
        found = _ADDRESS.search(key, at, end + _ADDRESS_CHARS_MAX)
        if found is None or found.start() >= end:
            pieces.append(key[at:end])
            at = end
        else:
            pieces += (key[at : found.start()], "0x")
            at = found.end()
    return "".join(pieces)


def shown(execution: Execution) -> object:
    """A result as it is listed among those that differ."""
    if execution.status is Status.OK:
        return execution.output if execution.output_text is None else execution.output_text
    error = execution.error
    return {"status": execution.status.value, "error": error.type if error else None}
