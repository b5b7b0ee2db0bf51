"""SandboxFusion's contract (ByteDance): ``/run_code``, ``/run_jupyter``, ``/v1/ping`` and ``/``.

Spoken by verl, SkyRL, ROLL, tinker-cookbook and the package ``sandbox-fusion``. Translation only:

====================== ============================================================================
theirs                 here
====================== ============================================================================
``language``           ``python`` (also where it is left out), ``pytest``; ``bash`` and ``cpp``
                       where the image has them; any other is a 422
``code``, ``stdin``    the program of ``/v1/run``; with ``pytest`` a file that pytest runs
``run_timeout``        ``wall_time_s``, and as much ``cpu_time_s``: whichever is reached first is
                       ``TimeLimitExceeded``
``compile_timeout``    ``compile_time_s`` of C++; and part of the time in which an answer is worth
                       anything
``memory_limit_MB``    ``memory_mb``; zero, below it or left out: the service's default
``files``              by path, base64; null and ``IGNORE_THIS_FILE`` are not written, as there
``fetch_files``        ``fetch``, paths and no globs; what is not there is left out of ``files``
``status``             ``Success``: ``ok``; ``Failed``: any other status; ``SandboxError``: a
                       failure of ours, never the code's
``run_result.status``  ``Finished``, or ``TimeLimitExceeded`` for ``timeout``
``return_code``        the exit code; 128 and the number of a signal; 137 for ``memory_exceeded``,
                       with the reason on stderr; null after a timeout
``compile_result``     null where nothing is compiled; what the compiler said, and for
                       ``compile_error`` 1, 137, or ``TimeLimitExceeded``
``message``            which limits were changed, and what was cut; empty where nothing was
``execbox``            ours: the run's own status, and what the contract has no words for
====================== ============================================================================

A client waits ``compile_timeout + run_timeout + 10`` seconds (verl), or ``run_timeout + 2`` where
it sends no ``compile_timeout`` (SkyRL). What cannot be answered by then is 504, at once where that
can be told; verl sends it again. There is no 429 and no 503: no client of this contract sends such
a request again.
``/run_jupyter`` is in ``sandbox_fusion_jupyter``.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, get_args

from starlette.responses import HTMLResponse, Response

from execbox.wire import Compilation, ErrorCode, Language, ProgramRun, ProgramStatus, RunResponse
from execbox_service.api.compat.contract import Compat, FailureForm, Path
from execbox_service.api.compat.exchange import Exchange
from execbox_service.api.compat.fastapi_forms import DETAIL_SCHEMA, detail_response
from execbox_service.api.compat.programs import Granted, exit_code_of, granted, isolation_of
from execbox_service.api.compat.sandbox_fusion_files import exact_globs, given_files, path_inside
from execbox_service.api.compat.sandbox_fusion_jupyter import run_jupyter
from execbox_service.api.compat.sandbox_fusion_models import (
    CommandResult,
    FusionExtra,
    JupyterAnswer,
    JupyterRequest,
    RunCodeAnswer,
    RunCodeRequest,
)
from execbox_service.failures import CallerMistake, Overloaded, RequestFailed, ServiceFailure
from execbox_service.operations.registry import RUN

__all__ = ["SANDBOX_FUSION"]

_PATIENCE_S: Final = 10.0
"""What verl waits beyond both timeouts."""
_SHORT_PATIENCE_S: Final = 2.0
"""What SkyRL waits beyond ``run_timeout``; it sends no ``compile_timeout``."""
_SENDING_S: Final = 0.5
"""For the answer to be on its way before its client stops waiting."""
_STARTING_S: Final = 0.5
"""For a container, where none is ready, once there is a slot."""
_TEST_FILE: Final = "test_solution"
_KILLED: Final = 137
_OURS: Final = frozenset(
    {
        ErrorCode.ENGINE_UNAVAILABLE,
        ErrorCode.SANDBOX_LOST,
        ErrorCode.SELF_TEST_FAILED,
        ErrorCode.NOTHING_RUN,
        ErrorCode.INTERNAL_ERROR,
    }
)
"""What ``SandboxError`` says. The other failures are a matter of time: 504."""


async def _run_code(exchange: Exchange) -> RunCodeAnswer:
    request = await exchange.document(RunCodeRequest)
    _check_language(request.language, available=exchange.languages)
    if "\x00" in request.code and request.language == "python":
        return _not_source()
    memory_mb = request.memory_limit_MB if request.memory_limit_MB > 0 else None
    allowed = granted(
        exchange.settings,
        time_s=request.run_timeout,
        memory_mb=memory_mb,
        compile_time_s=request.compile_timeout if request.language == "cpp" else None,
    )
    document = _document(request, allowed, isolation=isolation_of(exchange.settings))
    patience_s = _patience_s(request)
    exchange.waiting_at_most(patience_s - _SENDING_S - _STARTING_S)
    answer = await exchange.within(
        request.run_timeout + patience_s - _SENDING_S, exchange.perform(RUN, document)
    )
    return _translated(answer, request, allowed)


def _patience_s(request: RunCodeRequest) -> float:
    """How long the client waits besides what the code may take."""
    if request.compile_timeout is None:
        return _SHORT_PATIENCE_S
    return request.compile_timeout + _PATIENCE_S


def _check_language(language: str, *, available: frozenset[str]) -> None:
    known = {"python", "pytest", *(available & set(get_args(Language)))}
    if language not in known:
        problem = (
            f"language: {language!r:.60} is not run here; this service has "
            f"{', '.join(sorted(known))}"
        )
        raise CallerMistake(
            ErrorCode.INVALID_REQUEST, problem, detail={"problems": [problem], "problem_count": 1}
        )


def _document(request: RunCodeRequest, allowed: Granted, *, isolation: str) -> dict[str, Any]:
    """The request as ``/v1/run`` has it."""
    files: dict[str, Any] = given_files(request.files)
    code, language = request.code, request.language
    if language == "pytest":
        name = _free_name(files)
        files[name] = code
        code, language = _runs_pytest(name), "python"
    return {
        "program": {
            "code": code,
            "language": language,
            "stdin": request.stdin,
            "files": files,
            "fetch": exact_globs(request.fetch_files),
        },
        "limits": dict(allowed.limits),
        "isolation": isolation,
    }


def _free_name(files: Mapping[str, Any]) -> str:
    """Of the file that pytest runs, where the client may have given one of the usual name."""
    names = (f"{_TEST_FILE}{suffix}.py" for suffix in itertools.chain([""], itertools.count(2)))
    return next(name for name in names if name not in files)


def _runs_pytest(name: str) -> str:
    return f"""\
