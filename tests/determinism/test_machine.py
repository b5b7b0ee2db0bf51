"""What a varied run sees of machine, container and files, beside what the baseline sees."""

from __future__ import annotations

import pytest
from harness.bench import Bench, started_bench

from execbox.wire import Status
from execbox_service.operations.variations import run_variation
from execbox_service.sandboxes.driver import Variation
from tests.determinism.varied import run_varied

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

FILE = "with open('note', 'w') as file:\n        file.write('x')\n    "
DIFFERENT = {
    "date of a file": f"{FILE}return time.strftime('%Y', time.gmtime(os.path.getmtime('note')))",
    "date of an open file": f"{FILE}with open('note') as file:\n"
    "        return time.gmtime(os.fstat(file.fileno()).st_ctime).tm_year",
    "date by pathlib": f"{FILE}return time.gmtime(pathlib.Path('note').stat().st_mtime).tm_year",
    "date by scandir": f"{FILE}return [time.gmtime(e.stat().st_mtime)[0] for e in os.scandir()]",
    "date of a directory": "os.mkdir('d')\n    return time.gmtime(os.stat('d').st_mtime).tm_year",
    "date of /tmp": "return time.gmtime(os.stat('/dev/shm').st_mtime).tm_year",
    "year in a tar": f"{FILE}out = io.BytesIO()\n"
    "    with tarfile.open(fileobj=out, mode='w') as tar:\n"
    "        tar.add('note')\n"
    "    out.seek(0)\n"
    "    return time.gmtime(tarfile.open(fileobj=out).getmembers()[0].mtime).tm_year",
    "year in a zip": f"{FILE}out = io.BytesIO()\n"
    "    with zipfile.ZipFile(out, 'w') as file:\n"
    "        file.write('note')\n"
    "        file.writestr('other', 'x')\n"
    "    return [info.date_time[0] for info in zipfile.ZipFile(out).infolist()]",
    "year in a gzip": "return time.gmtime(int.from_bytes(gzip.compress(b'x')[4:8], 'little'))[0]",
    "number of a file": f"{FILE}return os.stat('note').st_ino",
    "number of an image's file": "return os.stat('/usr/bin/python3').st_ino",
    "number in a directory": "return [e.inode() for e in os.scandir('/usr/share')][:3]",
    "device": "return os.stat('/usr').st_dev",
    "number of a pipe": "return os.fstat(os.pipe()[0]).st_ino",
    "container": "return open('/proc/self/cgroup').read()",
    "mounts": "return pathlib.Path('/proc/self/mountinfo').read_text()",
    "boot id": "return open('/proc/sys/kernel/random/boot_id').read()",
    "memory": "return open('/proc/meminfo').readline()",
    "memory by sysconf": "return os.sysconf('SC_PHYS_PAGES')",
    "host name": "return open('/etc/hostname').read() + open('/proc/sys/kernel/hostname').read()",
    "hosts": "return open('/etc/hosts', 'rb').read().decode()",
    "load": "return open('/proc/loadavg').read().split()[0], os.getloadavg()[0]",
    "disk": "return shutil.disk_usage('/').free >> 30, os.statvfs('/tmp').f_files",
    "affinity": "return sorted(os.sched_getaffinity(0)), len(os.sched_getaffinity(0))",
    "cores": "return os.sysconf('SC_NPROCESSORS_ONLN')",
    "days since start": "return time.clock_gettime(time.CLOCK_BOOTTIME) // 86400",
    "days by monotonic": "return time.clock_gettime(time.CLOCK_MONOTONIC_RAW) // 3600",
    "hours by monotonic": "return time.clock_gettime(time.CLOCK_MONOTONIC) // 3600",
    "uptime": "return float(open('/proc/uptime').read().split()[0]) // 86400",
    "limit of the container": "return open('/sys/fs/cgroup/memory/memory.usage_in_bytes').read()",
    "peak memory": "return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 4096",
    "process times": "return os.times().elapsed // 3600",
}
SAME = {
    "a date set": f"{FILE}os.utime('note', (10**9, 2 * 10**9))\n"
    "    return os.stat('note').st_mtime",
    "a date copied": f"{FILE}shutil.copy2('note', 'copy')\n"
    "    return abs(os.path.getmtime('copy') - os.path.getmtime('note')) < 2",
    "a file and itself": f"{FILE}os.link('note', 'b')\n    return os.path.samefile('note', 'b')",
    "newer than": f"{FILE}return os.path.getmtime('note') - time.time() < 5",
    "older than": f"{FILE}return time.time() - os.path.getmtime('note') < 5",
    "an image's file": "return os.stat('/usr/share').st_mtime",
    "sizes": f"{FILE}return os.path.getsize('note'), os.path.isfile('note'), os.path.isdir('.')",
    "what is in a file": f"{FILE}return open('note').read()",
    "a created file": "fd = os.open('new', os.O_CREAT | os.O_RDWR, 0o640)\n"
    "    os.write(fd, b'12')\n"
    "    return oct(os.fstat(fd).st_mode), os.pread(fd, 9, 0).decode()",
    "own status": "return sorted(l.split(':')[0] for l in open('/proc/self/status'))",
    "what is not there": "return os.path.exists('/proc/none'), os.path.exists('/sys/none')",
    "a directory of the kernel": "return sorted(os.listdir('/proc/sys'))",
    "disk room used": "return os.statvfs('/tmp').f_bfree <= os.statvfs('/tmp').f_blocks",
    "a mount point": "return os.path.ismount('/tmp'), os.path.ismount('/usr')",
    "a tree copied": "os.mkdir('a')\n"
    f"    {FILE}shutil.copytree('a', 'b')\n"
    "    return sorted(os.listdir('.'))",
}
MODULES = "gzip, io, os, pathlib, resource, shutil, tarfile, time, zipfile"


