from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from execbox.wire import (
    ExecuteRequest,
    FilePath,
    GenerateRequest,
    Limits,
    ProgramLimits,
    RunRequest,
    SessionRequest,
)
from execbox_service.failures import CallerMistake
from execbox_service.operations.policy import (
    LIMIT_NAMES,
    limits_default,
    limits_max,
    permitted_calls,
    permitted_cases,
    permitted_draws,
)
from execbox_service.settings import load_settings


def _request(**fields: Any) -> ExecuteRequest:
    return ExecuteRequest.model_validate(
        {"function": {"code": "pass"}, "calls": [{"args": []}]} | fields
    )


def test_limits_default_and_max_cover_every_limit_of_the_schema() -> None:
    """A limit added to the schema cannot be forgotten here."""
    settings = load_settings({})
    assert set(limits_max(settings)) == set(LIMIT_NAMES) == set(ProgramLimits.model_fields)
    assert limits_default(settings) == ProgramLimits().model_dump()


@pytest.mark.parametrize("name", Limits.model_fields)
def test_permitted_limit_above_the_operators_maximum_is_refused(name: str) -> None:
    """The message names field, value and maximum."""
    settings = load_settings({f"{name}_max": "20"})
    with pytest.raises(CallerMistake) as caught:
        permitted_calls(_request(limits={name: 21}), settings)
    assert (caught.value.code, caught.value.http_status) == ("limit_above_maximum", 422)
    assert f"limits.{name}" in caught.value.message
    assert "21" in caught.value.message
    assert "maximum of 20" in caught.value.message
    assert permitted_calls(_request(limits={name: 20}), settings).limits.model_dump()[name] == 20


def test_permitted_default_above_the_operators_maximum_is_lowered() -> None:
    """Who asks for nothing must not be refused for what the default is."""
    settings = load_settings({"cpu_time_s_max": "1.5", "memory_mb_max": "256"})
    limits = permitted_calls(_request(limits={"wall_time_s": 3}), settings).limits
    assert (limits.cpu_time_s, limits.memory_mb, limits.wall_time_s) == (1.5, 256, 3)
    assert isinstance(limits.memory_mb, int)


def test_permitted_more_calls_than_the_operators_maximum_is_refused() -> None:
    """The number of calls can be lowered like any limit."""
    settings = load_settings({"calls_max": "2"})
    with pytest.raises(CallerMistake, match="3 calls"):
        permitted_calls(_request(calls=[{"args": []}] * 3), settings)


def test_permitted_attempts_are_calls_and_their_default_is_lowered() -> None:
    """Each draw runs the function, so the same maximum holds."""
    settings = load_settings({"calls_max": "20"})
    request = {"function": {"code": "pass"}, "input_generator": {"code": "pass"}}
    asked = GenerateRequest.model_validate(request)
    assert permitted_draws(asked, settings).attempts == 20
    with pytest.raises(CallerMistake, match="21 attempts"):
        permitted_draws(GenerateRequest.model_validate(request | {"attempts": 21}), settings)


@pytest.mark.parametrize(
    ("field", "allowed", "asked", "code"),
    [
        ("isolation", "container", "process", "isolation_not_permitted"),
        ("isolation", "process", "container", "isolation_not_permitted"),
        ("profile", "default", "processes", "profile_not_permitted"),
    ],
)
def test_permitted_level_the_operator_does_not_allow_is_refused(
    field: str, allowed: str, asked: str, code: str
) -> None:
    """Nobody gets a weaker isolation than the operator permits."""
    name = {"isolation": "isolation_allowed", "profile": "profiles_allowed"}[field]
    with pytest.raises(CallerMistake) as caught:
        permitted_calls(_request(**{field: asked}), load_settings({name: allowed}))
    assert (caught.value.code, caught.value.http_status) == (code, 422)
    assert allowed in caught.value.message


def test_permitted_level_left_out_is_the_operators_first() -> None:
    """Where containers alone are too slow an operator can make processes the default."""
    settings = load_settings({"isolation_allowed": "process,container"})
    assert permitted_calls(_request(), settings).isolation == "process"
    assert permitted_calls(_request(isolation="container"), settings).isolation == "container"
    assert permitted_calls(_request(), load_settings({})).isolation == "container"


def _program(**fields: Any) -> RunRequest:
    return RunRequest.model_validate({"program": {"code": "pass"}} | fields)


def test_permitted_files_bytes_above_the_operators_maximum_is_refused() -> None:
    """The limit that only programs have is the operator's to lower, too."""
    settings = load_settings({"files_bytes_max": "20"})
    with pytest.raises(CallerMistake, match=r"limits\.files_bytes: 21 is above .* maximum of 20"):
        permitted_cases(_program(limits={"files_bytes": 21}), settings)
    assert permitted_cases(_program(), settings).limits.files_bytes == 20


