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
_DENY = _ERRNO | errno.EPERM
_LOAD_WORD = 0x20
_JUMP_EQUAL = 0x15
_JUMP_GREATER_EQUAL = 0x35
_JUMP_ANY_BIT = 0x45
_RETURN = 0x06
_OFFSET_NUMBER, _OFFSET_ARCH, _OFFSET_ARG0 = 0, 4, 16

_JUMP_MAX = 255

_CLONE_PARENT, _CLONE_THREAD = 0x00008000, 0x00010000
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
    program = [
        _load(_OFFSET_ARCH),
        _jump(_JUMP_EQUAL, _AUDIT_ARCH[platform.machine()], if_true=1, if_false=0),
        _return(_KILL_PROCESS),
        _load(_OFFSET_NUMBER),
        _jump(_JUMP_GREATER_EQUAL, _X32_BIT, if_true=0, if_false=1),
        _return(_KILL_PROCESS),
        *_search(_ranges(_blocks(numbers, allow_processes=allow_processes))),
    ]
    return b"".join(program)


_Block = tuple[bytes, ...]
"""Instructions that end in a return: what is done with one system call."""


def _blocks(numbers: dict[str, int], *, allow_processes: bool) -> dict[int, _Block]:
    """What is done with every call that is not simply allowed, by number."""
    denied = _DENIED if allow_processes else _DENIED + _NEW_PROCESS
    blocks: dict[int, _Block] = {
        numbers[name]: (_return(_DENY),) for name in denied if name in numbers
    }
    blocks[numbers["clone3"]] = (_return(_ERRNO | errno.ENOSYS),)
    blocks[numbers["socketpair"]] = _if_argument(_jump(_JUMP_EQUAL, _AF_UNIX, 1, 0))
    options = enumerate(_PRCTL_ALLOWED)
    last = len(_PRCTL_ALLOWED)
    blocks[numbers["prctl"]] = _if_argument(
        *(_jump(_JUMP_EQUAL, option, last - index, 0) for index, option in options)
    )
    # A child of the zygote's would stay a zombie that nobody knows of: CLONE_PARENT makes one.
    clone = _jump(_JUMP_ANY_BIT, _CLONE_PARENT, 0, 1)
    if not allow_processes:
        clone = _jump(_JUMP_ANY_BIT, _CLONE_THREAD, 1, 0)
    blocks[numbers["clone"]] = _if_argument(clone)
    return blocks


def _ranges(blocks: dict[int, _Block]) -> list[tuple[int, _Block]]:
    """Neighbouring numbers with the same block as one range, given by its first number."""
    allow: _Block = (_return(_ALLOW),)
    ranges: list[tuple[int, _Block]] = []
    for number in range(max(blocks) + 2):
        block = blocks.get(number, allow)
        if not ranges or ranges[-1][1] != block:
            ranges.append((number, block))
    return ranges


def _search(ranges: list[tuple[int, _Block]]) -> list[bytes]:
    """A binary search over the ranges.

    When a filter is installed, the kernel runs it once for every number there is, to know which
    calls it always allows: a list of comparisons made that 0.8 ms of each fork, this is 0.3.
    """
    if len(ranges) == 1:
        return list(ranges[0][1])
    middle = len(ranges) // 2
    below, above = _search(ranges[:middle]), _search(ranges[middle:])
    if len(below) > _JUMP_MAX:
        raise ValueError(f"a jump over {len(below)} instructions, at most {_JUMP_MAX} are possible")
    return [_jump(_JUMP_GREATER_EQUAL, ranges[middle][0], len(below), 0), *below, *above]


def _if_argument(*tests: bytes) -> _Block:
    """Look at a call's first argument: a test that holds jumps over the refusal."""
    return (_load(_OFFSET_ARG0), *tests, _return(_DENY), _return(_ALLOW))


def _load(offset: int) -> bytes:
    return struct.pack("=HBBI", _LOAD_WORD, 0, 0, offset)


def _jump(test: int, value: int, if_true: int, if_false: int) -> bytes:
    return struct.pack("=HBBI", test, if_true, if_false, value)


def _return(action: int) -> bytes:
    return struct.pack("=HBBI", _RETURN, 0, 0, action)
