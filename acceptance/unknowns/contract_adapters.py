"""Asking through other projects' HTTP contracts, as patiently and as often as their clients do.

Written after those clients, which are many packages: what they send, how long they wait, what they
send again, and where an answer says that there is no verdict. And, for comparison, a client as it
is written in an afternoon, for which whatever goes wrong is worth nothing.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Final

import httpx

from acceptance.unknowns.adapter import Adapter, Ask, said_of
from acceptance.unknowns.checks import Check, Said

__all__ = ["CONTRACT_ADAPTERS"]

_RUN_S: Final = 5
_VERL_TRIES: Final = 3
_VERL_PATIENCE_S: Final = 10
_SKYRL_PATIENCE_S: Final = 2
_OPEN_INSTRUCT_S: Final = 3.0
_NEMO_PATIENCE_S: Final = 5
_PEER_S: Final = 30
_IMPATIENT: Final = 3
"""At once, of what the service is told nothing of, so that it expects two seconds of patience."""
_MANY: Final = 20
_JUDGE_TRIES: Final = 20
_SESSION_CELLS: Final = 20
_SESSIONS: Final = 12
"""A key may have 16."""


def _each(
    ask: Callable[[httpx.Client, Check], Said],
) -> Callable[[str], AbstractContextManager[Ask]]:
    @contextmanager
    def opened(url: str) -> Iterator[Ask]:
        with httpx.Client(base_url=url, trust_env=False) as client:
            yield lambda checks: [ask(client, check) for check in checks]

    return opened


def _fusion_body(check: Check, **fields: Any) -> dict[str, Any]:
    body = {"code": check.program, "language": "python", "stdin": str(check.n)}
    return body | {"run_timeout": _RUN_S} | fields


def _verl(client: httpx.Client, check: Check) -> Said:
    """Sends again what is 504, twice; everything else that is no answer is -1 at once."""
    body = _fusion_body(check, compile_timeout=_RUN_S, memory_limit_MB=1024, fetch_files=[])
    for attempt in range(_VERL_TRIES):
        try:
            answer = client.post("/run_code", json=body, timeout=2 * _RUN_S + _VERL_PATIENCE_S)
            if answer.status_code != httpx.codes.GATEWAY_TIMEOUT:
                return _of_fusion(answer.raise_for_status().json(), check)
        except (httpx.HTTPError, ValueError):
            return Said.UNKNOWN
        if attempt + 1 < _VERL_TRIES:
            time.sleep(attempt + 1)
    return Said.UNKNOWN


def _skyrl(client: httpx.Client, check: Check) -> Said:
    """One server, asked once; what is not 200 has no verdict."""
    try:
        answer = client.post(
            "/run_code", json=_fusion_body(check), timeout=_RUN_S + _SKYRL_PATIENCE_S
        )
        return _of_fusion(answer.raise_for_status().json(), check)
    except (httpx.HTTPError, ValueError):
        return Said.UNKNOWN


def _of_fusion(told: dict[str, Any], check: Check) -> Said:
    if told["status"] == "SandboxError":
        return Said.UNKNOWN
    printed = told["run_result"]["stdout"].rstrip("\n")
    return said_of(right=told["status"] == "Success" and printed == str(check.wanted))


def _open_instruct(
    path: str, tests: Callable[[Check], list[Any]], source: Callable[[Check], str]
) -> Callable[[httpx.Client, Check], Said]:
    """A session whose requests are never sent again once they are on their way."""

    def ask(client: httpx.Client, check: Check) -> Said:
        body = {
            "program": source(check),
            "tests": tests(check),
            "max_execution_time": _OPEN_INSTRUCT_S,
        }
        patience_s = max(30, min(300, _OPEN_INSTRUCT_S * 10))
        try:
            answer = client.post(path, json=body, timeout=patience_s).raise_for_status().json()
            return said_of(right=answer["results"] == [1])
        except (httpx.HTTPError, ValueError):
            return Said.UNKNOWN

    return ask


def _nemo_program(client: httpx.Client, check: Check) -> Said:
    body = {"generated_code": check.program, "std_input": str(check.n), "language": "python"}
    return _of_nemo(client, body, headers={}, wanted=f"{check.wanted}\n")


@contextmanager
def _nemo_cells(url: str) -> Iterator[Ask]:
    """A session for a group; the client would run the earlier cells of one that is new again, and
    these need no earlier ones."""

    def ask(checks: Sequence[Check]) -> list[Said]:
        name = str(uuid.uuid4())
        with httpx.Client(base_url=url, trust_env=False) as client:
            said = []
            for check in checks:
                body = {"generated_code": check.cell, "std_input": "", "language": "ipython"}
                headers = {"X-Session-ID": name}
                said.append(_of_nemo(client, body, headers=headers, wanted=f"{check.wanted}\n"))
            # The service ends by itself, later, what cannot be ended now.
            with suppress(httpx.HTTPError):
                client.delete(f"/sessions/{name}", timeout=10)
            return said

    yield ask


def _of_nemo(
    client: httpx.Client, body: dict[str, Any], *, headers: dict[str, str], wanted: str
) -> Said:
    """Every body is read, whatever the status."""
    try:
        answer = client.post(
            "/execute",
            json=body | {"timeout": _RUN_S},
            headers=headers,
            timeout=_RUN_S + _NEMO_PATIENCE_S,
        ).json()
        if answer["process_status"] == "error" and answer["error"] is not None:
            return Said.UNKNOWN
        completed = answer["process_status"] == "completed"
        return said_of(right=completed and answer["stdout"] == wanted)
    except (httpx.HTTPError, ValueError):
        return Said.UNKNOWN


@contextmanager
def _code_judge(url: str) -> Iterator[Ask]:
    """A batch; what found no room is sent again, everything else is an answer."""
    with httpx.Client(base_url=url, trust_env=False) as client:
        yield lambda checks: _judged(client, checks)


def _judged(client: httpx.Client, checks: Sequence[Check]) -> list[Said]:
    said = [Said.UNKNOWN] * len(checks)
    left = list(range(len(checks)))
    for _ in range(_JUDGE_TRIES):
        submissions = [
            {
                "type": "python",
                "solution": checks[place].program,
                "input": str(checks[place].n),
                "expected_output": str(checks[place].wanted),
            }
            for place in left
        ]
        try:
            answer = client.post(
                "/run/long-batch",
                json={"type": "batch", "submissions": submissions},
                timeout=_PEER_S * 4,
            )
            results = answer.raise_for_status().json()["results"]
        except (httpx.HTTPError, ValueError):
            break
        for place, result in zip(left, results, strict=True):
            failed = result["reason"] in ("internal_error", "queue_timeout")
            said[place] = said_of(right=None if failed else result["success"])
        pairs = zip(left, results, strict=True)
        left = [place for place, result in pairs if result["reason"] == "queue_timeout"]
        if not left:
            break
    return said


def _peer(client: httpx.Client, check: Check) -> Said:
    """The reward of a simple trainer: whatever goes wrong on the way is worth nothing."""
    try:
        answer = client.post("/run_code", json=_fusion_body(check), timeout=_PEER_S).json()
        return said_of(right=answer["run_result"]["stdout"].strip() == str(check.wanted))
    except (httpx.HTTPError, ValueError, KeyError):
        return Said.ZERO


CONTRACT_ADAPTERS: Final = (
    Adapter(name="SandboxFusion, verl", unknown_as="-1", opened=_each(_verl)),
    Adapter(
        name="SandboxFusion, SkyRL",
        unknown_as="`SandboxError`, or not 200",
        opened=_each(_skyrl),
        workers_max=_IMPATIENT,
        asked_last=True,
    ),
    Adapter(
        name="open-instruct, asserts",
        unknown_as="not 200",
        opened=_each(
            _open_instruct(
                "/test_program", lambda check: [check.assertion], lambda check: check.function
            )
        ),
    ),
    Adapter(
        name="open-instruct, stdio",
        unknown_as="not 200",
        opened=_each(
            _open_instruct(
                "/test_program_stdio",
                lambda check: [{"input": str(check.n), "output": str(check.wanted)}],
                lambda check: check.program,
            )
        ),
    ),
    Adapter(
        name="NeMo-Skills, programs", unknown_as="`error` is not null", opened=_each(_nemo_program)
    ),
    Adapter(
        name="NeMo-Skills, cells",
        unknown_as="`error` is not null",
        opened=_nemo_cells,
        group_size=_SESSION_CELLS,
        one_by_one=True,
        workers_max=_SESSIONS,
    ),
    Adapter(
        name="code-judge",
        unknown_as="`internal_error`, `queue_timeout`",
        opened=_code_judge,
        group_size=_MANY,
    ),
    Adapter(
        name="a plain HTTP client",
        unknown_as="never: it is a zero",
        opened=_each(_peer),
        workers_max=_IMPATIENT,
        asked_last=True,
        takes_failures_for_zeros=True,
    ),
)
