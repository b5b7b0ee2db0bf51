"""What a container around this service withholds that sandboxes need, and the flags that give it.

Read from the kernel's own files, nothing is tried. What each flag costs is in docs/deploy.md.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from execbox_service.engines.base import Lacking

CAPABILITIES: Final = (
    "start its container with --cap-add SETUID --cap-add SETGID "
    "(Kubernetes: securityContext.capabilities.add)"
)
PROC: Final = (
    "start its container with --security-opt systempaths=unconfined (Podman: --security-opt "
    "unmask=ALL; Kubernetes: hostUsers: false with securityContext.procMount: Unmasked)"
)
SECCOMP: Final = (
    "start its container with --security-opt seccomp=deploy/seccomp.json (Kubernetes: "
    "securityContext.seccompProfile of type Localhost)"
)
APPARMOR: Final = (
    "start its container with --security-opt apparmor=unconfined (Kubernetes: "
    "securityContext.appArmorProfile of type Unconfined)"
)
SELINUX: Final = (
    "start its container with --security-opt label=disable (Kubernetes: securityContext."
    "seLinuxOptions with a type that may mount)"
)
CGROUPS_V2: Final = (
    "start its container with --security-opt writable-cgroups=true (Docker 28 or newer; "
    "Kubernetes: a runtime class for which containerd has cgroup_writable = true, or on CRI-O the "
    "annotation io.kubernetes.cri-o.cgroup2-mount-hierarchy-rw)"
)
CGROUPS_V1: Final = (
    "start its container with --volume /sys/fs/cgroup/NAME/execbox:/sys/fs/cgroup/NAME for each "
    "NAME of memory, pids, cpu and cpuacct"
)
_CAP_SETGID, _CAP_SETUID = 6, 7
# Mounted below /proc on every machine; the kernel lets such empty places be.
_HARMLESS_BELOW_PROC: Final = ("/proc/sys/fs/binfmt_misc",)


def withheld() -> list[Lacking]:
    """What is certain to be in the way of sandboxes here."""
    found = []
    if os.geteuid() == 0 and not may_map_ids(_status()["CapEff"]):
        text = "this service may not map user ids: the capabilities SETUID and SETGID are dropped"
        found.append(Lacking(text, remedy=CAPABILITIES))
    masks = masked_below_proc(Path("/proc/self/mountinfo").read_text("utf-8"))
    if masks:
        text = (
            f"parts of /proc are masked here ({', '.join(masks[:3])} and so on), and then the "
            "kernel lets no sandbox have a /proc of its own"
        )
        found.append(Lacking(text, remedy=PROC))
    return found


def suspects() -> list[str]:
    """Flags for what may be in the way, where the kernel refuses something: known after trying."""
    found = []
    if _status()["Seccomp"] != "0":
        found.append(SECCOMP)
    label = ""
    with contextlib.suppress(OSError):
        label = Path("/proc/self/attr/current").read_text("utf-8").strip("\0 \n")
    if label.endswith("(enforce)"):
        found.append(f"{APPARMOR}, which now has the profile {label.split()[0]}")
    elif label.count(":") >= 3 and ":unconfined_t:" not in label:
        found.append(f"{SELINUX}, which now has the label {label}")
    return found


def may_map_ids(effective: str) -> bool:
    """Whether a set of capabilities, in hexadecimal, has SETUID and SETGID."""
    wanted = 1 << _CAP_SETUID | 1 << _CAP_SETGID
    return int(effective, 16) & wanted == wanted


def masked_below_proc(mountinfo: str) -> list[str]:
    """What hides parts of /proc, unless a whole one is mounted somewhere: the kernel's own rule."""
    whole, points = [], []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        root, point = before.split()[3:5]
        points.append(point)
        if after.split()[0] == "proc" and root == "/":
            whole.append(point)
    masks = {
        proc: [
            point
            for point in points
            if point.startswith(f"{proc}/") and point not in _HARMLESS_BELOW_PROC
        ]
        for proc in whole
    }
    return min(masks.values(), key=len, default=[])


def _status() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
