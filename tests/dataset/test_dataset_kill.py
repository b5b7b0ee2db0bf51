"""Runs killed with SIGKILL at random moments, and continued, against runs left alone."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from execbox.dataset.files.resume import errors_path
from tests.dataset.files import answered, function, write_lines
from tests.dataset.model_server import Reply, model_server

_REPOSITORY = Path(__file__).parents[2]
_KILLS = 4
_VERIFY = """
import sys
from pathlib import Path
from execbox.dataset.steps.file_run import run_step
from execbox.dataset.steps.verdicts import VerifyOptions
from execbox.dataset.steps.verify import open_verify_step
from tests.dataset.verifying import Doubling
step = open_verify_step(Doubling(delay_s=0.01), VerifyOptions(chunk_count=4))
run_step(step, source=Path(sys.argv[1]), output=Path(sys.argv[2]))
"""


def run(command: list[str], *, returncode: int = 0) -> None:
    """Run to the end, undisturbed."""
    done = subprocess.run(
        command, check=False, cwd=_REPOSITORY, stdout=subprocess.DEVNULL, timeout=60
    )
    assert done.returncode == returncode


def kill_again_and_again(command: list[str], output: Path, *, within_s: float) -> int:
    """Start, and kill at a random moment after the output has grown; how often it was running."""
    moments, cut = random.Random(7), 0
    for _ in range(_KILLS):
        process = subprocess.Popen(command, cwd=_REPOSITORY, stdout=subprocess.DEVNULL)
        size = output.stat().st_size if output.exists() else 0
        deadline_s = time.monotonic() + 20
        while time.monotonic() < deadline_s and process.poll() is None:
            if output.exists() and output.stat().st_size > size:
                break
            time.sleep(0.002)
        time.sleep(moments.random() * within_s)
        process.kill()
        cut += process.wait() == -9
        _tear(output, moments)
    return cut


def _tear(output: Path, moments: random.Random) -> None:
    """What a power failure does besides: the last line is cut somewhere."""
    if output.exists() and moments.random() < 0.5:
        size = output.stat().st_size
        os.truncate(output, max(0, size - moments.randrange(1, 200)))


def execbox(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "execbox", *map(str, arguments)]


def test_prompts_killed_and_continued_give_the_same_bytes(tmp_path: Path) -> None:
    """One line of input gives several of output, and bad ones stay listed once."""
    lines: list[object] = [function(n, pairs=3) for n in range(1500)]
    lines[700] = b"{broken"
    source = write_lines(tmp_path / "functions.jsonl", lines)
    undisturbed, killed = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    run(execbox("prompts", source, "-o", undisturbed), returncode=1)
    command = execbox("prompts", source, "-o", killed)
    assert kill_again_and_again(command, killed, within_s=0.05) >= 1
    run(command, returncode=1)
    assert killed.read_bytes() == undisturbed.read_bytes()
    listed = errors_path(undisturbed).read_text()
    assert errors_path(killed).read_text() == listed
    assert listed.count("not_json") == 1


def test_infer_killed_and_continued_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And hardly any prompt is paid for twice."""
    lines = [
        {"id": f"p{n}", "messages": [{"role": "user", "content": f"twice {n}?"}]}
        for n in range(200)
    ]
    source = write_lines(tmp_path / "prompts.jsonl", lines)
    undisturbed, killed = tmp_path / "a.jsonl", tmp_path / "b.jsonl"

    def script(messages: list[dict[str, object]], _: int) -> Reply:
        return Reply(json.dumps(messages) * 3, delay_s=0.01)

    with model_server(script) as server:
        monkeypatch.setenv("EXECBOX_MODEL_URL", server.url)
        monkeypatch.setenv("EXECBOX_MODEL", "m")
        options = ("--concurrency", 4)
        run(execbox("infer", source, "-o", undisturbed, *options))
        assert len(server.requests) == 200
        command = execbox("infer", source, "-o", killed, *options)
        cut = kill_again_and_again(command, killed, within_s=0.2)
        run(command)
        assert cut >= 2
        assert killed.read_bytes() == undisturbed.read_bytes()
        # Under way at a kill are 4; a torn end costs at most another line or two.
        assert 400 <= len(server.requests) <= 400 + cut * (4 + 2)


def test_verify_killed_and_continued_gives_the_same_bytes(tmp_path: Path) -> None:
    """Verdicts come in chunks, and finish in any order."""
    lines = [answered(n, f'{{"output": {2 * n + n % 2}}}') for n in range(800)]
    source = write_lines(tmp_path / "answers.jsonl", lines)
    undisturbed, killed = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    command = [sys.executable, "-c", _VERIFY, str(source)]
    run([*command, str(undisturbed)])
    cut = kill_again_and_again([*command, str(killed)], killed, within_s=0.4)
    run([*command, str(killed)])
    assert cut >= 2
    assert killed.read_bytes() == undisturbed.read_bytes()
