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
_DO_NOTHING = _ERRNO | 0
"""The call is not made and returns 0, as if it had been: where that is what making it would do."""
_LOAD_WORD = 0x20
_JUMP_EQUAL = 0x15
_JUMP_GREATER_EQUAL = 0x35
_JUMP_ANY_BIT = 0x45
_RETURN = 0x06
_OFFSET_NUMBER, _OFFSET_ARCH, _OFFSET_ARG0 = 0, 4, 16

_JUMP_MAX = 255

# linux/sched.h, linux/close_range.h
_CLONE_FILES, _CLONE_PARENT, _CLONE_THREAD = 0x00000400, 0x00008000, 0x00010000
_CLOSE_RANGE_UNSHARE = 2
# asm-generic/fcntl.h, linux/fcntl.h, linux/fadvise.h, linux/fs.h
_O_DIRECT = {"x86_64": 0o40000, "aarch64": 0o200000}
_F_SETFL, _F_GETLK, _F_SETLK, _F_SETLKW = 4, 5, 6, 7
_F_OFD_GETLK, _F_OFD_SETLK, _F_OFD_SETLKW = 36, 37, 38
_F_SETLEASE, _F_NOTIFY = 1024, 1026
_FADV_DONTNEED = 4
_RWF_DONTCACHE = 0x80
# asm-generic/ioctls.h: feeding and converting terminals
_TIOCSTI, _TIOCLINUX, _TIOCSETD = 0x5412, 0x541C, 0x5423
# linux/socket.h, asm-generic/socket.h: buffers and time limits, the latter for both sizes of time
_AF_UNIX = 1
_SOL_SOCKET = 1
_SOCKET_OPTIONS_ALLOWED = (7, 8, 20, 21, 66, 67)

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
_NOT_DONE = ("fsync", "fdatasync", "sync_file_range", "msync")
"""What a job can write to is memory. Of other files these would have the machine's disk flushed,
as often as somebody asks."""
_PRCTL_ALLOWED = (
    2,  # PR_GET_PDEATHSIG
    3,  # PR_GET_DUMPABLE
    15,  # PR_SET_NAME: threads name themselves
    16,  # PR_GET_NAME
    21,  # PR_GET_SECCOMP
    39,  # PR_GET_NO_NEW_PRIVS
    0x53564D41,  # PR_SET_VMA: the allocator labels its mappings
)


def build(*, syscalls_path: str, allow_processes: bool, files_shared: bool) -> bytes:
    """Assemble the filter: an array of ``struct sock_filter``.

    With ``files_shared`` some files that a job can open are the machine's own, or another
    sandbox's. A call of a foreign architecture kills the process; a denied one fails with EPERM;
    clone3 and openat2 fail with ENOSYS, so that libraries fall back to calls whose arguments a
    filter can read.
    """
    with open(syscalls_path, "rb") as file:
        numbers: dict[str, int] = json.load(file)
    blocks = _blocks(allow_processes=allow_processes, files_shared=files_shared)
    program = [
        _load(_OFFSET_ARCH),
        _jump(_JUMP_EQUAL, _AUDIT_ARCH[platform.machine()], if_true=1, if_false=0),
        _return(_KILL_PROCESS),
        _load(_OFFSET_NUMBER),
        _jump(_JUMP_GREATER_EQUAL, _X32_BIT, if_true=0, if_false=1),
        _return(_KILL_PROCESS),
        *_search(_ranges({numbers[name]: blocks[name] for name in blocks if name in numbers})),
    ]
    return b"".join(program)


_Block = tuple[bytes, ...]
"""Instructions that end in a return: what is done with one system call."""


def _blocks(*, allow_processes: bool, files_shared: bool) -> dict[str, _Block]:
    """What is done with every call that is not simply allowed."""
    denied = _DENIED if allow_processes else _DENIED + _NEW_PROCESS
    if files_shared:
        denied = (*denied, "flock")
    deny, do_nothing, unknown = (_return(_DENY),), (_return(_DO_NOTHING),), _ERRNO | errno.ENOSYS
    return {
        **dict.fromkeys(denied, deny),
        **dict.fromkeys(_NOT_DONE, do_nothing),
        "clone3": (_return(unknown),),
        "openat2": (_return(unknown),),
        **_on_processes(allow_processes=allow_processes),
        **_on_files(allow_processes=allow_processes, files_shared=files_shared),
        **_on_sockets(),
    }