import sys
import pytest
sys.exit(pytest.main(["-p", "no:cacheprovider", {name!r}]))
"""


def _translated(answer: RunResponse, request: RunCodeRequest, allowed: Granted) -> RunCodeAnswer:
    (run,) = answer.runs
    if run.status is ProgramStatus.NOT_RUN:
        raise Overloaded(ErrorCode.QUEUE_TIMEOUT, "there was no time to run the program at all")
    result = _command_result(run, allowed)
    success = run.status is ProgramStatus.OK
    wanted = {path: path_inside(path) for path in request.fetch_files}
    return RunCodeAnswer(
        status="Success" if success else "Failed",
        message="; ".join([*allowed.notes, *_cuts(run)]),
        compile_result=_compile_result(run, answer.compilation),
        run_result=result,
        files={path: run.files[own].base64 for path, own in wanted.items() if own in run.files},
        execbox=FusionExtra(
            status=run.status.value,
            limit=run.limit,
            stdout_truncated=run.truncated.stdout,
            stderr_truncated=run.truncated.stderr,
            queue_time_s=answer.queue_time_s,
        ),
    )


def _command_result(run: ProgramRun, allowed: Granted) -> CommandResult:
    timed_out = run.status is ProgramStatus.TIMEOUT
    return CommandResult(
        status="TimeLimitExceeded" if timed_out else "Finished",
        execution_time=run.usage.wall_time_s if run.usage is not None else None,
        return_code=None if timed_out else exit_code_of(run),
        stdout=run.stdout,
        stderr=run.stderr + _reason(run, memory_mb=allowed.limits["memory_mb"]),
    )


def _reason(run: ProgramRun, *, memory_mb: int) -> str:
    """What the contract has no status for, as the last line of stderr."""
    said = {
        ProgramStatus.MEMORY_EXCEEDED: f"memory exceeded: it used more than {memory_mb} MiB",
        ProgramStatus.OUTPUT_TOO_LARGE: "the program flooded the descriptor that tells its end",
    }.get(run.status)
    if said is None:
        return ""
    return ("\n" if run.stderr and not run.stderr.endswith("\n") else "") + said + "\n"


def _compile_result(run: ProgramRun, compilation: Compilation | None) -> CommandResult | None:
    if compilation is None:
        return None
    refused = run.status is ProgramStatus.COMPILE_ERROR
    kind = run.error.type if refused and run.error is not None else ""
    timed_out = kind == "CompileTimeout"
    code = _KILLED if kind == "CompileMemoryExceeded" else int(refused)
    return CommandResult(
        status="TimeLimitExceeded" if timed_out else "Finished",
        execution_time=compilation.usage.wall_time_s if compilation.usage is not None else None,
        return_code=None if timed_out else code,
        stderr=compilation.stderr,
    )


def _cuts(run: ProgramRun) -> Sequence[str]:
    cuts = [
        f"{name} was cut: it is longer than this service keeps"
        for name in ("stdout", "stderr")
        if getattr(run.truncated, name)
    ]
    return [*cuts, *(f"{each.path or 'files'}: {each.reason}" for each in run.files_left_out)]


def _not_source() -> RunCodeAnswer:
    """What Python says of a source with NUL in it, which no file of ours can be given."""
    said = "SyntaxError: source code cannot contain null bytes\n"
    result = CommandResult(status="Finished", execution_time=0.0, return_code=1, stderr=said)
    extra = FusionExtra(status=ProgramStatus.INVALID_CODE.value)
    return RunCodeAnswer(status="Failed", run_result=result, execbox=extra)


async def _ping(exchange: Exchange) -> Response:
    """``pong`` while code can be run."""
    state = exchange.services.runtime.readiness()
    if not state.ready:
        reason = state.reason or "executions cannot run"
        raise ServiceFailure(ErrorCode.NOT_READY, reason)
    return Response(json.dumps("pong"), media_type="application/json")


async def _root(_exchange: Exchange) -> Response:
    """A page for people: what this is."""
    return HTMLResponse(
        "<!DOCTYPE html><html lang='en'><title>execbox</title>"
        "<p>execbox answers SandboxFusion's contract: POST /run_code, POST /run_jupyter, "
        "GET /v1/ping. <a href='/docs'>All paths</a></p></html>\n"
    )


def _failure(failure: RequestFailed) -> Response:
    status = HTTPStatus.GATEWAY_TIMEOUT if isinstance(failure, ServiceFailure) else None
    return detail_response(failure, status=status)


def _sandbox_error(answer: type[RunCodeAnswer | JupyterAnswer], result: str) -> FailureForm:
    """The form of failures at a path with ``status``, whose commands' result has this name."""

    def form(failure: RequestFailed) -> Response:
        if failure.code not in _OURS or not isinstance(failure, ServiceFailure):
            return _failure(failure)
        told = answer.model_validate(
            {
                "status": "SandboxError",
                "message": f"a failure of the service, not of the code: {failure.message}",
                result: {"status": "Error", "stderr": failure.message},
                "execbox": {"error": failure.code.value},
            }
        )
        return Response(told.model_dump_json(), media_type="application/json")

    return form


SANDBOX_FUSION: Final = Compat(
    name="sandboxfusion",
    failure_form=_failure,
    failure_schema=DETAIL_SCHEMA,
    keeps_waiting=False,
    statuses={
        422: "The body is JSON but no acceptable request; `detail` names field and value.",
        504: "There will be no answer in the time this client waits. Send it again.",
    },
    paths=(
        Path(
            "POST",
            "/run_code",
            _run_code,
            summary="SandboxFusion: run a program",
            request=RunCodeRequest,
            response=RunCodeAnswer,
            failure_form=_sandbox_error(RunCodeAnswer, "run_result"),
        ),
        Path(
            "POST",
            "/run_jupyter",
            run_jupyter,
            summary="SandboxFusion: run cells in a new interpreter",
            request=JupyterRequest,
            response=JupyterAnswer,
            failure_form=_sandbox_error(JupyterAnswer, "driver"),
        ),
        Path("GET", "/v1/ping", _ping, summary="SandboxFusion: whether code can be run"),
        Path("GET", "/", _root, summary="SandboxFusion: what this is", media_type="text/html"),
    ),
)
