"""Protections of a sandbox, each as what takes it away. What then succeeds is in the tests.

For ``weakened``: edits of the runner, and options of the container.
"""

from __future__ import annotations

from typing import Any

from tests.weakened import Edits

CONFINE, SUPERVISOR = "confine.py", "supervisor.py"

# Edits, alone or to be put together.

NO_FILTER: Edits = {
    CONFINE: (
        (
            "self._prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program))",
            "ctypes.byref(program)",
        ),
    )
}
NO_IDENTITY: Edits = {
    CONFINE: (
        ("os.setresgid(terms.uid, terms.uid, terms.uid)", "pass"),
        ("os.setresuid(terms.uid, terms.uid, terms.uid)", "pass"),
    )
}
NO_FILTER_NO_IDENTITY: Edits = {CONFINE: (*NO_FILTER[CONFINE], *NO_IDENTITY[CONFINE])}
OPEN_DESCRIPTORS: Edits = {CONFINE: (("os.closerange(RESULT_FD + 1, mark_fd)", "pass"),)}
NOT_CLEANED: Edits = {
    SUPERVISOR: (
        ("clean = meters.free_space() == self._free_space or self._clean(uid)", "clean = True"),
    )
}
FAMILY_NOT_ENDED: Edits = {
    SUPERVISOR: (
        (
            'end_family=(lambda: self._end_family(uid)) if profile == "processes" else None',
            "end_family=(lambda: None) if profile else None",
        ),
    )
}
NO_DEADLINE: Edits = {
    "execution.py": (
        ('return self._kill("wall_time")', "pass"),
        ('return self._kill("hard_stop")', "pass"),
    )
}

# Options, as the Docker API names them.

NO_SECCOMP: dict[str, Any] = {"SecurityOpt": ["no-new-privileges", "seccomp=unconfined"]}
