"""``python -m acceptance.trainers``: execbox's rewards in TRL's own trainer and verl's own manager.

They and torch are several gigabytes: they are installed into an environment of their own, which
``--venv`` keeps, verl without the packages that its reward manager does not need. What is done with
them is in ``trainer_client``; the service is this checkout's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from harness.local_service import LocalService
from harness.measurement import say
from harness.report import table

__all__ = ["EXPECTED", "differing", "main"]

_ROOT: Final = Path(__file__).resolve().parents[1]
_TRAINER: Final = Path(__file__).with_name("trainer_client.py")
_PACKAGES: Final = (
    *("trl", "datasets", "httpx", "pydantic"),
    *("ray", "tensordict", "omegaconf", "hydra-core", "codetiming", "aiohttp", "orjson"),
)
_BARE: Final = "verl"
_TIMEOUT_S: Final = 400.0
EXPECTED: Final = {
    "TRL, steps": "2",
    "TRL, as_written": "0",
    "TRL, right": "1",
    "TRL, half_right": "0.5",
    "TRL, lost": "unknown",
    "TRL, lost_for_half": "1",
    "TRL, reward of a step": "2",
    "verl, right": "1, unknown 0",
    "verl, wrong": "0, unknown 0",
    "verl, lost, with a score": "-1, unknown 1",
    "verl, lost": "OutcomeUnknown",
}
"""What they have to make of each reward. TRL leaves unknown ones out of a mean, and out of the sum
of a completion's rewards."""


def differing(told: dict[str, str]) -> list[str]:
    """A sentence for each case that is missing, or was made something else of."""
    return [
        f"{case}: {told.get(case, 'nothing')} instead of {made}"
        for case, made in EXPECTED.items()
        if told.get(case) != made
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Print what the trainer made of each reward; 1 where it is not what it has to be."""
    parser = argparse.ArgumentParser(
        prog="python -m acceptance.trainers",
        description="execbox's rewards in TRL's trainer and verl's reward manager.",
    )
    parser.add_argument("--venv", type=Path, metavar="FOLDER", help="keep it here, and use it")
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        try:
            python = _environment(asked.venv or Path(folder, "venv"))
        except subprocess.CalledProcessError as error:
            say(f"they cannot be installed here: {error}")
            return 2
        with LocalService(log_level="error") as service:
            told = {
                case: made
                for trainer in ("trl", "verl")
                for case, made in _told(python, trainer, url=service.url, folder=folder).items()
            }
    print(table(["reward", "what was made of it"], [list(row) for row in told.items()]))
    wrong = differing(told)
    for sentence in wrong:
        say(sentence)
    return int(bool(wrong))


def _environment(folder: Path) -> Path:
    python = folder / "bin" / "python"
    if not python.exists():
        say(f"installing {', '.join(_PACKAGES)} and what they need into {folder}")
        venv.create(folder, with_pip=True)
        pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", *_PACKAGES], check=True)
        subprocess.run([*pip, "install", "--no-deps", _BARE], check=True)
    return python


def _told(python: Path, trainer: str, *, url: str, folder: str) -> dict[str, str]:
    run = subprocess.run(
        [str(python), str(_TRAINER), trainer, url, folder],
        stdout=subprocess.PIPE,
        text=True,
        timeout=_TIMEOUT_S,
        check=True,
        env=os.environ | {"PYTHONPATH": str(_ROOT / "client"), "HF_HUB_OFFLINE": "1"},
    )
    lines = [json.loads(line) for line in run.stdout.splitlines() if line.startswith('{"case"')]
    return {line["case"]: line["made"] for line in lines}


if __name__ == "__main__":
    sys.exit(main())
