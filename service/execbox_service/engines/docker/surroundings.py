"""Looking at this machine and its Docker daemon for what ``docker/obstacles.py`` decides on."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import socket
from pathlib import Path
from typing import Any, Final

import docker
from docker.errors import APIError

from execbox_service.engines.docker.obstacles import DaemonFacts, Surroundings

_DEFAULT_SOCKET: Final = "/var/run/docker.sock"
_CONNECT_S: Final = 5.0
_DAEMON_PATH: Final = os.pathsep.join(("/usr/local/sbin", "/usr/sbin", "/sbin"))


def look_around(address: str | None, *, context: str | None = None) -> Surroundings:
    """See what is between this process and a daemon. ``address`` is None for Docker's default,
    ``context`` what the docker command calls it, if it does.
    """
    scheme, _, path = (address or f"unix://{_DEFAULT_SOCKET}").partition("://")
    if scheme != "unix":
        return Surroundings(address=str(address), is_unix=False, is_chosen=True, context=context)
    own = Path(f"/run/user/{os.geteuid()}/docker.sock")
    return Surroundings(
        address=path,
        error_number=_connect(path),
        is_chosen=address is not None,
        context=context,
        mode_permits=os.access(
            path, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids
        ),
        is_selinux_enforcing=_text("/sys/fs/selinux/enforce") == "1",
        user_name=_user_name(),
        is_listed_in_group=_is_listed(path),
        is_daemon_installed=any(
            shutil.which("dockerd", path=where) for where in (None, _DAEMON_PATH)
        ),
        has_systemd=os.path.isdir("/run/systemd/system"),
        has_apt=shutil.which("apt-get") is not None,
        has_dnf=shutil.which("dnf") is not None,
        rootless_socket=str(own) if own.exists() else None,
    )


def ask(client: docker.APIClient) -> DaemonFacts:
    """What the daemon says of itself. Raises what the SDK raises."""
    version: dict[str, Any] = client.version(api_version=False)
    components = tuple(each.get("Name", "") for each in version.get("Components") or ())
    said = DaemonFacts(
        api_version=str(version.get("ApiVersion", "")),
        version=str(version.get("Version", "")),
        components=components,
    )
    if not components:
        # The gate says no more than the version, and refuses the rest.
        return said
    try:
        info: dict[str, Any] = client.info()
    except APIError:
        return said
    runtimes = info.get("Runtimes")
    root = str(info.get("DockerRootDir", ""))
    # Docker Desktop's daemon and colima's have a socket here, and their disk in a virtual machine.
    is_here = client.base_url.startswith("http+docker://") and (
        info.get("KernelVersion") == os.uname().release
    )
    return DaemonFacts(
        api_version=said.api_version,
        version=said.version,
        components=components,
        is_rootless=any("name=rootless" in each for each in info.get("SecurityOptions") or ()),
        limits_memory=info.get("MemoryLimit"),
        limits_processes=info.get("PidsLimit"),
        limits_cpu=info.get("CpuCfsQuota"),
        oci_runtimes=None if runtimes is None else tuple(sorted(runtimes)),
        data_root=root,
        free_bytes=_free_bytes(root) if is_here else None,
    )


def _connect(path: str) -> int:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_CONNECT_S)
        try:
            probe.connect(path)
        except OSError as error:
            return error.errno or -1
    return 0


def _is_listed(path: str) -> bool:
    """Whether /etc/group has this user in the socket's group, which the process is not in."""
    with contextlib.suppress(OSError, KeyError):
        group = grp.getgrgid(os.stat(path).st_gid)
        return _user_name() in group.gr_mem and group.gr_gid not in os.getgroups()
    return False


def _user_name() -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(os.geteuid()).pw_name
    return str(os.geteuid())


def _free_bytes(directory: str) -> int | None:
    """None where this process cannot see the directory, which may be on a different machine."""
    with contextlib.suppress(OSError):
        stat = os.statvfs(directory)
        return stat.f_bavail * stat.f_frsize
    return None


def _text(path: str) -> str:
    with contextlib.suppress(OSError):
        return Path(path).read_text("ascii").strip()
    return ""
