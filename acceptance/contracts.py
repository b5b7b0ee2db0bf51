"""``python -m acceptance.contracts``: what other projects' own clients make of this service.

The package ``sandbox-fusion`` and verl's reward module, as their index has them: installed into an
environment of their own, which is removed afterwards; of verl, which needs a GPU's worth of
packages, the one module is taken out of the wheel. What they do is in ``contract_clients``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from harness.local_service import LocalService
from harness.measurement import say
from harness.report import table

__all__ = ["EXPECTED", "differing", "main"]

_CLIENTS: Final = Path(__file__).with_name("contract_clients.py")
_VERL_MODULE: Final = "verl/utils/reward_score/sandbox_fusion/utils.py"
_TIMEOUT_S: Final = 400.0
EXPECTED: Final = {
    ("sandbox-fusion", "success"): "Success, True, same",
    ("sandbox-fusion", "wrong"): "Success, False, same",
    ("sandbox-fusion", "runtime error"): "RunFailed, False, same",
    ("sandbox-fusion", "syntax error"): "RunFailed, False, same",
    ("sandbox-fusion", "timeout"): "RunTimeout, True, same",
    ("sandbox-fusion", "2 MB of output"): "Success, False, same",
    ("sandbox-fusion", "jupyter"): "('2', 'ZeroDivisionError', '1\\n')",
    ("sandbox-fusion", "files"): "{'b': 'YWE='}",
    ("verl", "success"): "True, success",
    ("verl", "wrong"): "False, wrong_answer",
    ("verl", "runtime error"): "-2, runtime_error",
    ("verl", "syntax error"): "-2, runtime_error",
    ("verl", "timeout"): "-3, timeout",
    ("verl", "memory"): "-2, runtime_error",
    ("verl", "2 MB of output"): "False, wrong_answer",
    ("verl", "100 at once, 20 sleep"): '{"-3": 20, "True": 80}',
}
"""What each client has to make of each case."""
Told = dict[tuple[str, str], str]


def differing(told: Told) -> list[str]:
    """A sentence for each case that is missing, or was made something else of."""
    return [
        f"{client}, {case}: {told.get((client, case), 'nothing')} instead of {expected}"
        for (client, case), expected in EXPECTED.items()
        if told.get((client, case)) != expected
    ]


def _installed(folder: Path) -> tuple[Path, Path]:
    """An interpreter that has the clients, and the folder with verl's module."""
    say("installing sandbox-fusion, and verl without what it needs")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "sandbox-fusion", "requests"], check=True)
    subprocess.run([*pip, "download", "--no-deps", "--dest", str(folder), "verl"], check=True)
    (wheel,) = folder.glob("verl-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        module = Path(packed.extract(_VERL_MODULE, folder))
    return python, module.parent


def _told(python: Path, module: Path, *, url: str) -> Told:
    run = subprocess.run(
        [str(python), str(_CLIENTS), url, str(module)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    lines = map(json.loads, run.stdout.splitlines())
    return {(line["client"], line["case"]): line["made"] for line in lines}


def main(argv: Sequence[str] | None = None) -> int:
    """Print what the clients made of each case; 1 where it is not what it has to be."""
    parser = argparse.ArgumentParser(
        prog="python -m acceptance.contracts",
        description="What other projects' own clients make of this service.",
    )
    parser.add_argument("--slots", default="8", help="of the service; sleepers need no core")
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        try:
            python, module = _installed(Path(folder))
        except subprocess.CalledProcessError as error:
            say(f"the clients cannot be installed here: {error}")
            return 2
        with LocalService(slot_count=asked.slots, log_level="error") as service:
            told = _told(python, module, url=service.url)
    rows = [[client, case, made] for (client, case), made in told.items()]
    print(table(["client", "case", "what it made of it"], rows))
    wrong = differing(told)
    for sentence in wrong:
        say(sentence)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
