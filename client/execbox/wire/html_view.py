"""How notebooks show responses: as HTML, every text of which is escaped. No page, no file.

The models call this from ``_repr_html_``. Nothing has a colour of its own but good and bad, which
are told by a word too, so that light and dark notebooks both show it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from execbox.html_text import as_html, cut

if TYPE_CHECKING:
    from execbox.wire.checks import Complexity, Determinism
    from execbox.wire.execute import ExecuteResponse, Execution, ExecutionError, Usage
    from execbox.wire.generate import GenerateResponse, Pair, RejectedExample
    from execbox.wire.run import ProgramRun, RunResponse
    from execbox.wire.session import CellResponse
    from execbox.wire.verify import VerifiedItem, VerifyResponse

__all__ = [
    "SHOWN_CHARS_MAX",
    "SHOWN_MAX",
    "cell_html",
    "execute_html",
    "execution_html",
    "generate_html",
    "item_html",
    "program_run_html",
    "run_html",
    "verify_html",
]

SHOWN_MAX = 50
"""Executions, items or pairs of one response that are shown; all are counted."""
SHOWN_CHARS_MAX = 4000
"""Of one text; of a longer one its beginning is shown, and how long it is."""
_MIB = 1024 * 1024
_BORDER = "1px solid rgba(128,128,128,.4)"
_BOX = f"border:{_BORDER};border-radius:6px;padding:.4em .7em;margin:.3em 0;max-width:60em"
_PRE = (
    "margin:.2em 0;padding:.3em .5em;background:rgba(128,128,128,.12);white-space:pre-wrap;"
    "overflow-wrap:anywhere;max-height:20em;overflow:auto;text-align:left"
)
_GOOD, _BAD = "#1a7f37", "#c2410c"
_PASSED = frozenset({"ok", "correct"})

_Shown = TypeVar("_Shown")


def execute_html(response: ExecuteResponse) -> str:
    """Every execution, and counts where there are several."""
    executions = response.executions
    head = _counts(execution.status for execution in executions)
    return _several(executions, execution_html, head, of="call") + _ran_on(response)


def execution_html(execution: Execution, *, title: str = "") -> str:
    """One execution: status, value, what it printed and raised, checks, usage."""
    value = _json(execution.output) if execution.status == "ok" else None
    if execution.output_text is not None:
        value = execution.output_text
    return _box(
        _headline(title, execution.status, _ending(execution)),
        _text("output", value),
        _error(execution.error),
        _determinism(execution.determinism),
        _complexity(execution.complexity),
        _streams(execution),
        _usage(execution.usage),
    )


def generate_html(response: GenerateResponse) -> str:
    """The pairs, and why draws gave none."""
    head = (
        f"{len(response.pairs):,} pairs in {response.attempts:,} draws; stopped: {response.stopped}"
    )
    rejected = [
        f"{count:,} {reason}{_first(response.examples.get(reason))}"
        for reason, count in sorted(response.rejected.items(), key=lambda entry: -entry[1])
    ]
    listed = "".join(f"<li>{as_html(cut(text, SHOWN_CHARS_MAX))}</li>" for text in rejected)
    return (
        _several(response.pairs, _pair, head, of="pair")
        + (f"<div>Rejected draws<ul>{listed}</ul></div>" if listed else "")
        + _ran_on(response)
    )


def verify_html(response: VerifyResponse) -> str:
    """Every item, and counts where there are several."""
    head = _counts(item.verdict or "no verdict" for item in response.items)
    return _several(response.items, item_html, head, of="item") + _ran_on(response)


def item_html(item: VerifiedItem, *, title: str = "") -> str:
    """One verified item: verdict, what was understood, feedback, and what was run."""
    title = f"{title} {item.id}".strip()
    return _box(
        _headline(title, item.verdict or "no verdict", []),
        _text("failure of the service", item.error.message if item.error is not None else None),
        _text("feedback", item.feedback),
        _text("understood as", None if item.extracted is None else _json(item.extracted)),
        "" if item.execution is None else execution_html(item.execution),
    )


def run_html(response: RunResponse) -> str:
    """Every run of a program, what its compiler said, and counts where there are several."""
    head = _counts(run.status for run in response.runs)
    compiled = response.compilation
    said = None if compiled is None else compiled.stderr
    return (
        _text("compiler", said)
        + _several(response.runs, program_run_html, head, of="case")
        + _ran_on(response)
    )


def program_run_html(run: ProgramRun, *, title: str = "") -> str:
    """One run of a program: status, verdict, what it printed, files, usage."""
    files = [f"{path}: {file.size_bytes:,} bytes" for path, file in run.files.items()]
    files += [f"{left.path}: left out, {left.reason}" for left in run.files_left_out]
    verdict = [] if run.verdict is None else [f"verdict {run.verdict}"]
    return _box(
        _headline(title, run.status, [*verdict, *_ending(run)]),
        _streams(run),
        _error(run.error),
        _text("files", "\n".join(files)),
        _usage(run.usage),
    )


def cell_html(cell: CellResponse) -> str:
    """What a cell of a session gave, its figures included."""
    value = cell.value
    lost = f"the session ended: {cell.lost_reason or 'no reason given'}"
    return _box(
        _headline(f"cell {cell.cell}", cell.status, _ending(cell)),
        _text("value", None if value is None else value.repr),
        "".join(_image(one.base64) for one in value.media) if value is not None else "",
        _error(cell.error),
        _streams(cell),
        _text("session", lost if cell.session_lost else None),
        _usage(cell.usage),
    )


def _several(things: Sequence[_Shown], html_of: Callable[..., str], head: str, *, of: str) -> str:
    """All of them, each with its number where there are several, behind ``head``."""
    if len(things) == 1:
        shown = html_of(things[0])
    else:
        numbered = enumerate(things[:SHOWN_MAX], start=1)
        shown = "".join(html_of(thing, title=f"{of} {number}") for number, thing in numbered)
    left_count = len(things) - SHOWN_MAX
    more = f"<div>and {left_count:,} more, which are not shown</div>" if left_count > 0 else ""
    return f"<div><b>{as_html(head)}</b></div>{shown}{more}"


def _pair(pair: Pair, *, title: str = "") -> str:
    held = pair.certificate
    checked = "" if held is None else f"<div>held in {held.runs:,} runs</div>"
    return _box(
        f"<b>{as_html(title or 'pair')}</b>",
        _text("input", _json(pair.input)),
        _text("output", _json(pair.output)),
        checked,
    )


def _first(example: RejectedExample | None) -> str:
    if example is None:
        return ""
    parts = [f"draw {example.attempt}"]
    if example.error is not None:
        parts.append(f"{example.error.type}: {example.error.message}")
    if example.determinism is not None and example.determinism.cause is not None:
        parts.append(f"cause {example.determinism.cause}")
    parts += [f"{one.path}: {one.rule} {one.measured}" for one in example.violations[:1]]
    return f", first: {', '.join(parts)}"


def _counts(words: Iterable[str]) -> str:
    return ", ".join(f"{count:,} {word}" for word, count in Counter(words).most_common())


def _headline(title: str, word: str, details: Sequence[str]) -> str:
    color = _GOOD if word in _PASSED else _BAD
    said = f" ({', '.join(details)})" if details else ""
    begin = f"{title}: " if title else ""
    return (
        f"<div>{as_html(cut(begin, SHOWN_CHARS_MAX))}"
        f'<b style="color:{color}">{as_html(word)}</b>{as_html(said)}</div>'
    )


def _ending(one: Execution | ProgramRun | CellResponse) -> list[str]:
    parts = [] if one.limit is None else [f"{one.limit} limit reached"]
    if one.signal is not None:
        parts.append(one.signal)
    if one.exit_code:
        parts.append(f"exit code {one.exit_code}")
    return parts


def _error(error: ExecutionError | None) -> str:
    if error is None:
        return ""
    text = error.traceback or f"{error.type}: {error.message}"
    at = "" if error.line is None else f", line {error.line}"
    return _text(f"{error.type}{at}", text)


def _determinism(check: Determinism | None) -> str:
    if check is None:
        return ""
    if check.deterministic:
        return f"<div>deterministic in {check.runs:,} runs</div>"
    outputs = "\n".join(map(_json, check.outputs[:5]))
    hints = "".join(
        f"<div>line {hint.line} reads {as_html(hint.name)}</div>" for hint in check.hints[:5]
    )
    return _text(f"not deterministic, cause: {check.cause}; outputs", outputs) + hints


def _complexity(check: Complexity | None) -> str:
    if check is None or check.ok:
        return ""
    lines = [
        f"{one.path}: {one.rule} is {one.measured:,}, must be below {one.limit:,}"
        for one in check.violations[:20]
    ]
    return _text("too large", "\n".join(lines))


def _streams(one: Execution | ProgramRun | CellResponse) -> str:
    cut_off = " (its beginning; the rest was thrown away)"
    return _text("stdout" + cut_off * one.truncated.stdout, one.stdout) + _text(
        "stderr" + cut_off * one.truncated.stderr, one.stderr
    )


def _usage(usage: Usage | None) -> str:
    if usage is None:
        return ""
    return (
        f"<div><small>CPU {usage.cpu_time_s:.3f} s, wall {usage.wall_time_s:.3f} s, peak "
        f"{usage.peak_memory_bytes / _MIB:.1f} MiB</small></div>"
    )


def _ran_on(response: ExecuteResponse | GenerateResponse | RunResponse | VerifyResponse) -> str:
    text = f"{response.engine}, isolation {response.isolation}, image {response.image}"
    return f"<div><small>{as_html(text)}</small></div>"


def _image(base64: str) -> str:
    # As text of an attribute it cannot be anything but a picture, or a broken one.
    return (
        f'<img alt="figure" style="max-width:100%" src="data:image/png;base64,{as_html(base64)}">'
    )


def _text(label: str, text: str | None) -> str:
    """A text with its label; nothing where there is none."""
    if not text:
        return ""
    shown = as_html(cut(text, SHOWN_CHARS_MAX))
    return f'<div>{as_html(cut(label, SHOWN_CHARS_MAX))}<pre style="{_PRE}">{shown}</pre></div>'


def _box(*parts: str) -> str:
    return f'<div style="{_BOX}">{"".join(_filled(parts))}</div>'


def _filled(parts: Iterable[str]) -> Iterator[str]:
    return (part for part in parts if part)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
