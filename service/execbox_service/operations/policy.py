"""What the operator permits: maxima, isolation levels, profiles, and the defaults they imply.

Pure functions over a validated request and the settings. No HTTP; the ranges every service has
are in ``execbox.wire``, and enforcing limits on a running job is the engines' business.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from pydantic import BaseModel

from execbox.wire import (
    Content,
    ErrorCode,
    ExecuteRequest,
    ExecutionLimits,
    GenerateRequest,
    Isolation,
    Language,
    Profile,
    ProgramLimits,
    RunRequest,
    SessionLimits,
    SessionRequest,
    VerifyRequest,
    content_bytes,
)
from execbox_service.failures import CallerMistake
from execbox_service.operations.given_files import GivenFiles, check_room
from execbox_service.settings import Settings

__all__ = [
    "LIMIT_NAMES",
    "limits_default",
    "limits_max",
    "permitted_calls",
    "permitted_cases",
    "permitted_draws",
    "permitted_items",
    "permitted_session",
]

_Request = ExecuteRequest | GenerateRequest | VerifyRequest | RunRequest
_LimitsT = TypeVar("_LimitsT", bound=ExecutionLimits)
_ModelT = TypeVar("_ModelT", bound=BaseModel)
LIMIT_NAMES: Final = tuple(ProgramLimits.model_fields)
_ARGUMENT_BYTES_MAX: Final = 32 * 4096 - 1
"""MAX_ARG_STRLEN of linux/binfmts.h, its NUL apart."""
_ARGUMENTS_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of the six megabytes that Linux lets them have, with the environment and a pointer to each."""


def limits_max(settings: Settings) -> dict[str, float]:
    """The highest value of each limit that a request may ask for."""
    return dict(settings.limits_max)


def limits_default(settings: Settings) -> dict[str, float]:
    """The value of each limit for a request that does not name it, never above the maximum."""
    maxima = limits_max(settings)
    defaults = ProgramLimits().model_dump()
    return {name: min(defaults[name], maxima[name]) for name in LIMIT_NAMES}


def permitted_calls(request: ExecuteRequest, settings: Settings) -> ExecuteRequest:
    """``request`` with what it left out filled in; raises CallerMistake for what it may not ask."""
    _count("calls", len(request.calls), settings)
    limits = _limits(request.limits, settings)
    isolation, profile = _isolation(request, settings), _profile(request, settings)
    return _with(request, {"limits": limits, "isolation": isolation, "profile": profile})


def permitted_draws(request: GenerateRequest, settings: Settings) -> GenerateRequest:
    """``permitted_calls``, for a request that draws its calls."""
    if "attempts" in request.model_fields_set:
        _count("attempts", request.attempts, settings)
    attempts = min(request.attempts, settings.calls_max)
    limits = _limits(request.limits, settings)
    return _with(request, {"attempts": attempts, "limits": limits, **_levels(request, settings)})


def permitted_items(request: VerifyRequest, settings: Settings) -> VerifyRequest:
    """``permitted_calls``, for a request whose limits are its items'."""
    _count("items", len(request.items), settings)
    items = [
        _with(item, {"limits": _limits(item.limits, settings, of=f"items[{index}].")})
        for index, item in enumerate(request.items)
    ]
    same = all(map(operator.is_, items, request.items))
    filled_in = {"items": request.items if same else items, **_levels(request, settings)}
    return _with(request, filled_in)


def permitted_cases(request: RunRequest, settings: Settings) -> RunRequest:
    """``permitted_calls``, for a request whose calls are a program's cases."""
    _count("cases", len(request.cases or ()), settings)
    limits = _limits(request.limits, settings)
    source_bytes = len(request.program.code.encode())
    own = GivenFiles(request.program.files)
    given = [("program.files", own.taken)]
    for index, case in enumerate(request.cases or ()):
        if case.files:
            given.append((f"cases[{index}].files", own.taken_with(case.files)))
    for field, taken in given:
        _check_files(field, taken.size_bytes, limits=limits)
        check_room(field, taken, source_bytes=source_bytes, settings=settings)
    levels = _levels(request, settings)
    language = request.program.language
    if language != "python":
        levels["profile"] = _profile_of(language, request, settings)
        _check_arguments(request)
    return request.model_copy(update={"limits": limits, **levels})


def permitted_session(request: SessionRequest, settings: Settings) -> SessionRequest:
    """``permitted_calls``, for a session: its limits are those of its cells."""
    limits = _limits(request.limits, settings)
    _check_files("files", _files_bytes(request.files), limits=limits)
    profile = _profile(request, settings)
    return request.model_copy(update={"limits": limits, "profile": profile})


def _files_bytes(files: Mapping[str, Content]) -> int:
    return sum(len(content_bytes(content)) for content in files.values())


def _check_files(field: str, size_bytes: int, *, limits: ProgramLimits | SessionLimits) -> None:
    if size_bytes > limits.files_bytes:
        raise CallerMistake(
            ErrorCode.INVALID_REQUEST,
            f"{field}: a case would be given {size_bytes} bytes of files, and limits.files_bytes "
            f"is {limits.files_bytes}; give fewer or smaller ones, or raise the limit",
            detail={"field": field, "value": size_bytes, "maximum": limits.files_bytes},
        )


