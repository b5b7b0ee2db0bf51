"""The container's system-call profile as a classic BPF program: what ``bwrap --seccomp`` reads.

Docker compiles ``seccomp.json`` itself; here it is done for an engine that has no daemon. Pure:
profile and system-call numbers in, bytes out. A rule this compiler does not understand is an
error, never left out: it could be one that denies.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

# linux/audit.h
AUDIT_ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SCMP_NAMES: Final = {"SCMP_ARCH_X86_64": "x86_64", "SCMP_ARCH_AARCH64": "aarch64"}
# Calls of the x32 interface carry the architecture of x86-64 and this bit.
_X32_BIT: Final = 0x40000000

# linux/seccomp.h and linux/bpf_common.h
_ALLOW: Final = 0x7FFF0000
_KILL_PROCESS: Final = 0x80000000
_ERRNO: Final = 0x00050000
_LOAD_WORD: Final = 0x20
_AND: Final = 0x54
_JUMP_EQUAL: Final = 0x15
_JUMP_GREATER_EQUAL: Final = 0x35
_RETURN: Final = 0x06
_OFFSET_NUMBER, _OFFSET_ARCHITECTURE, _OFFSET_ARGUMENTS = 0, 4, 16
_INSTRUCTIONS_MAX: Final = 4096


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Architecture(_Strict):
    architecture: str
    subArchitectures: list[str] = Field(max_length=0)  # noqa: N815 - Docker's name


class _Condition(_Strict):
    """One argument compared: with ``SCMP_CMP_MASKED_EQ``, ``argument & value == valueTwo``."""

    index: Annotated[int, Field(ge=0, le=5)]
    value: Annotated[int, Field(ge=0, lt=2**64)]
    valueTwo: Annotated[int, Field(ge=0, lt=2**64)] = 0  # noqa: N815 - Docker's name
    op: Literal["SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ"]


class _Rule(_Strict):
    comment: str = ""
    names: list[str]
    action: Literal["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"]
    errnoRet: int | None = Field(default=None, ge=1, le=4095)  # noqa: N815 - Docker's name
    args: list[_Condition] = Field(default=[])


class _Profile(_Strict):
    defaultAction: Literal["SCMP_ACT_ERRNO"]  # noqa: N815 - Docker's name
    defaultErrnoRet: int = Field(ge=1, le=4095)  # noqa: N815 - Docker's name
    archMap: list[_Architecture]  # noqa: N815 - Docker's name
    syscalls: list[_Rule]


def compile_profile(profile_json: str, *, machine: str, numbers: Mapping[str, int]) -> bytes:
    """Assemble an array of ``struct sock_filter`` for one architecture.

    A call of another architecture kills the process; what no rule allows fails with the profile's
    own errno. Raises ValueError for a profile or machine this cannot express.
    """
    profile = _Profile.model_validate_json(profile_json)
    known = {_SCMP_NAMES.get(item.architecture) for item in profile.archMap}
    if machine not in known or machine not in AUDIT_ARCHITECTURES:
        raise ValueError(f"the system-call profile does not cover the architecture {machine}")
    program = [
        _load(_OFFSET_ARCHITECTURE),
        _jump(_JUMP_EQUAL, AUDIT_ARCHITECTURES[machine], if_true=1, if_false=0),
        _return(_KILL_PROCESS),
        _load(_OFFSET_NUMBER),
        _jump(_JUMP_GREATER_EQUAL, _X32_BIT, if_true=0, if_false=1),
        _return(_KILL_PROCESS),
    ]
    for rule in profile.syscalls:
        body = _body(rule, profile.defaultErrnoRet)
        for name in rule.names:
            if name in numbers:
                skip = _jump(_JUMP_EQUAL, numbers[name], if_true=0, if_false=len(body))
                program += [skip, *body]
    program.append(_return(_ERRNO | profile.defaultErrnoRet))
    if len(program) > _INSTRUCTIONS_MAX:
        raise ValueError(f"the system-call profile needs {len(program)} instructions")
    return b"".join(program)


def _body(rule: _Rule, default_errno: int) -> list[bytes]:
    """What follows when the number is the rule's: its action, if all its conditions hold."""
    if rule.action == "SCMP_ACT_ALLOW":
        action = _return(_ALLOW)
    else:
        action = _return(_ERRNO | (rule.errnoRet or default_errno))
    if not rule.args:
        return [action]
    tests = [test for condition in rule.args for test in _halves(condition)]
    # Falling through every test reaches the action; a test that fails jumps over what is left,
    # to where the number is loaded again for the rules that follow.
    body: list[bytes] = []
    left = 3 * len(tests) + 1
    for offset, mask, wanted in tests:
        left -= 3
        body += [
            _load(offset),
            struct.pack("=HBBI", _AND, 0, 0, mask),
            _jump(_JUMP_EQUAL, wanted, if_true=0, if_false=left),
        ]
    return [*body, action, _load(_OFFSET_NUMBER)]


def _halves(condition: _Condition) -> Sequence[tuple[int, int, int]]:
    """The 64-bit comparison as two of 32 bits: offset, mask, wanted. Little-endian, low first."""
    if condition.op == "SCMP_CMP_EQ":
        mask, wanted = 2**64 - 1, condition.value
    else:
        mask, wanted = condition.value, condition.valueTwo
    low = _OFFSET_ARGUMENTS + 8 * condition.index
    return (
        (low, mask & 0xFFFFFFFF, wanted & 0xFFFFFFFF),
        (low + 4, mask >> 32, wanted >> 32),
    )


def _load(offset: int) -> bytes:
    return struct.pack("=HBBI", _LOAD_WORD, 0, 0, offset)


def _jump(test: int, value: int, *, if_true: int, if_false: int) -> bytes:
    return struct.pack("=HBBI", test, if_true, if_false, value)


def _return(action: int) -> bytes:
    return struct.pack("=HBBI", _RETURN, 0, 0, action)
