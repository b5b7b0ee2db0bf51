"""``python -m acceptance.contracts``: what other projects' own clients make of this service.

The package ``sandbox-fusion`` and verl's reward module, as their index has them: installed into an
environment of their own, which is removed afterwards; of verl, which needs a GPU's worth of
packages, the one module is taken out of the wheel. What they do is in ``contract_clients``. Clients
that no index has are taken out of checkouts (``--checkouts``), in ``checkout_clients``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import secrets
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

from acceptance.contract_clients import AT_ONCE

__all__ = ["EXPECTED", "OF_CHECKOUTS", "differing", "main"]

_CLIENTS: Final = Path(__file__).with_name("contract_clients.py")
_CHECKOUT_CLIENTS: Final = Path(__file__).with_name("checkout_clients.py")
_FOR_CHECKOUTS: Final = ("aiohttp", "httpx", "numpy", "pydantic")
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
    ("verl", AT_ONCE): '{"right": 80, "timeout": 20}',
}
"""What each client has to make of each case."""
OF_CHECKOUTS: Final = {
    ("open-instruct", "asserts, right"): "1.0",
    ("open-instruct", "asserts, half"): "0.5",
    ("open-instruct", "asserts, endless"): "0.0",
    ("open-instruct", "asserts, ends itself"): "0.0",
    ("open-instruct", "stdio, right"): "1.0",
    ("open-instruct", "stdio, wrong"): "0.0",
    ("NeMo-Skills", "program"): "completed, '8\\n', ''",
    ("NeMo-Skills", "program, raises"): "completed, '', 'ZeroDivisionError: division by zero'",
    ("NeMo-Skills", "program, endless"): "timeout, '', 'Execution timed out after 1 seconds'",
    ("NeMo-Skills", "cell"): "completed, '', ''",
    ("NeMo-Skills", "next cell"): "completed, '21\\n', ''",
    ("NeMo-Skills", "cell, raises"): "error, 'ZeroDivisionError: division by zero\\n', ''",
    ("NeMo-Skills", "after its end"): "error, \"NameError: name 'a' is not defined\\n\", ''",
    ("code-judge", "right"): "True, True, ''",
    ("code-judge", "wrong"): "False, True, ''",
    ("code-judge", "raises"): "False, False, ''",
    ("code-judge", "endless"): "False, False, 'worker_timeout'",
    ("code-judge", "status"): "0 waiting",
    ("SkyRL", "success"): "True, '8'",
    ("SkyRL", "runtime error"): "False, 'ZeroDivisionError: division by zero'",
    ("SkyRL", "timeout"): "False",
}
"""The same, of clients that are in no package index."""
Told = dict[tuple[str, str], str]


def differing(told: Told, expected: Told = EXPECTED) -> list[str]:
    """A sentence for each case that is missing, or was made something else of."""
    return [
        f"{client}, {case}: {told.get((client, case), 'nothing')} instead of {made}"
        for (client, case), made in expected.items()
        if told.get((client, case)) != made
    ]


def _installed(folder: Path, *, checkouts: bool) -> tuple[Path, Path]:
    """An interpreter that has the clients, and the folder with verl's module."""
    say("installing sandbox-fusion, and verl without what it needs")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    packages = ["sandbox-fusion", "requests", *(_FOR_CHECKOUTS if checkouts else ())]
    subprocess.run([*pip, "install", *packages], check=True)
    subprocess.run([*pip, "download", "--no-deps", "--dest", str(folder), "verl"], check=True)
    (wheel,) = folder.glob("verl-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        module = Path(packed.extract(_VERL_MODULE, folder))
    return python, module.parent


def _told(python: Path, program: Path, *arguments: str | Path) -> Told:
    run = subprocess.run(
        [str(python), str(program), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    lines = map(json.loads, run.stdout.splitlines())
    return {(line["client"], line["case"]): line["made"] for line in lines}


def main(argv: Sequence[str] | None = None) -> int:
    """Print what the clients made of each case; 1 where it is not what it has to be."""
    asked = _parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        try:
            python, module = _installed(Path(folder), checkouts=asked.checkouts is not None)
        except subprocess.CalledProcessError as error:
            say(f"the clients cannot be installed here: {error}")
            return 2
        if asked.fusion is not None:
            _show(_told(python, _CLIENTS, "at-once", asked.fusion, module))
            return 0
        told, wrong = _asked_of_ours(python, module, asked)
    _show(told)
    for sentence in wrong:
        say(sentence)
    return int(bool(wrong))


def _asked_of_ours(python: Path, module: Path, asked: argparse.Namespace) -> tuple[Told, list[str]]:
    """What each client made of a service of its own, whose key it is given as they can be given
    one, as part of the address."""
    key = secrets.token_hex(16)
    key_hash = hashlib.sha256(key.encode()).hexdigest()
    settings = {"api_key_hashes": f"clients:{key_hash}", "log_level": "error"}
    with LocalService(slot_count=asked.slots, **settings) as service:
        url = service.url.replace("http://", f"http://execbox:{key}@")
        told = _told(python, _CLIENTS, "cases", url, module)
        told |= _told(python, _CLIENTS, "at-once", url, module)
        wrong = differing(told)
        if asked.checkouts is not None:
            theirs = _told(python, _CHECKOUT_CLIENTS, url, asked.checkouts.resolve())
            there = {client for client, _ in OF_CHECKOUTS if (asked.checkouts / client).is_dir()}
            expected = {case: made for case, made in OF_CHECKOUTS.items() if case[0] in there}
            wrong += differing(theirs, expected)
            told |= theirs
    return told, wrong


def _show(told: Told) -> None:
    rows = [[client, case, made] for (client, case), made in told.items()]
    print(table(["client", "case", "what it made of it"], rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m acceptance.contracts",
        description="What other projects' own clients make of this service.",
    )
    parser.add_argument("--slots", default="16", help="of the service; sleepers need no core")
    parser.add_argument(
        "--fusion",
        metavar="URL",
        help="of a SandboxFusion server: only verl's many cases at once, of that one",
    )
    parser.add_argument(
        "--checkouts",
        type=Path,
        metavar="FOLDER",
        help="with checkouts of open-instruct, NeMo-Skills, code-judge and SkyRL, or some of them",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
