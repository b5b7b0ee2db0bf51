"""Protections of a sandbox, each as what takes it away. What then succeeds is in the tests.

For ``weakened``: edits of the runner, and options of the container.
"""

from __future__ import annotations

from typing import Any

from tests.weakened import Edits

CONFINE, SUPERVISOR = "confine.py", "supervisor.py"

# Edits, alone or to be put together.

NO_FILTER: Edits = {
    CONFINE: (("prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, address, 0, 0) != 0", "address == 0"),)
}
NO_IDENTITY: Edits = {
    CONFINE: (
        ("_setresgid(uid, uid, uid)", "pass"),
        ("_setresuid(uid, uid, uid)", "pass"),
    )
}
NO_FILTER_NO_IDENTITY: Edits = {CONFINE: (*NO_FILTER[CONFINE], *NO_IDENTITY[CONFINE])}
OPEN_DESCRIPTORS: Edits = {CONFINE: (("_closerange(RESULT_FD + 1, mark_fd)", "pass"),)}
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
