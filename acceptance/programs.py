"""``python -m acceptance.programs``: public functions as programs, here and by ``python3``.

    python -m acceptance.programs [--corpus FOLDER] [--functions N] [--pairs N] [--output FOLDER]

Each function of ``pyedu.jsonl.gz`` becomes a program that prints its first calls. It runs through
``POST /v1/run`` at level ``process``, and as ``python3 program.py`` in a container of the same
image; stdout, stderr and exit code are held against each other byte for byte. What differs is run
by ``python3`` twice more: what differs from itself there is no fault here. Exits with 1 if
anything differs for a reason that is not found.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness.corpus_files import DEFAULT_FOLDER, CodeioFunction, CorpusMissing, read_pyedu
from harness.local_service import LocalService, ServiceDidNotStart
from harness.machine import describe_machine, docker_version
from harness.reference_python import Ended, ReferenceProgram, run_by_python
from harness.report import RESULTS, facts_text, table, write_report

from execbox import Client, ExecboxError
from execbox.wire import Base64Content, ProgramLimits, ProgramRun, content_bytes

IMAGE = "execbox-sandbox:local"
PAIRS = 3
"""How many calls a program prints; the corpus has up to ten for a function."""
LIMITS = ProgramLimits(cpu_time_s=5, wall_time_s=10, memory_mb=1024, stdout_bytes=1024 * 1024)
_REFERENCE_S = 20.0
"""After which python3 is killed: far more than the service permits."""
SAME, ITSELF, ADDRESSES, LIMIT, REFUSED, NOT_FOUND = (
    "nothing",
    "python3 differs from itself: random, clock",
    "an object's address in memory",
    "a limit of the run",
    "refused by the default profile: processes, sockets",
    "not found",
)
_LIMITED = ("timeout", "memory_exceeded", "not_run")
_REFUSAL = b"[Errno 1] Operation not permitted"
_PROBES = 2
_AT_ONCE = 4
_ADDRESS = re.compile(rb"0x[0-9a-f]{6,}")
_SHOWN_CHARS = 200


@dataclass(frozen=True)
class Compared:
    """A program with both of its ends; ``ours`` is None where the service gave no answer."""

    function: CodeioFunction
    program: ReferenceProgram
    ours: Ended | None
    status: str
    right: Ended

    @property
    def parts(self) -> tuple[str, ...]:
        """Which of the three differ."""
        if self.ours is None:
            return ("no answer",)
        return tuple(
            name
            for name in ("stdout", "stderr", "exit_code")
            if getattr(self.ours, name) != getattr(self.right, name)
        )


def program_of(function: CodeioFunction, *, pair_count: int = PAIRS) -> ReferenceProgram:
    """The function's source, and a main block that prints its first calls."""
    calls = [json.dumps(given) for given, _output in function.pairs[:pair_count]]
    lines = [
        *(function.code, "", 'if __name__ == "__main__":', "    import json as json_of_calls"),
        *(f"    print({function.entry_point}(**json_of_calls.loads({text!r})))" for text in calls),
    ]
    return ReferenceProgram("\n".join(lines) + "\n")


def ended_of(run: ProgramRun) -> Ended:
    """A run as ``subprocess`` tells of a process."""
    stdout = run.stdout.encode("utf-8", "surrogatepass")
    if run.stdout_base64 is not None:
        stdout = content_bytes(Base64Content(base64=run.stdout_base64))
    exit_code = run.exit_code or 0
    if run.signal is not None:
        exit_code = -getattr(signal, run.signal)
    return Ended(stdout, run.stderr.encode("utf-8", "surrogatepass"), exit_code)


def _is_unclear(compared: Compared) -> bool:
    return bool(compared.parts) and compared.status not in _LIMITED


def why(compared: Compared, probes: Sequence[Ended]) -> str:
    """The reason of a difference; ``probes`` are further runs by ``python3``."""
    ours, right = compared.ours, compared.right
    if not compared.parts:
        return SAME
    if ours is None:
        return NOT_FOUND
    if compared.status in _LIMITED:
        return LIMIT
    if any(probe != right for probe in probes):
        return ITSELF
    if _REFUSAL in ours.stderr and _REFUSAL not in right.stderr:
        return REFUSED
    if _without_addresses(ours) == _without_addresses(right):
        return ADDRESSES
    return NOT_FOUND


def _without_addresses(ended: Ended) -> Ended:
    return Ended(_ADDRESS.sub(b"", ended.stdout), _ADDRESS.sub(b"", ended.stderr), ended.exit_code)


