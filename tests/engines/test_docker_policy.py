"""The isolation policy of a container: every option, read back from the engine's arguments."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from execbox_service.engines.bubblewrap import seccomp_bpf
from execbox_service.engines.container_spec import ContainerSpec, container_spec
from execbox_service.engines.docker.policy import (
    container_options,
    host_config,
    system_call_profile,
)
from execbox_service.settings import load_settings
from tests.bpf_machine import ALLOW, DENY, run

IMAGE = Path(__file__).resolve().parents[2] / "sandbox-image"
SPEC = ContainerSpec(
    image="image",
    instance="host:1",
    docker_host=None,
    oci_runtime=None,
    cpu_count=1.5,
    memory_mb=512,
    runner_allowance_mb=128,
    tmp_mb=64,
    tmp_inode_count=4096,
    pid_count=128,
    open_file_count=256,
)


def asked_of_the_daemon() -> dict[str, Any]:
    """What the daemon is sent, made by the SDK from our options."""
    import docker

    client = docker.APIClient(base_url="http://127.0.0.1:9", version="1.41")
    config = host_config(client, SPEC)
    client.close()
    return config


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NetworkMode", "none"),
        ("ReadonlyRootfs", True),
        ("CapDrop", ["ALL"]),
        ("CapAdd", ["SETUID", "SETGID", "KILL"]),
        ("Memory", 640 * 2**20),
        ("MemorySwap", 640 * 2**20),
        ("NanoCpus", 1_500_000_000),
        ("PidsLimit", 128),
        ("LogConfig", {"Type": "none", "Config": {}}),
        ("IpcMode", "private"),
        ("ShmSize", 2**20),
        ("AutoRemove", True),
        ("Privileged", None),
        ("Binds", None),
        ("Mounts", None),
        ("Devices", None),
        ("PidMode", None),
        ("UsernsMode", None),
        ("UTSMode", None),
        ("VolumesFrom", None),
        ("ExtraHosts", None),
        ("PortBindings", None),
        ("GroupAdd", None),
        ("DeviceCgroupRules", None),
        ("Sysctls", None),
        ("Runtime", None),
        ("OomKillDisable", None),
    ],
)
def test_option_is_what_the_policy_says(name: str, value: object) -> None:
    """Each protection is asked for, and nothing that would take one away is."""
    found = asked_of_the_daemon().get(name)
    assert (found or None) == (value or None)


def test_option_security_is_no_new_privileges_and_our_own_profile() -> None:
    """The profile goes inline, so that a remote daemon needs no file of ours."""
    no_new_privileges, profile = asked_of_the_daemon()["SecurityOpt"]
    assert no_new_privileges == "no-new-privileges"
    name, _, text = profile.partition("=")
    assert name == "seccomp"
    policy = json.loads(text)
    assert policy["defaultAction"] == "SCMP_ACT_ERRNO"


def test_option_ulimits_bound_what_outlives_or_hides() -> None:
    """Core files, stacks, descriptors, queues, locked memory, queued signals."""
    found = {
        limit["Name"]: (limit["Soft"], limit["Hard"]) for limit in asked_of_the_daemon()["Ulimits"]
    }
    assert found == {
        "core": (1, 1),
        "stack": (64 * 2**20, -1),
        "nofile": (256, 256),
        "msgqueue": (0, 0),
        "memlock": (0, 0),
        "sigpending": (256, 256),
    }


@pytest.mark.parametrize(
    ("path", "sizes"),
    [
        ("/tmp", {"size=64m", "nr_inodes=4096"}),
        ("/dev/shm", {"size=1m", "nr_inodes=1024"}),
    ],
)
def test_option_tmpfs_is_small_in_bytes_and_files_and_runs_nothing(
    path: str, sizes: set[str]
) -> None:
    """The two directories that jobs can write to; the daemon's own /dev/shm has no inode limit."""
    found = asked_of_the_daemon()["Tmpfs"]
    assert set(found) == {"/tmp", "/dev/shm"}
    assert {"noexec", "nosuid", "nodev", *sizes} <= set(found[path].split(","))


def test_option_masks_what_the_daemon_would_and_the_tables_of_all_containers() -> None:
    """Asking for paths replaces the daemon's own list, which must therefore be in it."""
    masked = set(asked_of_the_daemon()["MaskedPaths"])
    assert {"/proc/keys", "/proc/kcore", "/proc/timer_list", "/sys/firmware"} <= masked
    assert {"/proc/locks", "/proc/interrupts", "/proc/schedstat"} <= masked
    assert {"/sys/block", "/sys/devices", "/sys/kernel", "/proc/cgroups", "/dev/pts"} <= masked
    # The supervisor reads its container's counters there.
    assert not any("/sys/fs/cgroup".startswith(path) for path in masked)


