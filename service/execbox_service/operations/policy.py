"""What the operator permits: maxima, isolation levels, profiles, and the defaults they imply.

Pure functions over a validated request and the settings. No HTTP; the ranges every service has
are in ``execbox.wire``, and enforcing limits on a running job is the engines' business.
"""

from __future__ import annotations

from typing import Final

from execbox.wire import (
    ErrorCode,
    ExecuteRequest,
    GenerateRequest,
    Isolation,
    Limits,
    Profile,
    VerifyRequest,
)
from execbox_service.failures import CallerMistake
from execbox_service.settings import Settings

__all__ = [
    "LIMIT_NAMES",
    "limits_default",
    "limits_max",
    "permitted_calls",
    "permitted_draws",
    "permitted_items",
]

_Request = ExecuteRequest | GenerateRequest | VerifyRequest
LIMIT_NAMES: Final = tuple(Limits.model_fields)


def limits_max(settings: Settings) -> dict[str, float]:
    """The highest value of each limit that a request may ask for."""
    return {name: getattr(settings, f"{name}_max") for name in LIMIT_NAMES}


def limits_default(settings: Settings) -> dict[str, float]:
    """The value of each limit for a request that does not name it, never above the maximum."""
    maxima = limits_max(settings)
    defaults = Limits().model_dump()
    return {name: min(defaults[name], maxima[name]) for name in LIMIT_NAMES}


def permitted_calls(request: ExecuteRequest, settings: Settings) -> ExecuteRequest:
    """``request`` with what it left out filled in; raises CallerMistake for what it may not ask."""
    _count("calls", len(request.calls), settings)
    limits = _limits(request.limits, settings)
    return request.model_copy(update={"limits": limits, **_levels(request, settings)})


def permitted_draws(request: GenerateRequest, settings: Settings) -> GenerateRequest:
    """``permitted_calls``, for a request that draws its calls."""
    if "attempts" in request.model_fields_set:
        _count("attempts", request.attempts, settings)
    attempts = min(request.attempts, settings.calls_max)
    limits = _limits(request.limits, settings)
    return request.model_copy(
        update={"attempts": attempts, "limits": limits, **_levels(request, settings)}
    )


def permitted_items(request: VerifyRequest, settings: Settings) -> VerifyRequest:
    """``permitted_calls``, for a request whose limits are its items'."""
    _count("items", len(request.items), settings)
    items = [
        item.model_copy(update={"limits": _limits(item.limits, settings, of=f"items[{index}].")})
        for index, item in enumerate(request.items)
    ]
    return request.model_copy(update={"items": items, **_levels(request, settings)})


def _levels(request: _Request, settings: Settings) -> dict[str, str]:
    """The isolation level and the profile that a request is run at."""
    return {"isolation": _isolation(request, settings), "profile": _profile(request, settings)}


def _count(field: str, count: int, settings: Settings) -> None:
    if count > settings.calls_max:
        raise CallerMistake(
            ErrorCode.LIMIT_ABOVE_MAXIMUM,
            f"{field}: {count} {field} are more than this service's maximum of "
            f"{settings.calls_max}; split them over several requests",
        )


def _limits(asked: Limits, settings: Settings, *, of: str = "") -> Limits:
    maxima = limits_max(settings)
    for name in LIMIT_NAMES:
        value = getattr(asked, name)
        if name in asked.model_fields_set and value > maxima[name]:
            raise CallerMistake(
                ErrorCode.LIMIT_ABOVE_MAXIMUM,
                f"{of}limits.{name}: {value} is above this service's maximum of {maxima[name]}; "
                f"ask for at most {maxima[name]}",
                detail={"field": f"{of}limits.{name}", "value": value, "maximum": maxima[name]},
            )
    lowered = {name: maxima[name] for name in LIMIT_NAMES if getattr(asked, name) > maxima[name]}
    return asked.model_copy(update=lowered)


def _isolation(request: _Request, settings: Settings) -> Isolation:
    allowed = settings.isolation_allowed
    if "isolation" not in request.model_fields_set:
        return allowed[0]
    if request.isolation not in allowed:
        raise _not_permitted(
            "isolation", ErrorCode.ISOLATION_NOT_PERMITTED, asked=request.isolation, allowed=allowed
        )
    return request.isolation


def _profile(request: _Request, settings: Settings) -> Profile:
    allowed = settings.profiles_allowed
    if "profile" not in request.model_fields_set:
        return allowed[0]
    if request.profile not in allowed:
        raise _not_permitted(
            "profile", ErrorCode.PROFILE_NOT_PERMITTED, asked=request.profile, allowed=allowed
        )
    return request.profile


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
