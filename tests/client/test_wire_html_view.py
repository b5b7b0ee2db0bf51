from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from pydantic import BaseModel

from execbox import wire
from execbox.html_text import as_html, cut
from execbox.wire.html_view import SHOWN_CHARS_MAX, SHOWN_MAX
from tests.report.hostile import ASKING, ATTACKS, Seen

_ON = {"isolation": "container", "engine": "docker", "image": "sha256:0"}
_USAGE = {"cpu_time_s": 0.25, "wall_time_s": 0.5, "peak_memory_bytes": 3 * 2**20}


def _execution(text: str) -> dict[str, Any]:
    return {
        "status": "ok",
        "output": {text: [text]},
        "error": {"type": text, "message": text, "traceback": text, "line": 3},
        "stdout": text,
        "stderr": text,
        "signal": text,
        "usage": _USAGE,
        "determinism": {
            "deterministic": False,
            "cause": "clock",
            "outputs": [text, {text: 1}],
            "runs": 2,
            "hints": [{"line": 1, "name": text, "reads": "clock"}],
        },
        "complexity": {
            "ok": False,
            "violations": [
                {"path": text, "rule": "string_chars", "measured": 200, "limit": 100},
            ],
        },
    }


def _responses(text: str) -> list[BaseModel]:
    """One of each, with the text wherever code or a model can put one."""
    execution = _execution(text)
    run = {
        "status": "ok",
        "stdout": text,
        "stderr": text,
        "files": {text: {"base64": "", "size_bytes": 3}},
        "files_left_out": [{"path": text, "reason": text}],
        "error": {"type": text, "message": text},
        "verdict": "correct",
        "usage": _USAGE,
    }
    item = {
        "id": text,
        "verdict": "incorrect",
        "feedback": text,
        "extracted": text,
        "execution": execution,
    }
    failed = {
        "id": text,
        "verdict": None,
        "error": {"code": "x", "message": text, "retryable": True},
    }
    example = {
        "attempt": 1,
        "error": {"type": text, "message": text},
        "determinism": {"deterministic": False, "cause": "clock", "runs": 2},
        "violations": [{"path": text, "rule": "string_chars", "measured": 2, "limit": 1}],
    }
    cell = {
        "status": "ok",
        "value": {"repr": text, "media": [{"type": "image/png", "base64": text}]},
        "stdout": text,
        "usage": _USAGE,
        "cell": 1,
        "session_lost": True,
        "lost_reason": text,
    }
    on = _ON | {"engine": text, "image": text, "queue_time_s": 0.1}
    generated = {
        "pairs": [{"input": {text: text}, "output": text}] * 2,
        "rejected": {text: 3},
        "examples": {text: example},
        "attempts": 5,
        "stopped": "count",
    }
    compiled = {"stderr": text}
    return [
        wire.Execution.model_validate(execution),
        wire.ExecuteResponse.model_validate({"executions": [execution, execution]} | on),
        wire.VerifyResponse.model_validate({"items": [item, failed]} | on),
        wire.RunResponse.model_validate({"runs": [run, run], "compilation": compiled} | on),
        wire.GenerateResponse.model_validate(generated | on),
        wire.CellResponse.model_validate(cell),
    ]


def _shown(response: BaseModel) -> str:
    shown = response._repr_html_()  # type: ignore[attr-defined]
    assert isinstance(shown, str)
    return shown


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("attack", ATTACKS)
def test_notebook_shows_hostile_texts_of_a_response_as_text(attack: str, place: int) -> None:
    """Nothing that code printed, returned or raised becomes an element, or ends one."""
    html = _shown(_responses(attack)[place])
    html.encode("utf-8")
    seen = Seen(html)
    assert seen.open == []
    assert not seen.tags & (ASKING - {"img"})
    assert not {name for name in seen.attributes if name.startswith("on")}
    sources = {attributes.get("src") for tag, attributes in seen.elements if tag == "img"}
    assert all(str(source).startswith("data:image/png;base64,") for source in sources)
    assert re.search(r"[\x00-\x08\x0b-\x1f\u202e\u2066]", html) is None
    if "<" in attack:
        assert attack[:20] in seen.text


