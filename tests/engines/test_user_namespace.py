"""The user namespace of all sandboxes: the ids that a machine grants, and what helps where there is
none to be had."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from execbox_service.engines.bubblewrap import container_flags, user_namespace
from execbox_service.engines.bubblewrap.user_namespace import (
    ID_COUNT,
    ROOT_FIRST_ID,
    IdRange,
    NoUserNamespace,
    choose_ids,
    parse_granted,
)


@pytest.mark.parametrize(
    ("text", "granted"),
    [
        ("", None),
        ("alice:100000:65536\n", IdRange(100000, 65536)),
        ("bob:1:2\n1000:200000:70000\nalice:100000:65536\n", IdRange(200000, 70000)),
        ("alice:100000\nalice:x:y\n:1:2\n", None),
        ("# alice:1:2\nalice:5:6 # why\n", IdRange(5, 6)),
        ("alice2:100000:65536\n", None),
    ],
)
def test_granted_range_is_the_largest_of_the_user(text: str, granted: IdRange | None) -> None:
    """Entries by name and by number count; what is not an entry is passed over."""
    assert parse_granted(text, names=frozenset({"alice", "1000"})) == granted


@pytest.mark.parametrize(
    ("mapped", "chosen"),
    [
        ("         0          0 4294967295\n", IdRange(ROOT_FIRST_ID, ID_COUNT)),
        ("0 100000 65536\n", IdRange(1024, 64_512)),
        ("0 1000 1\n1 100000 70000\n", IdRange(4465, 65_536)),
    ],
)
def test_root_takes_ids_that_its_own_namespace_has(mapped: str, chosen: IdRange) -> None:
    """On a machine those nobody is given; in a container with a user namespace its highest."""
    assert choose_ids(mapped) == chosen


@pytest.mark.parametrize("mapped", ["", "0 1000 1\n", "0 100000 61000\n"])
def test_root_of_too_small_a_namespace_is_told_how_many_ids_it_has(mapped: str) -> None:
    """Of what is left after the container's own, the runner needs 60,000."""
    with pytest.raises(NoUserNamespace, match=r"has \d+ ids in a row, and 61024 are needed"):
        choose_ids(mapped)


@pytest.mark.parametrize(
    ("said", "switch", "remedy"),
    [
        ("[Errno 13] Permission denied", "1", "kernel.apparmor_restrict_unprivileged_userns=0"),
        ("[Errno 13] Permission denied", "0", container_flags.PROC),
        ("[Errno 30] Read-only file system", "1", container_flags.PROC),
    ],
)
def test_namespace_in_which_nothing_may_be_done_is_said_with_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, switch: str, remedy: str
) -> None:
    """Ubuntu 24.04's AppArmor lets it be made and denies the rest, and users outside any container
    were told how to start one."""
    holder = tmp_path / "holder"
    holder.write_text(f"#!/bin/sh\necho made; read line; echo '{said}' >&2; exit 1\n", "utf-8")
    holder.chmod(0o755)
    (tmp_path / "kernel").mkdir()
    path = tmp_path / "kernel" / "apparmor_restrict_unprivileged_userns"
    path.write_text(f"{switch}\n", "ascii")
    monkeypatch.setattr(sys, "executable", str(holder))
    monkeypatch.setattr(user_namespace, "_PROC_SYS", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(user_namespace, "_map_as_root", lambda _pid: None)
    with pytest.raises(NoUserNamespace) as raised:
        user_namespace.make()
    assert said in raised.value.found
    assert remedy in raised.value.remedy
