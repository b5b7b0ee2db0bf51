"""The job's own system-call filter, as a classic BPF program. Data and assembly, no side effects.

It lies on top of the container's profile, which is an allow-list (``seccomp.json``): what is not on
that list never arrives here. This filter takes away what the supervisor and the zygotes need and
a job must not have: new processes, exec, sockets, other processes' memory.

Numbers come from the image's own kernel headers (``syscalls.json``, made when it is built), so the
filter is right on every architecture that the image is built for.
"""

from __future__ import annotations

import errno
import json
import platform
import struct

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000

# linux/seccomp.h and linux/bpf_common.h
_ALLOW = 0x7FFF0000
_KILL_PROCESS = 0x80000000
_ERRNO = 0x00050000
_LOAD_WORD = 0x20
_JUMP_EQUAL = 0x15
_JUMP_GREATER_EQUAL = 0x35
_JUMP_ANY_BIT = 0x45
_RETURN = 0x06
_OFFSET_NUMBER, _OFFSET_ARCH, _OFFSET_ARG0 = 0, 4, 16

_CLONE_THREAD = 0x00010000
_AF_UNIX = 1

_NEW_PROCESS = ("fork", "vfork", "execve", "execveat")
_DENIED = (
    # Sockets: socketpair stays, asyncio needs it, and is limited to AF_UNIX below.
    *("socket", "connect", "bind", "listen", "accept", "accept4"),
    # Other processes: memory, descriptors, signals by descriptor, comparison.
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease"),
    *("pidfd_open", "pidfd_getfd", "pidfd_send_signal", "kcmp"),
    # Identity and namespaces: the capabilities are gone already; this is the second lock.
    *("setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups"),
    *("setfsuid", "setfsgid", "capset", "unshare", "setns", "chroot", "pivot_root"),
    *("mount", "umount2", "mount_setattr", "fsopen", "fsconfig", "fsmount", "fspick"),
    *("move_mount", "open_tree", "name_to_handle_at", "open_by_handle_at"),
    # Kernel objects that outlive a process.
    *("shmget", "shmat", "shmctl", "shmdt", "msgget", "msgsnd", "msgrcv", "msgctl"),
    *("semget", "semop", "semtimedop", "semctl", "mq_open", "mq_unlink", "add_key"),
    *("request_key", "keyctl"),
    # Large kernel surface that no function needs.
    *("io_uring_setup", "io_uring_enter", "io_uring_register", "bpf", "perf_event_open"),
    *("userfaultfd", "fanotify_init", "inotify_init", "inotify_init1", "seccomp", "personality"),
    *("modify_ldt", "iopl", "ioperm", "syslog", "acct", "quotactl", "swapon", "swapoff"),
    *("reboot", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module"),
    *("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname"),
    *("setdomainname", "vhangup", "mbind", "set_mempolicy", "migrate_pages", "move_pages"),
    *("memfd_secret", "landlock_create_ruleset", "lookup_dcookie", "mknod", "mknodat"),
    # Scheduling: nobody gains priority without a capability, but nobody needs to try either.
    *("sched_setscheduler", "sched_setparam", "sched_setattr", "ioprio_set"),
)
_PRCTL_ALLOWED = (
    2,  # PR_GET_PDEATHSIG
    3,  # PR_GET_DUMPABLE
    15,  # PR_SET_NAME: threads name themselves
    16,  # PR_GET_NAME
    21,  # PR_GET_SECCOMP
    39,  # PR_GET_NO_NEW_PRIVS
    0x53564D41,  # PR_SET_VMA: the allocator labels its mappings
)


def build(*, syscalls_path: str, allow_processes: bool) -> bytes:
    """Assemble the filter: an array of ``struct sock_filter``.

    A call of a foreign architecture kills the process; a denied one fails with EPERM; clone3
    fails with ENOSYS, so that libc falls back to clone, whose flags a filter can read.
    """
    with open(syscalls_path, "rb") as file:
        numbers: dict[str, int] = json.load(file)
    deny = _return(_ERRNO | errno.EPERM)
    program = [
        _load(_OFFSET_ARCH),
        _jump(_JUMP_EQUAL, _AUDIT_ARCH[platform.machine()], if_true=1, if_false=0),
        _return(_KILL_PROCESS),
        _load(_OFFSET_NUMBER),
        _jump(_JUMP_GREATER_EQUAL, _X32_BIT, if_true=0, if_false=1),
        _return(_KILL_PROCESS),
    ]
    denied = _DENIED if allow_processes else _DENIED + _NEW_PROCESS
    # Two instructions a number: a jump's offset is one byte, so the target must stay near.
    for name in denied:
        if name in numbers:
            program += [_jump(_JUMP_EQUAL, numbers[name], if_true=0, if_false=1), deny]
    if not allow_processes:
        program += _with_argument(numbers["clone"], [_jump(_JUMP_ANY_BIT, _CLONE_THREAD, 1, 0)])
    no_system_call = _return(_ERRNO | errno.ENOSYS)
    program += [_jump(_JUMP_EQUAL, numbers["clone3"], if_true=0, if_false=1), no_system_call]
    program += _with_argument(numbers["socketpair"], [_jump(_JUMP_EQUAL, _AF_UNIX, 1, 0)])
    allowed = _PRCTL_ALLOWED
    last = len(allowed)
    program += _with_argument(
        numbers["prctl"],
        [_jump(_JUMP_EQUAL, option, last - i, 0) for i, option in enumerate(allowed)],
    )
    program.append(_return(_ALLOW))
    return b"".join(program)


def _with_argument(number: int, tests: list[bytes]) -> list[bytes]:
    """For one call, look at its first argument: a test that holds jumps over the EPERM."""
    body = [_load(_OFFSET_ARG0), *tests, _return(_ERRNO | errno.EPERM), _return(_ALLOW)]
    return [_jump(_JUMP_EQUAL, number, if_true=0, if_false=len(body)), *body]


def _load(offset: int) -> bytes:
    return struct.pack("=HBBI", _LOAD_WORD, 0, 0, offset)


def _jump(test: int, value: int, if_true: int, if_false: int) -> bytes:
    return struct.pack("=HBBI", test, if_true, if_false, value)


def _return(action: int) -> bytes:
    return struct.pack("=HBBI", _RETURN, 0, 0, action)
