"""What of a request the gate lets through: pure functions over what was read. No I/O, no state.

What may be created is listed in ``allowed_bodies.py``; here it is only compared. Each function
returns what the gate needs to make a request of its own, or raises Refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from execbox.strict_json import StrictJSONError, decode
from execbox_service.engines.docker.policy import LABEL, PACKAGES_PATH
from execbox_service.gate.allowed_bodies import JOINED_PREFIX, Variant
from execbox_service.gate.http1 import Refused

_NAME = re.compile(r"execbox-[0-9a-f]{16}")
_FILTERS_CHARS_MAX: Final = 1000
_EVENTS_AHEAD_S: Final = 10
_LARGEST_TIME_S: Final = 2**40
_ATTACH = {"stream": "1", "stdin": "1", "stdout": "1", "stderr": "1"}
_SHOWN_CHARS_MAX: Final = 60
_ABSENT: Final = object()


@dataclass(frozen=True)
class MemoryRange:
    """The memory limits, swap included, that a container may be given."""

    bytes_min: int
    bytes_max: int


@dataclass(frozen=True)
class ToCreate:
    """A container to make, and the name of the sandbox whose network it joins, if any."""

    variant: Variant
    holder: str | None


@dataclass(frozen=True)
class EventsOf:
    """Whose OOM events were asked for, and from when to when in whole seconds."""

    target: str
    since_s: int
    until_s: int


def judged_name(query: Mapping[str, str]) -> str:
    """The name of a container to create, and nothing else that could be asked for with it."""
    name = query.get("name", "")
    if set(query) != {"name"} or not _NAME.fullmatch(name):
        raise Refused(f"create needs a name of the form {_NAME.pattern}, and takes nothing else")
    return name


def judged_create(asked: Mapping[str, Any], allowed: Sequence[Variant]) -> ToCreate:
    """The variant that was asked for; any difference from all of them is refused and named.

    The caller sends the variant's own body on, never what was received.
    """
    holder = _holder(asked)
    expected = [
        (variant, variant.body_joining(holder or "") if variant.joins_network else variant.body)
        for variant in allowed
    ]
    for variant, wanted in expected:
        if asked == wanted and (holder is not None or not variant.joins_network):
            return ToCreate(variant, holder if variant.joins_network else None)
    # The nearest one is what was meant, and the difference to it helps.
    differences, kind = min(
        ((_differences(asked, wanted), variant.kind) for variant, wanted in expected),
        key=lambda pair: len(pair[0]),
    )
    field = differences[0] if differences else "HostConfig.NetworkMode"
    raise Refused(
        f"create: {_shown(field)} is not what this gate's settings give a container of "
        f"kind {kind}; service and gate must have the same image and the same EXECBOX_ settings"
    )


def _holder(asked: Mapping[str, Any]) -> str | None:
    """Whose network a body would join; None where that is not said in the one right way."""
    options = asked.get("HostConfig")
    mode = options.get("NetworkMode") if isinstance(options, dict) else None
    if not isinstance(mode, str) or not mode.startswith(JOINED_PREFIX):
        return None
    name = mode.removeprefix(JOINED_PREFIX)
    return name if _NAME.fullmatch(name) else None


def judged_update(body: bytes, memory: MemoryRange) -> dict[str, int]:
    """A memory limit without swap, within the range; the body to send on."""
    asked = json_object(body)
    limit_bytes = asked.get("Memory")
    if set(asked) != {"Memory", "MemorySwap"} or type(limit_bytes) is not int:
        raise Refused("update changes Memory and MemorySwap, to the same number, and nothing else")
    if type(asked["MemorySwap"]) is not int or asked["MemorySwap"] != limit_bytes:
        raise Refused("update: MemorySwap has to be Memory, which means no swap")
    if not memory.bytes_min <= limit_bytes <= memory.bytes_max:
        raise Refused(
            f"update: Memory {_shown(limit_bytes)} is not from {memory.bytes_min} to "
            f"{memory.bytes_max}; service and gate must have the same EXECBOX_MEMORY_MB_MAX"
        )
    return {"Memory": limit_bytes, "MemorySwap": limit_bytes}


def judged_attach(query: Mapping[str, str], headers: Mapping[str, str]) -> None:
    """Attached to is a whole container, by upgrade."""
    upgraded = headers.get("connection", "").lower(), headers.get("upgrade", "").lower()
    if dict(query) != _ATTACH or upgraded != ("upgrade", "tcp"):
        raise Refused("attach is for stream, stdin, stdout and stderr at once, upgraded to tcp")


def judged_archive(query: Mapping[str, str]) -> None:
    """One file is read, the image's list of packages."""
    if dict(query) != {"path": PACKAGES_PATH}:
        raise Refused(f"archive reads {PACKAGES_PATH} and nothing else")


def judged_list(query: Mapping[str, str]) -> None:
    """All containers of this instance are listed, or none."""
    if _filters(query) not in ({"label": [LABEL]}, {}):
        raise Refused(f"containers are listed by the label {LABEL} only")


def judged_events(query: Mapping[str, str], *, now_s: float) -> EventsOf:
    """OOM events of one container that are over, or will be in a moment."""
    filters = _filters(query)
    match filters:
        case {"container": [str(target)], "event": ["oom"]} if len(filters) == 2:
            pass
        case _:
            raise Refused("events are given of kind oom and of one container only")
    try:
        since_s, until_s = int(query["since"]), int(query["until"])
    except (KeyError, ValueError) as error:
        raise Refused("events need since and until in whole seconds") from error
    if not 0 <= since_s <= _LARGEST_TIME_S or not 0 <= until_s <= now_s + _EVENTS_AHEAD_S:
        raise Refused(f"events are waited for {_EVENTS_AHEAD_S} s at most")
    return EventsOf(target, since_s, until_s)


def _filters(query: Mapping[str, str]) -> dict[str, Any]:
    text = query.get("filters", "{}")
    if len(text) > _FILTERS_CHARS_MAX:
        raise Refused(f"filters are longer than {_FILTERS_CHARS_MAX} characters")
    return json_object(text.encode("utf-8"))


def json_object(body: bytes) -> dict[str, Any]:
    """A body or a filter, decoded strictly: no name twice, bounded depth."""
    try:
        value = decode(body)
    except StrictJSONError as error:
        raise Refused(f"the body is not strict JSON: {error}", status=400) from error
    if not isinstance(value, dict):
        raise Refused("the body is not a JSON object", status=400)
    return value


def _differences(asked: object, expected: object, *, path: str = "") -> list[str]:
    """Where two values of JSON differ, as paths of names."""
    if isinstance(asked, dict) and isinstance(expected, dict):
        return [
            difference
            for name in sorted(asked.keys() | expected.keys())
            for difference in _differences(
                asked.get(name, _ABSENT),
                expected.get(name, _ABSENT),
                path=f"{path}.{name}" if path else name,
            )
        ]
    return [] if asked == expected else [path]


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN_CHARS_MAX else text[: _SHOWN_CHARS_MAX - 3] + "..."
