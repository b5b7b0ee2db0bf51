"""What every sandbox of a service is given, from the operator's settings; no engine's options.

How an engine gives it is the engine's: ``docker/policy.py``, ``bubblewrap/plan.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from execbox.wire import Limits
from execbox_service.settings import Settings

__all__ = ["EXTRA_MEMORY_MB", "ContainerSpec", "container_spec"]

EXTRA_MEMORY_MB = 256
"""What further interpreters may hold, with scipy in each of them: those of a determinism check,
and those that a container of level ``process`` keeps for the jobs to come."""


@dataclass(frozen=True)
class ContainerSpec:
    """What the operator chose for every sandbox of this service."""

    image: str
    instance: str
    docker_host: str | None
    oci_runtime: str | None
    cpu_count: float
    memory_mb: int
    runner_allowance_mb: int
    tmp_mb: int
    tmp_inode_count: int
    pid_count: int
    open_file_count: int
    shared_network: bool = False
    """Whether containers join one empty network namespace instead of having one each."""
    worker_number: int = 1
    """Which of a service's processes makes them: from 1 to ``worker_count``."""
    worker_count: int = 1
    image_id: str | None = None
    """What ``image`` named when the service began; None where this process begins it."""

    def memory_bytes(self, memory_mb: int) -> int:
        """The cgroup limit: the job's memory plus what the runner and its packages hold."""
        return (memory_mb + self.runner_allowance_mb) * 1024 * 1024


def container_spec(
    settings: Settings,
    *,
    worker_number: int = 1,
    worker_count: int = 1,
    image_id: str | None = None,
) -> ContainerSpec:
    """What every container gets, from the operator's settings."""
    return ContainerSpec(
        image=settings.image,
        instance=settings.instance_name,
        docker_host=settings.docker_host,
        oci_runtime=settings.oci_runtime,
        cpu_count=settings.container_cpu_count,
        memory_mb=min(Limits().memory_mb, settings.memory_mb_max),
        runner_allowance_mb=settings.runner_allowance_mb,
        tmp_mb=settings.tmp_mb,
        tmp_inode_count=settings.tmp_inode_count,
        pid_count=settings.pid_count,
        open_file_count=settings.open_file_count,
        shared_network=settings.shared_network,
        worker_number=worker_number,
        worker_count=worker_count,
        image_id=image_id,
    )
