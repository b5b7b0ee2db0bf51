"""Each protection taken away by itself: the attack then succeeds, or the self-test names it.

So none of them is decoration, and each test of an attack elsewhere can fail.
"""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from harness.attacks.attack import LIMITS, Attack
from harness.attacks.lists import CLASSES
from harness.docker_daemon import docker_client

from execbox.wire import Status
from execbox_service.engines.container_spec import ContainerSpec
from execbox_service.engines.docker.policy import container_options
from execbox_service.failures import ServiceFailure
from tests.sandbox.protections import (
    CONFINE,
    FAMILY_NOT_ENDED,
    NO_DEADLINE,
    NO_FILTER,
    NO_IDENTITY,
    NO_SECCOMP,
    NOT_CLEANED,
    OPEN_DESCRIPTORS,
    SUPERVISOR,
)
from tests.weakened import Edits, weakened

pytestmark = pytest.mark.docker

ATTACKS = {attack.name: attack for attacks in CLASSES.values() for attack in attacks}
DEFAULT_SECCOMP: list[str] = ["no-new-privileges"]
OURS = container_options(ContainerSpec("", "", None, None, 1, 512, 128, 64, 4096, 128, 256))[
    "security_opt"
][1]
TMP = "rw,mode=1777,size=64m,nr_inodes=4096"


def attack(name: str) -> Attack:
    """One of our attack programs."""
    return ATTACKS[name]


async def test_control_of_the_controls_an_unchanged_sandbox_lacks_nothing() -> None:
    """With nothing taken away the self-test finds nothing, and the attack fails."""
    async with weakened() as sandboxes:
        assert await sandboxes.missing() == ""
        ended = await sandboxes.call(attack("inherited descriptors").code)
        assert (ended.status, ended.output) == (Status.OK, [])


async def test_control_of_the_controls_a_mounted_runner_is_the_runner() -> None:
    """Mounting an edited copy changes nothing by itself."""
    edits: Edits = {"job.py": (('MODULE_NAME = "solution"', 'MODULE_NAME = "edited"'),)}
    async with weakened(edits=edits) as sandboxes:
        assert await sandboxes.missing() == ""
        assert (await sandboxes.call("def main_solution(): return __name__")).output == "edited"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"ReadonlyRootfs": False}, "the root file system is read-only"),
        ({"CapDrop": []}, "only SETUID, SETGID and KILL"),
        ({"SecurityOpt": [OURS]}, "no_new_privs is set for the container"),
        (NO_SECCOMP, "has a seccomp profile"),
        ({"SecurityOpt": DEFAULT_SECCOMP}, "system-call profile is ours"),
        ({"Memory": 2**31, "MemorySwap": 2**31}, "the memory limit is"),
        ({"PidsLimit": 0}, "the number of processes is limited"),
        ({"Ulimits": [{"Name": "core", "Soft": 1, "Hard": 1}]}, "at most 256 open files"),
        ({"Ulimits": [{"Name": "nofile", "Soft": 256, "Hard": 256},
                      {"Name": "core", "Soft": -1, "Hard": -1}]}, "no core dumps"),
        ({"Tmpfs": {"/tmp": TMP}}, None),
        ({"Tmpfs": {"/tmp": TMP + ",exec"}}, "nothing in /tmp and /dev/shm can be run"),
    ],
)  # fmt: skip
async def test_container_without_an_option_is_refused_by_the_self_test(
    options: dict[str, Any], named: str | None
) -> None:
    """Each option left out is missed, by name."""
    async with weakened(options=options) as sandboxes:
        missing = await sandboxes.missing()
    assert (named or "") in missing
    assert bool(missing) is (named is not None)


async def test_container_with_a_network_is_refused_by_the_self_test() -> None:
    """An interface beside loopback is seen, from inside the job as well."""
    with docker_client() as client:
        # Of a daemon that was started without a bridge, one of this name is empty.
        if [each["Driver"] for each in client.networks(names=["bridge"])] != ["bridge"]:
            pytest.skip("this daemon has no bridge network")
    with contextlib.suppress(ServiceFailure):
        async with weakened(options={"NetworkMode": "bridge"}) as sandboxes:
            missing = await sandboxes.missing()
            if "no sandbox can be made" in missing:
                pytest.skip("this daemon has no bridge network")
            assert "no network interface but loopback" in missing
            ended = await sandboxes.call(attack("interfaces and neighbours").code)
            assert ended.output


