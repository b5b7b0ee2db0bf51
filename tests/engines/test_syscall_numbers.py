"""The committed system-call numbers, against the kernel headers of the machine that tests."""

from __future__ import annotations

import platform
import re
from pathlib import Path

import pytest

from execbox_service.engines.bubblewrap.runner_files import syscall_numbers

HEADERS = {
    "x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
    "aarch64": "/usr/include/asm-generic/unistd.h",
}


@pytest.mark.parametrize("machine", HEADERS)
def test_numbers_are_those_of_the_kernel_headers(machine: str) -> None:
    """Every name that the header knows too has the header's number; there are hundreds of them."""
    header = Path(HEADERS[machine])
    if not header.exists():
        pytest.skip(f"{header} is not installed (apt install linux-libc-dev)")
    text = header.read_text("utf-8")
    known = dict(re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)$", text, re.MULTILINE))
    numbers = syscall_numbers(machine)
    both = numbers.keys() & known.keys()
    assert len(both) > 250
    assert {name: numbers[name] for name in both} == {name: int(known[name]) for name in both}


@pytest.mark.parametrize("machine", HEADERS)
def test_numbers_cover_what_a_runner_cannot_do_without(machine: str) -> None:
    """A name missing from the list would be a call denied to every sandbox."""
    needed = {"read", "write", "openat", "mmap", "fstat", "newfstatat", "lseek", "clone", "execve"}
    needed |= {"futex", "fcntl", "statfs", "socketpair", "recvmsg", "setresuid", "prctl", "wait4"}
    assert needed <= syscall_numbers(machine).keys()


def test_this_machine_is_covered() -> None:
    """The tests below need the numbers of the machine they run on."""
    assert syscall_numbers(platform.machine())