def test_notebook_shows_what_an_execution_gave() -> None:
    """Status, value, traceback, printed text, usage; each by its name."""
    failed = {
        "status": "exception",
        "error": {
            "type": "ZeroDivisionError",
            "message": "division by zero",
            "traceback": 'File "solution.py", line 2, in f\nZeroDivisionError: division by zero',
            "line": 2,
        },
        "stdout": "here\n",
        "truncated": {"stdout": True, "stderr": False},
        "usage": _USAGE,
    }
    response = wire.ExecuteResponse.model_validate(
        {"executions": [{"status": "ok", "output": None}, failed], "queue_time_s": 0.0} | _ON
    )
    text = Seen(_shown(response)).text
    for said in (
        "1 ok, 1 exception",
        "call 1: ok",
        "output null",
        "call 2: exception",
        "ZeroDivisionError, line 2",
        'File "solution.py", line 2, in f',
        "stdout (its beginning; the rest was thrown away)",
        "CPU 0.250 s, wall 0.500 s, peak 3.0 MiB",
        "docker, isolation container, image sha256:0",
    ):
        assert said in " ".join(text.split())


def test_notebook_shows_why_draws_gave_no_pair() -> None:
    """Also where there is none at all."""
    response = wire.GenerateResponse.model_validate(
        {
            "pairs": [],
            "rejected": {"non_deterministic": 7},
            "examples": {
                "non_deterministic": {
                    "attempt": 2,
                    "determinism": {"deterministic": False, "cause": "clock", "runs": 2},
                }
            },
            "attempts": 7,
            "stopped": "attempts",
            "queue_time_s": 0.0,
        }
        | _ON
    )
    text = Seen(_shown(response)).text
    assert "0 pairs in 7 draws; stopped: attempts" in text
    assert "7 non_deterministic, first: draw 2, cause clock" in text


def test_notebook_shows_some_of_many_and_counts_all() -> None:
    """A job of 10,000 calls does not fill the notebook."""
    many = [{"status": "ok", "output": n} for n in range(10_000)]
    response = wire.ExecuteResponse.model_validate({"executions": many, "queue_time_s": 0.0} | _ON)
    html = _shown(response)
    assert "10,000 ok" in html
    assert f"and {10_000 - SHOWN_MAX:,} more, which are not shown" in html
    assert len(html) < 50_000


def test_notebook_shows_the_beginning_of_a_long_text_and_its_length() -> None:
    """Of a megabyte that was printed."""
    html = _shown(wire.Execution(status=wire.Status.OK, output=1, stdout="ab" * 500_000))
    assert "(1,000,000 characters)" in html
    assert len(html) < SHOWN_CHARS_MAX + 2_000


def test_notebook_shows_the_figures_of_a_cell() -> None:
    """As a picture of the page itself."""
    png = base64.b64encode(b"\x89PNG\r\n").decode()
    cell = wire.CellResponse.model_validate(
        {
            "status": "ok",
            "value": {"media": [{"type": "image/png", "base64": png}]},
            "usage": _USAGE,
            "cell": 2,
        }
    )
    assert f'src="data:image/png;base64,{png}"' in _shown(cell)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\tc", "a\nb\tc"),
        ("<b>&\"'", "&lt;b&gt;&amp;&quot;&#x27;"),
        ("\x00\x1b\x7f\x85", "\\x00\\x1b\\x7f\\x85"),
        ("\ud800\u202e\u2028", "\\ud800\\u202e\\u2028"),
        ("Zürich 東京 🎉", "Zürich 東京 🎉"),
    ],
)
def test_text_as_html_is_escaped_and_visible(text: str, shown: str) -> None:
    """Line ends and tabs stay, letters of every script too."""
    assert as_html(text) == shown


def test_text_is_cut_with_its_length() -> None:
    """At the limit it is whole."""
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "abc… (4 characters)"
