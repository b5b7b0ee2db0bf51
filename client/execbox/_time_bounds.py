"""The longest that a healthy service may take for a request, by what the request asks for.

Time spent in the queue is not included.
"""

from __future__ import annotations

from execbox import wire

_COMPARING_TIMEOUT_S = 60.0
_COMPILE_WALL_FACTOR = 2
# Of the service: an execution that the wall clock cannot judge is stopped at four times its wall
# limit and run once more, alone.
_HARD_STOP_FACTOR = 4
_RERUN_FACTOR = 2
# Variation runs get twice the limits; outputs that differ lead to one more run per known cause.
_VARIATION_FACTOR = 2
_CAUSE_RUNS = 5


def job_bound_s(request: wire.ExecuteRequest) -> float:
    """The longest a healthy service may take from the job's first execution to the answer.

    Calls stop being started after ``job_time_s``, so it is either every call at its worst or
    that plus the worst of the call under way.
    """
    call_s = _call_bound_s(request)
    return min(len(request.calls) * call_s, _after_job_time_s(request))


def generation_bound_s(request: wire.GenerateRequest) -> float:
    """As ``job_bound_s``: no draw is made after ``job_time_s``."""
    return _after_job_time_s(request)


def items_bound_s(request: wire.VerifyRequest) -> float:
    """As ``job_bound_s``, for items that are all run at their worst, one after the other."""
    execution_s = _HARD_STOP_FACTOR * _RERUN_FACTOR
    run_s = sum(item.limits.wall_time_s * execution_s for item in request.items if item.function)
    # What is compared only takes milliseconds, but there may be ten thousand of it.
    return run_s + _COMPARING_TIMEOUT_S


def cases_bound_s(request: wire.RunRequest) -> float:
    """As ``job_bound_s``, for a program that is compiled once and run once per case."""
    limits = request.limits
    run_s = limits.wall_time_s * _HARD_STOP_FACTOR * _RERUN_FACTOR
    compile_s = 0.0
    if request.program.language == "cpp":
        compile_s = _COMPILE_WALL_FACTOR * limits.compile_time_s * _HARD_STOP_FACTOR * _RERUN_FACTOR
    bound_s = min((len(request.cases or ()) + 1) * run_s, limits.job_time_s + run_s)
    return bound_s + compile_s


def _after_job_time_s(request: wire.ExecuteRequest | wire.GenerateRequest) -> float:
    return request.limits.job_time_s + _call_bound_s(request)


def _call_bound_s(request: wire.ExecuteRequest | wire.GenerateRequest) -> float:
    """The longest that one call may take, every run of its checks included."""
    limits, determinism = request.limits, request.checks.determinism
    execution_s = limits.wall_time_s * _HARD_STOP_FACTOR * _RERUN_FACTOR
    executions = 1.0
    if determinism is not None:
        executions += _VARIATION_FACTOR * (determinism.runs - 1 + _CAUSE_RUNS)
    return execution_s * executions