def _run_here(programs: Sequence[ReferenceProgram]) -> tuple[list[ProgramRun | str], str]:
    """What the service gave, or why it gave nothing; and on what, and how long that took."""
    with LocalService() as service, Client(config=service.config()) as client:

        def one(program: ReferenceProgram) -> ProgramRun | str:
            try:
                answer = client.run(program.code, limits=LIMITS, isolation="process")
            except ExecboxError as error:
                return str(error)
            return answer.runs[0]

        with ThreadPoolExecutor(_AT_ONCE) as threads:
            facts = describe_machine(
                client.capabilities(), docker_version=docker_version() or "none"
            )
            began_s = time.monotonic()
            answers = list(threads.map(one, programs))
            facts["through the service"] = f"{time.monotonic() - began_s:.0f} s, {_AT_ONCE} at once"
            return answers, facts_text(facts)


def compare(
    functions: Sequence[CodeioFunction], *, pair_count: int
) -> tuple[list[tuple[Compared, str]], str]:
    """Every program both ways with why it differs, and a line about the run."""
    programs = [program_of(each, pair_count=pair_count) for each in functions]
    with ThreadPoolExecutor(1) as beside:
        by_python = beside.submit(run_by_python, programs, image=IMAGE, timeout_s=_REFERENCE_S)
        answers, about = _run_here(programs)
        right = by_python.result()
    compared = [
        Compared(
            function,
            program,
            None if isinstance(answer, str) else ended_of(answer),
            answer if isinstance(answer, str) else answer.status.value,
            ended,
        )
        for function, program, answer, ended in zip(
            functions, programs, answers, right, strict=True
        )
    ]
    unclear = [each.program for each in compared if _is_unclear(each)]
    probes = [run_by_python(unclear, image=IMAGE, timeout_s=_REFERENCE_S) for _ in range(_PROBES)]
    of_unclear = iter(zip(*probes, strict=True))
    found = [(each, why(each, next(of_unclear) if _is_unclear(each) else ())) for each in compared]
    return found, about


def report_of(found: Sequence[tuple[Compared, str]], about: str) -> str:
    """Counts, and a row for every program that differs."""
    counts = Counter(reason for _each, reason in found)
    same = [sum(name not in each.parts for each, _reason in found) for name in _PARTS]
    statuses = Counter(each.status for each, _reason in found)
    rows = [[name, f"{count} of {len(found)}"] for name, count in zip(_PARTS, same, strict=True)]
    differing = [
        [str(each.function.number), ", ".join(each.parts), each.status, reason, _shown(each)]
        for each, reason in found
        if each.parts
    ]
    return "\n\n".join(
        [
            about,
            "statuses: " + ", ".join(f"{name} {count}" for name, count in statuses.most_common()),
            table(["the same", "programs"], rows),
            table(["why it differs", "programs"], [[k, str(v)] for k, v in counts.most_common()]),
            table(
                ["msgidx", "differs", "status", "why", "first difference"], differing, align="rllll"
            ),
            "",
        ]
    )


_PARTS = ("stdout", "stderr", "exit_code")


def _shown(each: Compared) -> str:
    """The first lines that differ, here and there."""
    if each.ours is None:
        return each.status[:_SHOWN_CHARS]
    for name in ("stdout", "stderr"):
        pairs = zip(
            getattr(each.ours, name).split(b"\n"),
            getattr(each.right, name).split(b"\n"),
            strict=False,
        )
        for ours, right in pairs:
            if ours != right:
                return f"{ours[:60]!r} / {right[:60]!r}"
    return f"{each.ours.exit_code} / {each.right.exit_code}"


def main(argv: Sequence[str] | None = None) -> int:
    """1 if a program differs for no reason that is known; 2 where nothing can be run."""
    parser = argparse.ArgumentParser(
        prog="python -m acceptance.programs", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--corpus", type=Path, default=DEFAULT_FOLDER, metavar="FOLDER")
    parser.add_argument("--functions", type=int, metavar="N", help="only the first so many")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FOLDER")
    parser.add_argument(
        "--pairs", type=int, default=PAIRS, metavar="N", help="calls that each program prints"
    )
    arguments = parser.parse_args(argv)
    try:
        found, about = compare(
            read_pyedu(arguments.corpus)[: arguments.functions], pair_count=arguments.pairs
        )
    except (CorpusMissing, ServiceDidNotStart) as error:
        print(f"acceptance.programs: {error}", file=sys.stderr)
        return 2
    record = [
        {"msgidx": each.function.number, "parts": each.parts, "status": each.status, "why": reason}
        for each, reason in found
    ]
    write_report(arguments.output, "programs", markdown=report_of(found, about), record=record)
    return 1 if any(reason == NOT_FOUND for _each, reason in found) else 0


if __name__ == "__main__":
    sys.exit(main())
