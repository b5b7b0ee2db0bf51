"""What a container around the service withholds, as the kernel's files tell it."""

from __future__ import annotations

import pytest

from execbox_service.engines.bubblewrap.container_flags import masked_below_proc, may_map_ids

MACHINE = """\
22 28 0:21 / /proc rw,nosuid shared:12 - proc proc rw
31 22 0:27 / /proc/sys/fs/binfmt_misc rw,relatime shared:13 - autofs systemd-1 rw
"""
CONTAINER = """\
617 616 0:54 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
640 617 0:54 /bus /proc/bus ro,nosuid,nodev,noexec,relatime - proc proc rw
645 617 0:58 / /proc/acpi ro,relatime - tmpfs tmpfs ro
646 617 0:55 /null /proc/kcore rw,nosuid - tmpfs tmpfs rw,size=65536k
"""
WHOLE = "700 616 0:54 / /proc2 rw,nosuid - proc proc rw\n"


@pytest.mark.parametrize(
    ("mountinfo", "masks"),
    [
        (MACHINE, []),
        (CONTAINER, ["/proc/bus", "/proc/acpi", "/proc/kcore"]),
        (CONTAINER + WHOLE, []),
        ("", []),
    ],
)
def test_masks_are_what_hides_parts_of_every_proc_there_is(
    mountinfo: str, masks: list[str]
) -> None:
    """The kernel asks for one whole /proc; what is mounted below it on any machine is no mask."""
    assert masked_below_proc(mountinfo) == masks


@pytest.mark.parametrize(
    ("effective", "may"),
    [
        ("000001ffffffffff", True),
        ("00000000000000c0", True),
        ("0000000000000080", False),
        ("0000000000000040", False),
        ("0000000000000000", False),
    ],
)
def test_ids_are_mapped_with_two_capabilities(effective: str, may: bool) -> None:
    """SETUID and SETGID; no other is needed."""
    assert may_map_ids(effective) is may