STREAM, DATAGRAM, RAW, SEQUENCED, CLOEXEC = 1, 2, 3, 5, 0o2000000


@pytest.mark.parametrize("shared_network", [False, True])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_profile_lets_no_datagram_be_sent_where_the_network_is_shared(
    machine: str, shared_network: bool
) -> None:
    """A datagram goes to any name, without connecting: in a namespace of others, to theirs."""
    numbers = json.loads((IMAGE / f"syscalls-{machine}.json").read_text("ascii"))
    profile = system_call_profile(shared_network=shared_network)
    program = seccomp_bpf.compile_profile(profile, machine=machine, numbers=numbers)

    def answer(name: str, *arguments: int) -> int:
        architecture = seccomp_bpf.AUDIT_ARCHITECTURES[machine]
        return run(program, number=numbers[name], architecture=architecture, arguments=arguments)

    refused = DENY | errno.EPERM
    for kind in (STREAM, SEQUENCED):
        assert answer("socketpair", 1, kind) == answer("socketpair", 1, kind | CLOEXEC) == ALLOW
    for kind in (DATAGRAM, RAW):
        assert answer("socketpair", 1, kind) == (refused if shared_network else ALLOW)
        assert answer("socketpair", 1, kind | CLOEXEC) == (refused if shared_network else ALLOW)
    # Files of /etc are the network's, and so are locks on them.
    assert answer("flock", 3, 2) == (refused if shared_network else ALLOW)
    assert answer("openat", 0, 0) == answer("sendmsg", 3, 0) == ALLOW
    assert answer("socket", 1, STREAM) == refused


NEVER_ALLOWED = {
    "socket", "connect", "bind", "listen", "accept", "ptrace", "process_vm_readv", "mount",
    "umount2", "process_vm_writev", "unshare", "setns", "pivot_root", "chroot", "bpf",
    "perf_event_open", "io_uring_setup", "userfaultfd", "keyctl", "add_key", "request_key",
    "kexec_load", "init_module", "finit_module", "delete_module", "open_by_handle_at",
    "name_to_handle_at", "shmget", "msgget", "semget", "mq_open", "personality", "modify_ldt",
    "iopl", "ioperm", "reboot", "swapon", "acct", "settimeofday", "clock_settime", "adjtimex",
    "sethostname", "quotactl", "syslog", "pidfd_getfd", "fanotify_init", "lookup_dcookie",
    "vhangup", "kcmp", "mbind", "move_pages", "migrate_pages", "sched_setscheduler",
    "ioprio_set", "io_setup", "process_madvise", "memfd_secret", "fsopen", "move_mount",
    "open_tree", "landlock_create_ruleset", "uselib", "ustat", "sysfs", "nfsservctl",
}  # fmt: skip


def test_profile_allows_nothing_that_no_function_needs() -> None:
    """An allow-list: what is dangerous is simply not on it."""
    _, profile = asked_of_the_daemon()["SecurityOpt"]
    rules = json.loads(profile.partition("=")[2])["syscalls"]
    allowed = {
        name for rule in rules if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]
    }
    assert allowed & NEVER_ALLOWED == set()
    assert {"read", "write", "clone", "futex", "execve"} <= allowed


def test_spec_takes_everything_from_settings_and_nothing_from_requests() -> None:
    """F12: what a container gets is the operator's choice."""
    settings = load_settings(
        {
            "host": "127.0.0.1",
            "port": "4711",
            "image": "other",
            "oci_runtime": "runsc",
            "docker_host": "tcp://host:1",
            "container_cpu_count": "2.5",
            "tmp_mb": "9",
            "tmp_inode_count": "77",
            "pid_count": "33",
            "open_file_count": "44",
            "runner_allowance_mb": "55",
            "memory_mb_max": "100",
        }
    )
    assert container_spec(settings) == ContainerSpec(
        image="other",
        instance="127.0.0.1:4711",
        docker_host="tcp://host:1",
        oci_runtime="runsc",
        cpu_count=2.5,
        memory_mb=100,
        runner_allowance_mb=55,
        tmp_mb=9,
        tmp_inode_count=77,
        pid_count=33,
        open_file_count=44,
    )
    assert container_options(container_spec(settings))["runtime"] == "runsc"
