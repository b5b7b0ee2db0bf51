"""What the host sees in real containers: nothing where no job left anything, else what it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from acceptance.soak_meters import residue_of
from harness.bench import Bench, eventually, instance_of
from harness.host_view import HostView, orphans

pytestmark = [
    pytest.mark.docker,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(os.geteuid() != 0, reason="looking into containers needs root"),
]


@pytest.fixture
def view(bench: Bench) -> Iterator[HostView]:
    """The containers of the service that the whole run shares."""
    shown = HostView(instance_of(bench.settings))
    yield shown
    shown.close()


def left_in(view: HostView) -> list[str]:
    return [left for container in view.look() for left in residue_of(container)]


async def test_look_at_containers_after_a_job_finds_no_residue(
    bench: Bench, view: HostView
) -> None:
    """A job that wrote files has ended; warm and used containers are as new."""
    ended = await bench.call(
        "def main_solution():\n    open('/tmp/f', 'w').write('x' * 9999)\n    return 1\n",
        isolation="process",
    )
    assert ended.output == 1
    await eventually(lambda: len(view.look()) > 0 and left_in(view) == [])


@pytest.mark.parametrize(
    ("plant", "remove", "said"),
    [
        (lambda root: (root / "tmp/f").write_bytes(b"x"), "tmp/f", "bytes of tmpfs"),
        (lambda root: (root / "tmp/d").mkdir(), "tmp/d", "inodes of tmpfs"),
        (lambda root: (root / "dev/shm/f").write_bytes(b"x"), "dev/shm/f", "bytes of tmpfs"),
        (lambda root: (root / "dev/mqueue/q").touch(), "dev/mqueue/q", "POSIX queues"),
    ],
)
async def test_look_at_container_with_something_planted_names_it(
    bench: Bench, view: HostView, plant: Callable[[Path], object], remove: str, said: str
) -> None:
    """Planted from the host, in a container that no job has; removed again at once."""
    await bench.call("def main_solution(): return 1\n", isolation="process")
    root = Path(f"/proc/{view.look()[0].init_pid}/root")
    try:
        plant(root)
        found = left_in(view)
    finally:
        planted = root / remove
        planted.rmdir() if planted.is_dir() else planted.unlink()
    assert any(said in each for each in found)


async def test_orphans_are_containers_nobody_knows(bench: Bench, view: HostView) -> None:
    """Those of a living container are no orphans as long as it is known."""
    await bench.call("def main_solution(): return 1\n", isolation="process")
    (some, *_) = view.look()
    known = [each["Id"] for each in view.api.containers(all=True)]
    assert not any(some.id in each for each in orphans(known))
    assert any(some.id in each for each in orphans(set(known) - {some.id}))