def _on_processes(*, allow_processes: bool) -> dict[str, _Block]:
    # The limit on open files is one for each table of them: every thread has its process's.
    clone: _Block = (*_unless_any_bit(0, _CLONE_FILES, _DENY), _return(_ALLOW))
    if allow_processes:
        # A child of the zygote's would stay a zombie that nobody knows of: CLONE_PARENT makes one.
        own_table = _unless_any_bit(0, _CLONE_THREAD, _ALLOW)
        clone = (*_if_any_bit(0, _CLONE_PARENT, _DENY), *own_table, *clone)
    else:
        clone = (*_unless_any_bit(0, _CLONE_THREAD, _DENY), *clone)
    return {
        "clone": clone,
        "close_range": (*_if_any_bit(2, _CLOSE_RANGE_UNSHARE, _DENY), _return(_ALLOW)),
        "prctl": (*_if_one_of(0, _PRCTL_ALLOWED, _ALLOW), _return(_DENY)),
    }


def _on_files(*, allow_processes: bool, files_shared: bool) -> dict[str, _Block]:
    """Locks without end, the machine's disk and page cache, and other people's reading."""
    o_direct = _O_DIRECT[platform.machine()]
    allow = _return(_ALLOW)
    # The kernel counts no lock as anybody's memory. A process never waits for its own locks, so
    # that one that has no other process to lock against cannot tell that it has none; those of open
    # files (OFD) can be in each other's way.
    lock = _DENY if allow_processes else _DO_NOTHING
    denied: tuple[int, ...] = (_F_OFD_GETLK, _F_OFD_SETLK, _F_OFD_SETLKW, _F_SETLEASE, _F_NOTIFY)
    if files_shared:
        # It would tell of the machine's own locks.
        denied = (*denied, _F_GETLK)
    commands = (*_if_one_of(1, denied, _DENY), *_if_one_of(1, (_F_SETLK, _F_SETLKW), lock))
    set_flags = (*_if_not(1, _F_SETFL, _ALLOW), *_if_any_bit(2, o_direct, _DENY), allow)
    return {
        "open": (*_if_any_bit(1, o_direct, _DENY), allow),
        "openat": (*_if_any_bit(2, o_direct, _DENY), allow),
        "fcntl": (*commands, *set_flags),
        "fadvise64": (*_if_one_of(3, (_FADV_DONTNEED,), _DENY), allow),
        "preadv2": (*_if_any_bit(5, _RWF_DONTCACHE, _DENY), allow),
        "pwritev2": (*_if_any_bit(5, _RWF_DONTCACHE, _DENY), allow),
        "ioctl": (*_if_one_of(1, (_TIOCSTI, _TIOCLINUX, _TIOCSETD), _DENY), allow),
    }


def _on_sockets() -> dict[str, _Block]:
    """Pairs of this family, and of their options the few that hold no kernel memory."""
    options = _if_one_of(2, _SOCKET_OPTIONS_ALLOWED, _ALLOW)
    return {
        "socketpair": (*_if_one_of(0, (_AF_UNIX,), _ALLOW), _return(_DENY)),
        "setsockopt": (*_if_not(1, _SOL_SOCKET, _DENY), *options, _return(_DENY)),
    }


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


# Parts of a block: a test of one argument, by its place, and what is done if it holds; else the
# block goes on behind it. The kernel takes all of these arguments for 32 bits, as is done here.


def _if_one_of(place: int, values: tuple[int, ...], action: int) -> _Block:
    last = len(values) - 1
    tests = [
        _jump(_JUMP_EQUAL, value, last - index, 1 if index == last else 0)
        for index, value in enumerate(values)
    ]
    return (_load(_argument(place)), *tests, _return(action))


def _if_not(place: int, value: int, action: int) -> _Block:
    return (_load(_argument(place)), _jump(_JUMP_EQUAL, value, 1, 0), _return(action))


def _if_any_bit(place: int, bits: int, action: int) -> _Block:
    return (_load(_argument(place)), _jump(_JUMP_ANY_BIT, bits, 0, 1), _return(action))


def _unless_any_bit(place: int, bits: int, action: int) -> _Block:
    return (_load(_argument(place)), _jump(_JUMP_ANY_BIT, bits, 1, 0), _return(action))


def _argument(place: int) -> int:
    return _OFFSET_ARG0 + 8 * place


def _load(offset: int) -> bytes:
    return struct.pack("=HBBI", _LOAD_WORD, 0, 0, offset)


def _jump(test: int, value: int, if_true: int, if_false: int) -> bytes:
    return struct.pack("=HBBI", test, if_true, if_false, value)


def _return(action: int) -> bytes:
    return struct.pack("=HBBI", _RETURN, 0, 0, action)
