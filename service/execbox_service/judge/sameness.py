"""Comparing executions of one call, bit for bit after JSON: pure, no runs are started here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from execbox.wire import Execution, Status
from execbox_service.json_steps import encode_in_steps

_OUTPUTS_MAX = 4
_ADDRESS = re.compile(r"0x[0-9a-f]{6,16}")


def key_of(execution: Execution) -> str:
    """What two executions must share to count as equal.

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
    return _ADDRESS.sub("0x", key)


def distinct_outputs(executions: Sequence[Execution]) -> list[object]:
    """The different results seen, the baseline's first, at most four."""
    found: dict[str, object] = {}
    for execution in executions:
        found.setdefault(key_of(execution), _shown(execution))
    return list(found.values())[:_OUTPUTS_MAX]


def _shown(execution: Execution) -> object:
    if execution.status is Status.OK:
        return execution.output if execution.output_text is None else execution.output_text
    error = execution.error
    return {"status": execution.status.value, "error": error.type if error else None}
