"""A service that is killed or ended in the middle of work, and started again: clients lose nothing,
and their files are those of an undisturbed run, byte for byte.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from harness.host_view import cgroup_container_ids

from execbox import Client, ClientConfig, SessionGone
from execbox.config import RetryPolicy
from tests.live_service import LiveService, end, live_service, settings_of_attacks

pytestmark = pytest.mark.docker

REPOSITORY = Path(__file__).parents[2]
GOES_ON = {1, 3}
"""Exit codes of a command of which something is left to be done."""
FUNCTION = """
import time

def main_solution(n):
    time.sleep(0.03)
    if n % 4 == 0:
        raise ValueError(n)
    return {{"n": n, "value": n * {factor}}}
"""
DRAW = "import random\n\ndef input_generator():\n    return {'n': random.randint(1, 10**6)}\n"


class Standing:
    """A service that is started again at its own port."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.service = self._stack.enter_context(live_service(settings_of_attacks()))
        self.config = ClientConfig(base_url=f"http://127.0.0.1:{self.service.port}")

    def again(self, number: signal.Signals) -> None:
        """End it so, and start a new one."""
        port = self.service.port
        end(self.service.process, number=number)
        self._stack.close()
        self.service = self._stack.enter_context(live_service(settings_of_attacks(), port=port))

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def standing() -> Iterator[Standing]:
    running = Standing()
    yield running
    running.close()


def functions(path: Path) -> Path:
    lines = [
        {"refcode": FUNCTION.format(factor=n), "funcname": "main_solution", "input_generator": DRAW}
        for n in range(8)
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def generating(source: Path, output: Path, service: LiveService) -> subprocess.Popen[bytes]:
    url = f"http://127.0.0.1:{service.port}"
    options = ("--count", "5", "--requests", "2", "--url", url)
    return subprocess.Popen(
        [sys.executable, "-m", "execbox", "generate", str(source), "-o", str(output), *options],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def line_count(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_generation_through_services_that_end_gives_the_same_bytes(
    standing: Standing, tmp_path: Path, number: signal.Signals
) -> None:
    """Twice in the middle; where the command ends as well, the same command goes on."""
    source = functions(tmp_path / "functions.jsonl")
    undisturbed, output = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    assert generating(source, undisturbed, standing.service).wait(timeout=60) == 0
    ended_count, done_count = 0, 0
    while line_count(output) < 8 or ended_count < 2:
        process = generating(source, output, standing.service)
        while process.poll() is None:
            if ended_count < 2 and line_count(output) > done_count:
                done_count = line_count(output)
                standing.again(number)
                ended_count += 1
            time.sleep(0.01)
        assert process.returncode in GOES_ON | {0}
        assert ended_count == 2 or line_count(output) < 8, "it was over before it could be hurt"
    assert output.read_bytes() == undisturbed.read_bytes()


def test_batch_of_programs_through_a_killed_service_answers_each_line_once(
    standing: Standing,
) -> None:
    """With the verdict that the program deserves, also of those that were running."""
    code = "import time\nn = int(input())\ntime.sleep(0.05)\nprint(n * 2)"

    def lines() -> Iterator[dict[str, Any]]:
        for n in range(120):
            expected = {"stdout": f"{2 * n + n % 2}\n"}
            program = {"code": code, "stdin": str(n)}
            yield {"id": str(n), "op": "run", "program": program, "expected": expected}

    verdicts: dict[str, str | None] = {}
    with Client(config=standing.config) as client:
        for result in client.batch(lines()):
            name = str(result.id)
            assert name not in verdicts
            answer: Any = result.answer
            assert answer is not None, result.error
            verdicts[name] = answer.runs[0].verdict
            if len(verdicts) == 20:
                killer = threading.Thread(target=standing.again, args=(signal.SIGKILL,))
                killer.start()
    killer.join()
    assert verdicts == {str(n): "incorrect" if n % 2 else "correct" for n in range(120)}


def test_session_of_a_killed_service_is_gone_and_never_a_new_one(standing: Standing) -> None:
    """Its variables are lost: a cell that finds none would be told that its code is wrong."""
    config = ClientConfig(base_url=standing.config.base_url, retry=RetryPolicy(window_s=30))
    with Client(config=config) as client:
        with client.session() as session:
            assert session.run("x = 20").status == "ok"
            standing.again(signal.SIGKILL)
            with pytest.raises(SessionGone):
                session.run("print(x)")
        with client.session() as session:
            assert session.run("print(1)").stdout == "1\n"


def test_killed_service_leaves_no_control_group_behind_the_next_start(standing: Standing) -> None:
    """Neither does what ran in them go on."""
    left = standing.service.containers()
    assert left
    standing.again(signal.SIGKILL)
    assert not cgroup_container_ids(Path("/sys/fs/cgroup")) & left
    assert standing.service.canary_is_ok()
