"""What the operator permits: maxima, isolation levels, profiles, and the defaults they imply.

Pure functions over a validated request and the settings. No HTTP; the ranges every service has
are in ``execbox.wire``, and enforcing limits on a running job is the engines' business.
"""

from __future__ import annotations

from typing import Final

from execbox.wire import ExecuteRequest, Isolation, Limits, Profile
from execbox_service.failures import CallerMistake
from execbox_service.settings import Settings

__all__ = ["LIMIT_NAMES", "limits_default", "limits_max", "permitted"]

LIMIT_NAMES: Final = tuple(Limits.model_fields)


def limits_max(settings: Settings) -> dict[str, float]:
    """The highest value of each limit that a request may ask for."""
    return {
        "cpu_time_s": settings.cpu_time_s_max,
        "wall_time_s": settings.wall_time_s_max,
        "memory_mb": settings.memory_mb_max,
        "output_bytes": settings.output_bytes_max,
        "stdout_bytes": settings.stdout_bytes_max,
        "job_time_s": settings.job_time_s_max,
    }


def limits_default(settings: Settings) -> dict[str, float]:
    """The value of each limit for a request that does not name it, never above the maximum."""
    maxima = limits_max(settings)
    defaults = Limits().model_dump()
    return {name: min(defaults[name], maxima[name]) for name in LIMIT_NAMES}


def permitted(request: ExecuteRequest, settings: Settings) -> ExecuteRequest:
    """``request`` with what it left out filled in; raises CallerMistake for what it may not ask."""
    if len(request.calls) > settings.calls_max:
        raise CallerMistake(
            "limit_above_maximum",
            f"calls: {len(request.calls)} calls are more than this service's maximum of "
            f"{settings.calls_max}; split them over several requests",
        )
    return request.model_copy(
        update={
            "limits": _limits(request.limits, settings),
            "isolation": _isolation(request, settings),
            "profile": _profile(request, settings),
        }
    )


def _limits(asked: Limits, settings: Settings) -> Limits:
    maxima = limits_max(settings)
    for name in LIMIT_NAMES:
        value = getattr(asked, name)
        if name in asked.model_fields_set and value > maxima[name]:
            raise CallerMistake(
                "limit_above_maximum",
                f"limits.{name}: {value:g} is above this service's maximum of {maxima[name]:g}; "
                f"ask for at most {maxima[name]:g}",
                detail={"field": f"limits.{name}", "value": value, "maximum": maxima[name]},
            )
    lowered = {name: maxima[name] for name in LIMIT_NAMES if getattr(asked, name) > maxima[name]}
    return asked.model_copy(update=lowered)


def _isolation(request: ExecuteRequest, settings: Settings) -> Isolation:
    allowed = settings.isolation_allowed
    if "isolation" not in request.model_fields_set:
        return allowed[0]
    if request.isolation not in allowed:
        raise _not_permitted("isolation", asked=request.isolation, allowed=allowed)
    return request.isolation


def _profile(request: ExecuteRequest, settings: Settings) -> Profile:
    allowed = settings.profiles_allowed
    if "profile" not in request.model_fields_set:
        return allowed[0]
    if request.profile not in allowed:
        raise _not_permitted("profile", asked=request.profile, allowed=allowed)
    return request.profile


def _not_permitted(field: str, *, asked: str, allowed: tuple[str, ...]) -> CallerMistake:
    return CallerMistake(
        f"{field}_not_permitted",
        f"{field}: {asked} is not permitted by this service's operator; permitted: "
        f"{', '.join(allowed)}",
        detail={"field": field, "value": asked, "permitted": list(allowed)},
    )
