"""Write the system-call numbers of this architecture as JSON, from the kernel's own headers.

Run while the image is built, in the stage that has a compiler; the result is what the job's
filter is assembled from. The files syscalls-ARCHITECTURE.json beside this one, for machines that
have neither image nor compiler, were made by it too.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

_NO_CALLS = {"syscalls", "arch_specific_syscall"}
"""Macros that look like a call's number and are a count or a base."""


def main() -> None:
    """Ask the preprocessor for every __NR_ macro and print name: number."""
    dump = subprocess.run(
        ["gcc", "-E", "-dM", "-include", "asm/unistd.h", "-x", "c", "/dev/null"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    macros: dict[str, str] = dict(re.findall(r"^#define (__NR\w+) (.+)$", dump, re.MULTILINE))
    numbers = {}
    for macro, value in sorted(macros.items()):
        # On asm-generic architectures some names are defined as other names.
        resolved = macros.get(value, value)
        name = macro.removeprefix("__NR_")
        if resolved.isdigit() and name not in _NO_CALLS and not macro.startswith("__NR3264_"):
            numbers[name] = int(resolved)
    if not {"clone", "clone3", "prctl", "socketpair"} <= numbers.keys():
        raise SystemExit(f"the headers list only {len(numbers)} system calls")
    json.dump(numbers, sys.stdout, indent=0)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