@pytest.mark.parametrize(
    ("edits", "named"),
    [
        (NO_FILTER, "fork is refused"),
        (NO_IDENTITY, "user ids are the job's own"),
        (OPEN_DESCRIPTORS, "one descriptor beside the standard three"),
        (
            {CONFINE: (("_setgroups(())", "_setgroups((0, 1))"),)},
            "no supplementary groups",
        ),
    ],
)
async def test_job_without_a_step_is_refused_by_the_self_test(edits: Edits, named: str) -> None:
    """Each step between fork and user code is missed, by name."""
    async with weakened(edits=edits) as sandboxes:
        assert named in await sandboxes.missing()


@pytest.mark.parametrize(
    ("name", "edits", "options"),
    [
        ("every way to make a process", NO_FILTER, None),
        ("its own protections undone", NO_FILTER, None),
        ("inherited descriptors", OPEN_DESCRIPTORS, None),
        ("another identity", NO_IDENTITY, None),
        ("other processes: signals, memory, descriptors, limits", NO_IDENTITY, None),
        (
            "sockets of every family",
            NO_FILTER,
            NO_SECCOMP,
        ),
        (
            "a kernel object that outlives its maker",
            NO_FILTER,
            NO_SECCOMP,
        ),
        (
            "dangerous system calls by number",
            NO_FILTER,
            NO_SECCOMP,
        ),
        # Not without any limit: removing half a million files takes as long as all tests here.
        ("inodes without end", None, {"Tmpfs": {"/tmp": "rw,mode=1777,size=64m,nr_inodes=20k"}}),
        (
            "every writable directory filled",
            {CONFINE: (("_TMP_BYTES = 64 *", "_TMP_BYTES = 1024 *"),)},
            {"Tmpfs": {"/tmp": "rw,mode=1777,size=300m"}},
        ),
        ("threads without end", None, {"PidsLimit": 0}),
        ("inodes of /dev/shm without end", None, {"Tmpfs": {"/tmp": TMP}}),
        ("kernel memory in locks on ranges of a file", NO_FILTER, None),
        ("kernel memory in programs attached to sockets", NO_FILTER, None),
        ("a table of open files for each thread", NO_FILTER, None),
        ("the disk behind the page cache", NO_FILTER, None),
        ("notices of what others read and open", NO_FILTER, None),
        ("a terminal of its own", None, {"MaskedPaths": []}),
        ("the machine's own tables, by every door", None, {"MaskedPaths": []}),
        (
            "a core for the machine's handler",
            {CONFINE: (("resource.setrlimit(resource.RLIMIT_CORE, (1, 1))", "pass"),)},
            {"Ulimits": [{"Name": "nofile", "Soft": 256, "Hard": 256}]},
        ),
    ],
)
async def test_attack_succeeds_where_its_protection_is_missing(
    name: str, edits: Edits | None, options: dict[str, Any] | None
) -> None:
    """The attack that fails everywhere else achieves something here."""
    program = attack(name)
    async with weakened(edits=edits, options=options) as sandboxes:
        try:
            ended = await sandboxes.call(program.code, limits=LIMITS.model_dump())
        except ServiceFailure:
            return  # it took the trusted processes with it
    as_it_should = ended.status.value in program.statuses and (
        ended.status is not Status.OK or ended.output == program.output
    )
    assert not as_it_should, ended


async def test_files_stay_where_nobody_removes_them() -> None:
    """Without cleaning and without looking, the next job finds what the last one left."""
    async with weakened(edits=NOT_CLEANED) as sandboxes:
        executions = await sandboxes.calls(attack("a meeting place").code, [], [])
    assert executions[1].output != []


async def test_container_is_replaced_where_cleaning_does_nothing() -> None:
    """Without cleaning, but looking: what is left is noticed, and nobody else meets it."""
    edits: Edits = {
        "residue.py": (("    uid = os.getuid()\n", "    return\n    uid = os.getuid()\n"),)
    }
    async with weakened(edits=edits) as sandboxes:
        executions = await sandboxes.calls(attack("a meeting place").code, [], [])
    assert [execution.output for execution in executions] == [[], []]


