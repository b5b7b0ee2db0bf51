"""Room that the sandboxes of every engine give a job beside its memory. Numbers only.

How an engine grants it is in its own policy; what an operator can choose is in ``ContainerSpec``.
"""

from __future__ import annotations

from typing import Final

SHM_MB: Final = 1
SHM_INODE_COUNT: Final = 1024
"""Of /dev/shm: the standard library's pools, locks and shared memory make a few files there."""
STACK_BYTES: Final = 64 * 1024 * 1024
"""How far a stack may grow, as where solutions are usually judged. Only what is used of it is
memory, and is charged. The hard limit stays as it is, because programs raise the soft one."""