def code_of(body: str) -> str:
    return f"import {MODULES}\ndef main_solution():\n    {body}\n"


async def outputs(bench: Bench, body: str) -> list[object]:
    found = []
    for variation in (Variation(), run_variation(2)):
        execution = await run_varied(bench, code_of(body), variation)
        assert execution.status is Status.OK, execution
        found.append(execution.output)
    return found


@pytest.mark.parametrize("name", DIFFERENT)
async def test_varied_run_sees_another_machine(bench: Bench, name: str) -> None:
    """What is the same in every container of one machine on one day is no ground truth."""
    here, there = await outputs(bench, DIFFERENT[name])
    assert here != there


@pytest.mark.parametrize("name", SAME)
async def test_varied_run_sees_nothing_else_changed(bench: Bench, name: str) -> None:
    """What is the same on every machine stays the same: an honest function is not accused."""
    here, there = await outputs(bench, SAME[name])
    assert here == there


CARRIED = """
import os, random

def number_of_a_new_file():
    open('x', 'w').close()
    number = os.stat('x').st_ino
    os.unlink('x')
    return number

def main_solution():
    number = number_of_a_new_file()
    if number < 1000:
        drawn = random.randrange(1, 9)
        for _ in range(drawn * 1000):
            number_of_a_new_file()
        return drawn
    return number // 1000
"""


@pytest.mark.parametrize("isolation", ["container", "process"])
async def test_check_finds_out_what_carries_a_draw_in_numbers_of_files(isolation: str) -> None:
    """The first execution in a container draws and leaves what it drew where those after it look:
    in one container they all agree, so one of them is made in a different one."""
    async with started_bench() as bench:
        response = await bench.request(
            CARRIED, [{"args": []}], isolation=isolation, checks={"determinism": {"runs": 2}}
        )
    (execution,) = response.executions
    assert execution.determinism is not None
    assert not execution.determinism.deterministic


async def test_certificate_names_the_container_and_the_machine_among_what_was_varied(
    bench: Bench,
) -> None:
    """Whoever reads it later sees what was tried."""
    response = await bench.request(
        "def main_solution(): return 1", [{"args": []}], checks={"determinism": {"runs": 2}}
    )
    assert response.certificate is not None
    assert {"container", "machine", "file_dates"} <= set(response.certificate.variations)
