"""Questions that running a function's calls one by one does not answer; source, not run here.

Each is Python that is appended to a function's own source and run where that is run: in a sandbox,
whose runner knows what an entry point's name stands for. What the answers mean is in ``certify``.
"""

from __future__ import annotations

from dataclasses import dataclass

from execbox import wire

__all__ = ["CHANGES_ARGUMENTS", "IN_A_ROW", "Inquiry", "asked_of"]

_ENTRY_POINT = "ENTRY_POINT_OF_THE_FUNCTION"


@dataclass(frozen=True, slots=True)
class Inquiry:
    """``entry_point`` is called with the list of all inputs; it calls the function as it likes."""

    entry_point: str
    code: str


def asked_of(function: wire.Function, inquiry: Inquiry) -> wire.Function:
    """The function with an inquiry appended, to be called instead."""
    code = inquiry.code.replace(_ENTRY_POINT, function.entry_point)
    return function.model_copy(
        update={"code": f"{function.code}\n\n{code}", "entry_point": inquiry.entry_point}
    )


IN_A_ROW = Inquiry(
    "_execbox_in_a_row",
    """
def _execbox_in_a_row(inputs):
    import json as _json
    from execbox_runner.entry_point import resolve as _resolve
    function = _resolve(globals(), "ENTRY_POINT_OF_THE_FUNCTION")
    outputs = []
    for arguments in inputs:
        try:
            outputs.append(_json.dumps(function(**arguments), sort_keys=True))
        except Exception:
            outputs.append(None)
    return outputs
""",
)
"""Runs all inputs in one process, as CodeI/O's scripts do: the outputs as JSON text, or None."""

CHANGES_ARGUMENTS = Inquiry(
    "_execbox_changes_arguments",
    """
def _execbox_changes_arguments(inputs):
    import json as _json
    import random as _random
    from execbox_runner.entry_point import resolve as _resolve
    function = _resolve(globals(), "ENTRY_POINT_OF_THE_FUNCTION")
    draw, leaves = _random.Random(0), {}

    def collect(value):
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            for member in value:
                collect(member)
        else:
            leaves.setdefault(type(value), []).append(value)

    def altered(value):
        if isinstance(value, dict):
            return {name: altered(member) for name, member in value.items()}
        if isinstance(value, list):
            return [altered(member) for member in value]
        if draw.random() < 0.5:
            return value
        if type(value) in (int, float) and draw.random() < 0.5:
            return value + draw.choice([-1, 1])
        return draw.choice(leaves[type(value)])

    collect(inputs)
    for _ in range(300):
        text = _json.dumps(altered(draw.choice(inputs)))
        given = _json.loads(text)
        try:
            function(**given)
        except Exception:
            pass
        try:
            if _json.dumps(given) != text:
                return True
        except (TypeError, ValueError):
            return True
    return False
""",
)
"""Whether the function changes its arguments on inputs made of the parts of all inputs: a published
input that a call has changed already often leaves the function nothing more to change."""
