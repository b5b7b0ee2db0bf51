from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from execbox_service.api.logs import configure_logging, request_id
from execbox_service.settings import load_settings


@contextmanager
def _configured(**overrides: str) -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logging(load_settings(overrides))
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def _log(message: str, **fields: object) -> None:
    token = request_id.set("the-id")
    try:
        logging.getLogger("test").warning(message, extra={"fields": fields})
    finally:
        request_id.reset(token)


def test_log_json_line_has_the_fields_and_the_request_id(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One object on one line, whatever the values hold."""
    with _configured(log_format="json"):
        _log("a\nb", path="/x\ny", statuses={"ok": 2})
    (text,) = capsys.readouterr().err.splitlines()
    line = json.loads(text)
    assert (line["message"], line["level"], line["logger"]) == ("a\nb", "warning", "test")
    assert (line["path"], line["statuses"]) == ("/x\ny", {"ok": 2})
    assert line["request_id"] == "the-id"


def test_log_text_line_cannot_be_forged_by_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    """What a stranger chose is quoted where it is more than a plain word."""
    with _configured(log_format="text"):
        _log("request", path="/x\n2026 ERROR forged key_name=admin", method="GET", key_name=None)
    (line,) = capsys.readouterr().err.splitlines()
    assert '"/x\\n2026 ERROR forged key_name=admin"' in line
    assert line.endswith('method=GET key_name=null request_id="the-id"')


def test_log_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    """The level holds for every logger of the process."""
    with _configured(log_level="error"):
        _log("warned")
        logging.getLogger("execbox_service.access").info("request")
    assert capsys.readouterr().err == ""


def test_log_exception_has_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """In JSON as a field, so that a line stays a record."""
    with _configured(log_format="json"):
        try:
            raise LookupError("gone")
        except LookupError:
            logging.getLogger("test").exception("failed")
    line = json.loads(capsys.readouterr().err)
    assert "LookupError: gone" in line["traceback"]
