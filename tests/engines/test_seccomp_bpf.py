"""The compiled system-call profile, run by an interpreter of the few instructions it may use."""

from __future__ import annotations

import errno
import json
from importlib import resources
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execbox_service.engines.bubblewrap import seccomp_bpf as bpf
from execbox_service.engines.bubblewrap.runner_files import syscall_numbers
from tests.bpf_machine import ALLOW, DENY, KILL, run

MACHINES = ("x86_64", "aarch64")
PROFILE = resources.files("execbox_service.engines").joinpath("seccomp.json").read_text("utf-8")


def compiled(machine: str, profile: str = PROFILE) -> tuple[bytes, dict[str, int], int]:
    numbers = syscall_numbers(machine)
    program = bpf.compile_profile(profile, machine=machine, numbers=numbers)
    return program, numbers, bpf.AUDIT_ARCHITECTURES[machine]


@pytest.mark.parametrize("machine", MACHINES)
def test_every_system_call_gets_what_the_profile_says(machine: str) -> None:
    """Calls on the list are allowed, all others fail with EPERM, whatever their number."""
    program, numbers, architecture = compiled(machine)
    special = {"clone", "clone3"}
    rules = json.loads(PROFILE)["syscalls"]
    allowed = {numbers[name] for rule in rules for name in rule["names"] if name in numbers} - {
        numbers[name] for name in special
    }
    for number in range(600):
        if number in {numbers[name] for name in special}:
            continue
        wanted = ALLOW if number in allowed else DENY | errno.EPERM
        assert run(program, number=number, architecture=architecture) == wanted, number


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    "name",
    ["socket", "connect", "ptrace", "mount", "unshare", "setns", "bpf", "io_uring_setup", "keyctl"],
)
def test_dangerous_call_is_denied(machine: str, name: str) -> None:
    """What no runner needs fails, under its own name."""
    program, numbers, architecture = compiled(machine)
    answer = run(program, number=numbers[name], architecture=architecture)
    assert answer == DENY | errno.EPERM


@pytest.mark.parametrize(
    ("flags", "allowed"),
    [
        (17, True),
        (0x003D0F00, True),
        (0x10000000 | 17, False),
        (0x40000000, False),
        (0x00020000, False),
        (0x7E020000, False),
        ((1 << 40) | 17, True),
    ],
)
def test_clone_is_allowed_without_a_namespace_flag_only(flags: int, allowed: bool) -> None:
    """Processes and threads yes, namespaces no; clone3 is absent, so that libc uses clone."""
    program, numbers, architecture = compiled("x86_64")
    answer = run(program, number=numbers["clone"], architecture=architecture, arguments=(flags,))
    assert answer == (ALLOW if allowed else DENY | errno.EPERM)
    absent = run(program, number=numbers["clone3"], architecture=architecture)
    assert absent == DENY | errno.ENOSYS


def test_calls_of_other_architectures_and_of_x32_kill() -> None:
    """Numbers mean other calls there, so nothing of them may pass."""
    program, numbers, architecture = compiled("x86_64")
    read = numbers["read"]
    assert run(program, number=read, architecture=0x40000003) == KILL
    assert run(program, number=read | 0x40000000, architecture=architecture) == KILL


@given(
    value=st.integers(0, 2**64 - 1),
    mask=st.integers(0, 2**64 - 1),
    wanted=st.integers(0, 2**64 - 1),
    index=st.integers(0, 5),
)
def test_masked_condition_compares_all_64_bits(
    value: int, mask: int, wanted: int, index: int
) -> None:
    """A condition holds exactly where value & mask == wanted; then the rules after it still do."""
    condition = {"index": index, "value": mask, "valueTwo": wanted, "op": "SCMP_CMP_MASKED_EQ"}
    program = bpf.compile_profile(
        _profile(
            {"names": ["a"], "action": "SCMP_ACT_ALLOW", "args": [condition]},
            {"names": ["b"], "action": "SCMP_ACT_ALLOW"},
        ),
        machine="x86_64",
        numbers={"a": 1, "b": 2},
    )
    arguments = tuple(value if at == index else 0 for at in range(6))
    architecture = bpf.AUDIT_ARCHITECTURES["x86_64"]
    answer = run(program, number=1, architecture=architecture, arguments=arguments)
    assert (answer == ALLOW) is (value & mask == wanted)
    assert run(program, number=2, architecture=architecture, arguments=arguments) == ALLOW


@pytest.mark.parametrize(
    "rule",
    [
        {"names": ["a"], "action": "SCMP_ACT_LOG"},
        {"names": ["a"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {
            "names": ["a"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 1, "valueTwo": 0, "op": "SCMP_CMP_GT"}],
        },
    ],
)
def test_rule_that_cannot_be_expressed_is_an_error(rule: dict[str, Any]) -> None:
    """Leaving a rule out could allow what it denies."""
    with pytest.raises(ValueError, match="validation error"):
        bpf.compile_profile(_profile(rule), machine="x86_64", numbers={"a": 1})


def test_unknown_machine_is_an_error() -> None:
    """No filter is made for an architecture the profile does not name."""
    with pytest.raises(ValueError, match="riscv64"):
        bpf.compile_profile(PROFILE, machine="riscv64", numbers={})


def _profile(*rules: dict[str, Any]) -> str:
    return json.dumps(
        {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 1,
            "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []}],
            "syscalls": list(rules),
        }
    )