async def test_background_processes_stay_where_nobody_ends_them() -> None:
    """Without ending a job's family its daemon is still there for the next to see."""
    edits: Edits = {
        SUPERVISOR: (
            *FAMILY_NOT_ENDED[SUPERVISOR],
            ("and meters.read_number(self._cgroup.pids) <= process_count", ""),
            ("            outcome.drained\n            and ", "            "),
        )
    }
    code = """
import os, time
def main_solution():
    uids = {os.stat("/proc/" + p).st_uid for p in os.listdir("/proc") if p.isdigit()}
    if os.fork() == 0:
        os.setsid()
        for fd in range(4): os.close(fd)
        time.sleep(30)
        os._exit(0)
    return sorted(uids - {0, os.getuid()})
"""
    async with weakened(edits=edits) as sandboxes:
        executions = await sandboxes.calls(code, [], [], profile="processes")
    assert executions[0].output == []
    assert executions[1].output != []


async def test_process_count_alone_notices_what_is_left() -> None:
    """With nobody ending the family, the number of processes shows it, and the container goes."""
    code = """
import os, time
def main_solution():
    uids = {os.stat("/proc/" + p).st_uid for p in os.listdir("/proc") if p.isdigit()}
    if os.fork() == 0:
        for fd in range(4): os.close(fd)
        time.sleep(30)
        os._exit(0)
    return sorted(uids - {0, os.getuid()})
"""
    async with weakened(edits=FAMILY_NOT_ENDED) as sandboxes:
        executions = await sandboxes.calls(code, [], [], profile="processes")
    assert [execution.output for execution in executions] == [[], []]


SEGMENT = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
def main_solution():
    with open("/proc/sysvipc/shm") as file: found = len(file.readlines()) - 1
    size = 48 * 2**20
    at = libc.shmat(libc.shmget(0, ctypes.c_size_t(size), 0o1600), None, 0)
    ctypes.memset(at, 1, size)
    return found
"""


@pytest.mark.parametrize("looking", [True, False])
async def test_memory_that_outlives_its_job_costs_the_container(looking: bool) -> None:
    """Kernel memory held after the end is noticed by its amount, whatever it is held by."""
    edits: dict[str, tuple[tuple[str, str], ...]] = dict(NO_FILTER)
    if not looking:
        edits[SUPERVISOR] = ((" and not self._holds_more_memory()", ""),)
    async with weakened(edits=edits, options=NO_SECCOMP) as sandboxes:
        executions = await sandboxes.calls(SEGMENT, [], [], [])
    found = [execution.output for execution in executions]
    assert found == ([0, 0, 0] if looking else [0, 1, 2])


async def test_second_deadline_holds_where_the_supervisor_forgets_the_first() -> None:
    """A supervisor that never ends a job: the service destroys the container by itself."""
    code = "import time\ndef main_solution(): time.sleep(60)\n"
    async with weakened(edits=NO_DEADLINE, answer_grace_s=0.5) as sandboxes:
        with pytest.raises(ServiceFailure) as failure:
            await sandboxes.call(code, limits={"wall_time_s": 0.1})
    assert failure.value.retryable


async def test_confinement_that_fails_is_our_failure_and_no_verdict() -> None:
    """A job that could not be confined never runs; nobody is told that the code gave no result."""
    edits: Edits = {CONFINE: (("_setsid()", "os.chdir('/nowhere')"),)}
    async with weakened(edits=edits) as sandboxes:
        with pytest.raises(ServiceFailure) as failure:
            await sandboxes.call("def main_solution(): return 1")
    assert failure.value.retryable


async def test_supervisor_that_crashes_is_our_failure() -> None:
    """An exception in the supervisor ends its container; the caller is told to come back."""
    edits: Edits = {SUPERVISOR: (("    def _start_job(", "    def _other("),)}
    async with weakened(edits=edits) as sandboxes:
        with pytest.raises(ServiceFailure):
            await sandboxes.call("def main_solution(): return 1")
