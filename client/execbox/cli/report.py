"""How a response is shown to people, and as JSON; running and deciding exit codes is elsewhere."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from execbox import wire
from execbox.cli.terminal import Terminal

__all__ = ["json_line", "passed", "show_outputs", "show_response"]

_MIB = 1024 * 1024
_REFUSED_BY_PROFILE = (
    "note: the default profile permits neither a further process nor a socket; if that was tried, "
    "--profile processes permits processes (and no socket), where the service's operator does"
)


def passed(execution: wire.Execution) -> bool:
    """Whether it ended ok and passed whichever checks were made."""
    return (
        execution.status is wire.Status.OK
        and (execution.determinism is None or execution.determinism.deterministic)
        and (execution.complexity is None or execution.complexity.ok)
    )


def json_line(response: wire.ExecuteResponse | wire.RunResponse) -> str:
    """The response on one line, in ASCII so that any terminal, pipe and locale carries it."""
    return json.dumps(response.model_dump(mode="json"), ensure_ascii=True)


def show_response(response: wire.ExecuteResponse, terminal: Terminal) -> None:
    """Every execution as a block, and a line of counts where there is more than one."""
    for number, execution in enumerate(response.executions, start=1):
        label = f"call {number}: {_headline(execution)}"
        terminal.labelled(label, _usage(execution), style="good" if passed(execution) else "bad")
        for line in _details(execution):
            terminal.line(f"  {line}")
    if len(response.executions) > 1:
        counts = Counter(execution.status.value for execution in response.executions)
        parts = ", ".join(f"{count} {status}" for status, count in counts.most_common())
        terminal.labelled(f"{len(response.executions)} calls: ", parts, style="bold")


def show_outputs(response: wire.ExecuteResponse, terminal: Terminal) -> None:
    """A line for each call: its output, or, where it has none, how it ended and the error."""
    for execution in response.executions:
        if execution.status is wire.Status.OK:
            text = execution.output_text
            terminal.line(_value(execution.output) if text is None else text)
        elif execution.error is None:
            terminal.line(_headline(execution))
        else:
            error = f"{execution.error.type}: {execution.error.message}"
            terminal.line(f"{_headline(execution)}: {' '.join(error.split())}")


def _headline(execution: wire.Execution) -> str:
    reasons = []
    if execution.limit is not None:
        reasons.append(f"{execution.limit} limit reached")
    if execution.signal is not None:
        reasons.append(execution.signal)
    if execution.exit_code:  # 0 is how every job process ends that reported something.
        reasons.append(f"exit code {execution.exit_code}")
    return execution.status.value + (f" ({', '.join(reasons)})" if reasons else "")


def _usage(execution: wire.Execution) -> str:
    usage = execution.usage
    if usage is None:
        return ""
    return (
        f"   cpu {usage.cpu_time_s:.3f} s, wall {usage.wall_time_s:.3f} s, "
        f"peak {usage.peak_memory_bytes / _MIB:.1f} MiB"
    )


def _details(execution: wire.Execution) -> Iterator[str]:
    if execution.status is wire.Status.OK:
        yield f"output: {_output(execution)}"
    if "mutates_input" in execution.output_flags:
        yield "note: the function changed its arguments"
    if execution.error is not None:
        yield from _error(execution.error)
        if execution.error.type == "PermissionError" and "[Errno 1]" in execution.error.message:
            yield _REFUSED_BY_PROFILE
    yield from _stream("stdout", execution.stdout, truncated=execution.truncated.stdout)
    yield from _stream("stderr", execution.stderr, truncated=execution.truncated.stderr)
    if execution.determinism is not None:
        yield from _determinism(execution.determinism)
    if execution.complexity is not None:
        yield from _complexity(execution.complexity)


def _output(execution: wire.Execution) -> str:
    if execution.output_text is not None:
        return f"{execution.output_text} (not finite: no JSON form)"
    return _value(execution.output)


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _error(error: wire.ExecutionError) -> Iterator[str]:
    if error.traceback:
        # It ends with the exception's type and message, so those are not shown twice.
        yield from error.traceback.rstrip("\n").split("\n")
        return
    where = f" (line {error.line})" if error.line is not None else ""
    yield from f"{error.type}: {error.message}{where}".split("\n")


def _stream(name: str, text: str, *, truncated: bool) -> Iterator[str]:
    if not text and not truncated:
        return
    yield f"{name}:{' (the rest was over stdout_bytes)' if truncated else ''}"
    for line in text.removesuffix("\n").split("\n"):
        yield f"  | {line}"


def _determinism(determinism: wire.Determinism) -> Iterator[str]:
    if determinism.deterministic:
        yield f"deterministic: yes, same in {determinism.runs} runs"
        return
    yield f"deterministic: no, because of {determinism.cause or 'unknown'}; results seen:"
    for output in determinism.outputs:
        yield f"  {_value(output)}"


def _complexity(complexity: wire.Complexity) -> Iterator[str]:
    yield f"size: {'within' if complexity.ok else 'over'} the limits"
    for violation in complexity.violations:
        yield f"  {violation.path}: {violation.rule} is {violation.measured}, {_bound(violation)}"


def _bound(violation: wire.Violation) -> str:
    return f"must be below {violation.limit}"