def _levels(request: _Request, settings: Settings) -> dict[str, str]:
    """The isolation level and the profile that a request is run at."""
    return {"isolation": _isolation(request, settings), "profile": _profile(request, settings)}


def _with(asked: _ModelT, filled_in: Mapping[str, object]) -> _ModelT:
    """With these fields, or what was asked itself where it says all that: most requests do."""
    fields = vars(asked)
    if all(map(operator.is_, map(fields.__getitem__, filled_in), filled_in.values())):
        return asked
    for name, value in filled_in.items():
        # Nothing larger is compared, which could take long.
        same = fields[name] == value if isinstance(value, str | int) else fields[name] is value
        if not same:
            return asked.model_copy(update=filled_in)
    return asked


def _count(field: str, count: int, settings: Settings) -> None:
    if count > settings.calls_max:
        raise CallerMistake(
            ErrorCode.LIMIT_ABOVE_MAXIMUM,
            f"{field}: {count} {field} are more than this service's maximum of "
            f"{settings.calls_max}; split them over several requests",
        )


def _limits(asked: _LimitsT, settings: Settings, *, of: str = "") -> _LimitsT:
    maxima, limits = settings.limits_max, vars(asked)
    if all(map(operator.le, limits.values(), map(maxima.__getitem__, limits))):
        return asked
    lowered = {name: maxima[name] for name, value in limits.items() if value > maxima[name]}
    for name, most in lowered.items():
        if name in asked.model_fields_set:
            value = getattr(asked, name)
            raise CallerMistake(
                ErrorCode.LIMIT_ABOVE_MAXIMUM,
                f"{of}limits.{name}: {value} is above this service's maximum of {most}; "
                f"ask for at most {most}",
                detail={"field": f"{of}limits.{name}", "value": value, "maximum": most},
            )
    return asked.model_copy(update=lowered) if lowered else asked


def _isolation(request: _Request, settings: Settings) -> Isolation:
    allowed = settings.isolation_allowed
    if "isolation" not in request.model_fields_set:
        return allowed[0]
    if request.isolation not in allowed:
        raise _not_permitted(
            "isolation", ErrorCode.ISOLATION_NOT_PERMITTED, asked=request.isolation, allowed=allowed
        )
    return request.isolation


def _profile(request: _Request | SessionRequest, settings: Settings) -> Profile:
    allowed = settings.profiles_allowed
    if "profile" not in request.model_fields_set:
        return allowed[0]
    if request.profile not in allowed:
        raise _not_permitted(
            "profile", ErrorCode.PROFILE_NOT_PERMITTED, asked=request.profile, allowed=allowed
        )
    return request.profile


def _profile_of(language: Language, request: RunRequest, settings: Settings) -> Profile:
    """``processes``, whether or not the request says so: such a program is a process that starts.

    Raises CallerMistake where the request asks for a different one, or the operator permits none.
    """
    needed: Profile = "processes"
    if request.profile != needed and "profile" in request.model_fields_set:
        raise CallerMistake(
            ErrorCode.INVALID_REQUEST,
            f"profile: {request.profile} permits no program in {language} to be started; set "
            f"profile to {needed}, or leave it out",
            detail={"field": "profile", "value": request.profile, "needed": needed},
        )
    if needed not in settings.profiles_allowed:
        raise CallerMistake(
            ErrorCode.PROFILE_NOT_PERMITTED,
            f"program.language: {language} needs profile {needed}, which is not permitted by this "
            f"service's operator; permitted: {', '.join(settings.profiles_allowed)}. Ask the "
            f"operator to permit it with EXECBOX_PROFILES_ALLOWED",
            detail={
                "field": "program.language",
                "value": language,
                "needed": needed,
                "permitted": list(settings.profiles_allowed),
            },
        )
    return needed


def _check_arguments(request: RunRequest) -> None:
    """Of what the kernel starts: a Python program is started already, and takes any."""
    _check_argument_sizes("program.arguments", request.program.arguments)
    for index, case in enumerate(request.cases or ()):
        if case.arguments:
            _check_argument_sizes(f"cases[{index}].arguments", case.arguments)


def _check_argument_sizes(field: str, arguments: Sequence[str]) -> None:
    sizes = [len(argument.encode("utf-8", "surrogatepass")) for argument in arguments]
    longest, together = max(sizes, default=0), sum(sizes)
    if longest > _ARGUMENT_BYTES_MAX or together > _ARGUMENTS_BYTES_MAX:
        raise CallerMistake(
            ErrorCode.INVALID_REQUEST,
            f"{field}: {together} bytes of arguments, the longest of {longest}; Linux starts no "
            f"program with one of more than {_ARGUMENT_BYTES_MAX}, nor with more than "
            f"{_ARGUMENTS_BYTES_MAX} in all. Give it what is long on stdin or in a file",
            detail={"field": field, "value": together, "maximum": _ARGUMENTS_BYTES_MAX},
        )


def _not_permitted(
    field: str, code: ErrorCode, *, asked: str, allowed: tuple[str, ...]
) -> CallerMistake:
    return CallerMistake(
        code,
        f"{field}: {asked} is not permitted by this service's operator; permitted: "
        f"{', '.join(allowed)}. Leave {field} out, or ask the operator to permit it with "
        f"EXECBOX_{field.upper()}{'S' if field == 'profile' else ''}_ALLOWED",
        detail={"field": field, "value": asked, "permitted": list(allowed)},
    )
