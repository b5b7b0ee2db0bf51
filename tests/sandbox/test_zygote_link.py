"""The supervisor's packets to a zygote and the zygote's answers, which the tests write."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator

import pytest

from execbox_runner import protocol, zygote, zygote_link

TERMS = zygote_link.Terms(uid=70_000, cpu_time_s=1.5, profile="processes")


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The supervisor's and the zygote's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


def test_request_to_run_says_terms_in_its_head_and_surroundings_behind_it(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """The kernel's CPU limit is a backstop: whole seconds, above the one that decides."""
    ours, theirs = ends
    terms = zygote_link.Terms(**{**vars(TERMS), "surroundings": {"tz": "Asia/Tokyo"}})
    read_fd, write_fd = os.pipe()
    zygote_link.run(ours, terms, [read_fd, write_fd], given=("executable_fd",))
    request, fds = protocol.receive_bytes(theirs)
    for fd in (read_fd, write_fd, *fds):
        os.close(fd)
    assert len(fds) == 2
    head = len(protocol.RUN_MAGIC)
    assert protocol.RUN.unpack_from(request, head) == (1, 2, 70_000, 3)
    assert request[: head + protocol.RUN.size].startswith(protocol.RUN_MAGIC)
    assert request[head + protocol.RUN.size :] == b'{"tz": "Asia/Tokyo"}'


@pytest.mark.parametrize(
    ("status", "exit_code", "number"),
    [(0, 0, None), (3 << 8, 3, None), (int(signal.SIGKILL), None, 9), (11 | 0x80, None, 11)],
    ids=["well", "exit code", "signal", "signal with a core"],
)
def test_job_that_has_ended_when_it_is_heard_of_has_its_end_and_no_descriptor(
    ends: tuple[socket.socket, socket.socket],
    status: int,
    exit_code: int | None,
    number: int | None,
) -> None:
    """The zygote tells the status that the kernel gave it; here it is taken apart."""
    ours, theirs = ends
    theirs.send(zygote.END % (5, 10**12, status, 1234.6, 2048))
    started = zygote_link.started(ours)
    assert (started.pid, started.started_ns, started.pidfd) == (5, 10**12, -1)
    assert started.ended == zygote_link.Ended(exit_code, number, 1_234_000, 2 * 2**20)


def test_job_that_goes_on_comes_with_its_descriptor(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """So that who is ended is that process, whatever has its number by then."""
    ours, theirs = ends
    pidfd = os.pidfd_open(os.getpid())
    protocol.send_packet(theirs, {"pid": os.getpid(), "started_ns": 1}, [pidfd])
    os.close(pidfd)
    started = zygote_link.started(ours)
    signal.pidfd_send_signal(started.pidfd, 0)
    os.close(started.pidfd)
    assert started.ended is None


@pytest.mark.parametrize("said", [b"", b"no JSON"], ids=["gone", "garbage"])
def test_zygote_that_says_nothing_or_no_packet_is_lost(
    ends: tuple[socket.socket, socket.socket], said: bytes
) -> None:
    """Its container is of no more use."""
    ours, theirs = ends
    if said:
        theirs.send(said)
    theirs.close()
    with pytest.raises(zygote_link.ZygoteLost):
        zygote_link.answer_of(ours)
