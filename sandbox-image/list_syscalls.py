"""Write the system-call numbers of this architecture as JSON, from the kernel's own headers.

Run while the image is built, in the stage that has a compiler; the result is what the job's
filter is assembled from.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys


def main() -> None:
    """Ask the preprocessor for every __NR_ macro and print name: number."""
    dump = subprocess.run(
        ["gcc", "-E", "-dM", "-include", "asm/unistd.h", "-x", "c", "/dev/null"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    macros: dict[str, str] = dict(re.findall(r"^#define __NR_(\w+) (.+)$", dump, re.MULTILINE))
    numbers = {}
    for name, value in sorted(macros.items()):
        # On asm-generic architectures some names are defined as other names.
        resolved = macros.get(value.removeprefix("__NR_"), value)
        if resolved.isdigit():
            numbers[name] = int(resolved)
    if not {"clone", "clone3", "prctl", "socketpair"} <= numbers.keys():
        raise SystemExit(f"the headers list only {len(numbers)} system calls")
    json.dump(numbers, sys.stdout, indent=0)


if __name__ == "__main__":
    main()