@pytest.mark.parametrize(
    ("own", "of_case", "refused"),
    [
        ({"a": "12345678"}, None, False),
        ({"a": "123456789"}, None, True),
        ({"a": {"base64": "AAAAAAAAAAA="}}, None, False),
        ({"a": "üüüüü"}, None, True),
        ({"a": "1234"}, {"b": "1234"}, False),
        ({"a": "1234"}, {"b": "12345"}, True),
        ({"a": "12345678"}, {"a": "1234"}, False),
        ({"a": "1234"}, {"a": "12345678"}, False),
    ],
)
def test_permitted_cases_are_given_no_more_than_files_bytes(
    own: dict[str, object], of_case: dict[str, object] | None, *, refused: bool
) -> None:
    """All files of one case together, where one of its own replaces one of the program's."""
    fields: dict[str, Any] = {"program": {"code": "", "files": own}, "limits": {"files_bytes": 8}}
    if of_case is not None:
        fields["cases"] = [{"files": of_case}]
    if not refused:
        permitted_cases(_program(**fields), load_settings({}))
        return
    with pytest.raises(CallerMistake, match=r"files: a case would be given \d+ bytes") as caught:
        permitted_cases(_program(**fields), load_settings({}))
    assert caught.value.http_status == 422


def test_permitted_cases_are_no_more_than_the_operators_maximum() -> None:
    """As for calls."""
    settings = load_settings({"calls_max": "2"})
    assert permitted_cases(_program(cases=[{}, {}]), settings).cases is not None
    with pytest.raises(CallerMistake, match="cases: 3 cases are more than"):
        permitted_cases(_program(cases=[{}, {}, {}]), settings)


@pytest.mark.parametrize("language", ["bash", "cpp"])
def test_permitted_language_with_processes_of_its_own_has_their_profile(language: str) -> None:
    """Whether or not the request says so, and whatever the operator's first profile is."""
    settings = load_settings({"profiles_allowed": "default,processes"})
    program = {"code": "", "language": language}
    for fields in ({}, {"profile": "processes"}):
        assert permitted_cases(_program(program=program, **fields), settings).profile == "processes"
    with pytest.raises(CallerMistake, match="set profile to processes, or leave it out") as caught:
        permitted_cases(_program(program=program, profile="default"), settings)
    assert (caught.value.code, caught.value.http_status) == ("invalid_request", 422)
    assert permitted_cases(_program(), settings).profile == "default"


def test_permitted_language_needs_a_profile_that_the_operator_permits() -> None:
    """The message names the setting, because nothing in the request can help."""
    with pytest.raises(CallerMistake, match="EXECBOX_PROFILES_ALLOWED") as caught:
        permitted_cases(_program(program={"code": "", "language": "cpp"}), load_settings({}))
    assert (caught.value.code, caught.value.http_status) == ("profile_not_permitted", 422)
    assert "cpp needs profile processes" in caught.value.message


@pytest.mark.parametrize(
    ("arguments", "refused"),
    [
        (["x" * 131_071] * 32, False),
        (["x" * 131_072], True),
        (["ü" * 65_536], True),
        (["x" * 131_071] * 33, True),
    ],
)
def test_permitted_arguments_are_what_a_program_can_be_started_with(
    arguments: list[str], *, refused: bool
) -> None:
    """Of the program and of each case; a Python program, which is not started, takes any."""
    settings = load_settings({"profiles_allowed": "default,processes"})
    own = _program(program={"code": "", "language": "cpp", "arguments": arguments})
    of_case = _program(
        program={"code": "", "language": "bash"}, cases=[{}, {"arguments": arguments}]
    )
    permitted_cases(_program(program={"code": "", "arguments": arguments}), settings)
    if not refused:
        permitted_cases(own, settings)
        permitted_cases(of_case, settings)
        return
    with pytest.raises(CallerMistake, match=r"program\.arguments: \d+ bytes of arguments"):
        permitted_cases(own, settings)
    with pytest.raises(CallerMistake, match=r"cases\[1\]\.arguments: \d+ bytes of arguments"):
        permitted_cases(of_case, settings)


@pytest.mark.parametrize(
    ("language", "path", "refused"),
    [
        ("python", "program.py", True),
        ("bash", "program.sh", True),
        ("bash", "program.py", True),
        ("bash", "program.cpp", False),
        ("cpp", "program.cpp", True),
        ("cpp", "program.cpp/a", True),
        ("cpp", "program.sh", False),
        ("python", "program.sh", False),
    ],
)
def test_files_cannot_have_the_name_of_the_source(
    language: str, path: str, *, refused: bool
) -> None:
    """Of the program and of a case; what other languages call it is free."""
    program = {"code": "", "language": language}
    for fields in (
        {"program": program | {"files": {path: ""}}},
        {"program": program, "cases": [{"files": {path: ""}}]},
    ):
        if refused:
            with pytest.raises(ValueError, match=r"is reserved|is a file, and a folder"):
                RunRequest.model_validate(fields)
        else:
            RunRequest.model_validate(fields)


def test_files_of_a_session_can_have_the_name_of_a_source() -> None:
    """It has none of its own: where they are given, and as a path of the API."""
    SessionRequest.model_validate({"files": {"program.py": "", "program.sh": ""}})
    assert TypeAdapter[str](FilePath).validate_python("program.py") == "program.py"
    with pytest.raises(ValueError, match="stay in the working directory"):
        SessionRequest.model_validate({"files": {"../program.py": ""}})
