"""The work that is measured: checks, each one function and one call. Runs nothing."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.corpus_files import CodeioFunction

from execbox.wire import Isolation

TRIVIAL_CODE = "def main_solution(n):\n    return n * 2\n"
# The image has no tkinter.
_UNUSABLE = frozenset({198})
_IMPORT = re.compile(r"^\s*(?:import|from)\s+([\w.]+)", re.MULTILINE)


@dataclass(frozen=True)
class Check:
    """One call of one function; to each way of running code it is the same text."""

    code: str
    entry_point: str
    kwargs: dict[str, Any]

    @property
    def imports(self) -> tuple[str, ...]:
        """The packages its import lines name, the standard library left out, sorted."""
        names = set(_IMPORT.findall(self.code))
        return tuple(sorted(n for n in names if n.split(".")[0] not in sys.stdlib_module_names))

    def as_object(self) -> dict[str, Any]:
        """For the scripts that run it in a process of their own."""
        return {"code": self.code, "entry_point": self.entry_point, "kwargs": self.kwargs}

    def as_request(self, isolation: Isolation) -> bytes:
        """The body of a ``POST /v1/execute`` with this one call and default limits."""
        return request_body(self, [self.kwargs], isolation)

    def as_batch_line(self, isolation: Isolation, *, number: int) -> bytes:
        """The same as a line of a ``POST /v1/batch``."""
        line = {"id": str(number), "op": "execute"} | _request(self, [self.kwargs], isolation)
        return json.dumps(line).encode() + b"\n"


def request_body(check: Check, kwargs: Sequence[dict[str, Any]], isolation: Isolation) -> bytes:
    """The body of a ``POST /v1/execute`` that calls the function once for each of ``kwargs``."""
    return json.dumps(_request(check, kwargs, isolation)).encode()


def _request(
    check: Check, kwargs: Sequence[dict[str, Any]], isolation: Isolation
) -> dict[str, object]:
    return {
        "function": {"code": check.code, "entry_point": check.entry_point},
        "calls": [{"kwargs": given} for given in kwargs],
        "isolation": isolation,
    }


def trivial_checks(count: int) -> list[Check]:
    """Our own function that does nothing worth mentioning: what is left is the cost of the way."""
    return [Check(TRIVIAL_CODE, "main_solution", {"n": n}) for n in range(count)]


def corpus_checks(functions: Sequence[CodeioFunction], count: int) -> list[Check]:
    """The first published pair of each of the first ``count`` functions, in the file's order."""
    usable = [function for function in functions if function.number not in _UNUSABLE]
    return [
        Check(function.code, function.entry_point, function.pairs[0][0])
        for function in usable[:count]
    ]
