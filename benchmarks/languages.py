"""``python -m benchmarks.languages``: what programs in bash and C++ cost, beside ``docker run``.

    python -m benchmarks.languages [--requests 15] [--cases 200] [--image NAME] [--output FOLDER]

Single requests at level ``process`` and containers in turns, and many cases of one C++ program in
one request. Needs the image with more languages (``make image-languages``). Exits with 1 if a bash
program, or a case of a C++ program, costs as much as a container.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from harness.local_service import LocalService, ServiceDidNotStart
from harness.machine import describe_machine, docker_version
from harness.measurement import capabilities_of
from harness.report import RESULTS, Claim, Findings, number, ratio, table, write_report

from benchmarks.programs import Way
from benchmarks.single import Connection

IMAGE = "execbox-sandbox:languages"
SOURCES = {
    "bash": "read -r n\necho $((n * 2))\n",
    "cpp": "#include <iostream>\n"
    "int main() { int n; std::cin >> n; std::cout << n * 2 << std::endl; }\n",
}
COMMANDS = {
    "bash": 'printf %s "$1" > /tmp/program.sh; echo 21 | bash /tmp/program.sh',
    "cpp": 'printf %s "$1" > /tmp/program.cpp; cd /tmp; '
    "g++ -std=c++17 -O2 -o program program.cpp && echo 21 | ./program",
}
_LIMITS = {"job_time_s": 3600}
_WARM_UP = 2


def in_turns(url: str, language: str, *, image: str, count: int) -> tuple[Way, Way]:
    """A request and a container, one after the other, so that other load meets both alike.

    Raises RuntimeError for a wrong answer.
    """
    ours, theirs = Way(f"{language}, a request each"), Way(f"{language}, docker run each")
    program = {"code": SOURCES[language], "language": language, "stdin": "21\n"}
    body = json.dumps({"program": program, "isolation": "process"}).encode()
    send = partial(Connection(url).request, "POST", "/v1/run", body)
    command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "sh", image]
    command += ["-c", COMMANDS[language], "sh", SOURCES[language]]
    for _ in range(_WARM_UP):
        send()
    for _ in range(count):
        began_s = time.monotonic()
        (run,) = send()["runs"]
        ours.taken_s.append(time.monotonic() - began_s)
        ours.job_cpu_s.append(run["usage"]["cpu_time_s"])
        began_s = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        theirs.taken_s.append(time.monotonic() - began_s)
        for way, printed in ((ours, run["stdout"]), (theirs, done.stdout)):
            if printed != "42\n":
                raise RuntimeError(f"{way.name} printed {printed!r}")
    return ours, theirs


def cases_of_one(url: str, *, count: int) -> Way:
    """Cases of one request, each as long as all of them took together, compiling apart."""
    way = Way(f"cpp, one of {count} cases in a request")
    cases = [{"stdin": f"{n}\n", "expected": {"stdout": f"{2 * n}\n"}} for n in range(count)]
    program = {"code": SOURCES["cpp"], "language": "cpp"}
    body = {"program": program, "cases": cases, "isolation": "process", "limits": _LIMITS}
    began_s = time.monotonic()
    answer = Connection(url).request("POST", "/v1/run", json.dumps(body).encode())
    taken_s = time.monotonic() - began_s - answer["compilation"]["usage"]["wall_time_s"]
    wrong = [run for run in answer["runs"] if run["verdict"] != "correct"]
    if wrong:
        raise RuntimeError(f"{len(wrong)} cases are not correct, the first is {wrong[0]}")
    way.taken_s = [taken_s / count] * count
    way.job_cpu_s = [run["usage"]["cpu_time_s"] for run in answer["runs"]]
    return way


def findings_of(machine: dict[str, str], ways: Sequence[Way]) -> Findings:
    """``ways``: of each language ours and a container each, then the many cases."""
    bash, bash_docker, _cpp, cpp_docker, cases = ways
    found = Findings("languages", machine, {"program": "doubles a number", "level": "process"})
    beside = (bash_docker, bash_docker, cpp_docker, cpp_docker, cpp_docker)
    found.tables = [
        table(
            ["way", "runs", "p50 ms", "CPU ms of the run", "docker run is"],
            [
                [
                    way.name,
                    str(len(way.taken_s)),
                    *map(number, (way.p50_ms, way.job_cpu_ms)),
                    ratio(other.p50_ms / way.p50_ms),
                ]
                for way, other in zip(ways, beside, strict=True)
            ],
        )
    ]
    # One C++ program for one case is compiled either way, and costs what that costs.
    for ours, theirs in ((bash, bash_docker), (cases, cpp_docker)):
        found.claims.append(
            Claim(
                f"{ours.name}: less than {theirs.name}",
                ratio(ours.p50_ms / theirs.p50_ms),
                ours.p50_ms < theirs.p50_ms,
            )
        )
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """1 if a claim does not hold or the service did not start."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.languages", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--requests", type=int, default=15, metavar="N")
    parser.add_argument("--cases", type=int, default=200, metavar="N")
    parser.add_argument("--image", default=IMAGE, metavar="NAME")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FOLDER")
    arguments = parser.parse_args(argv)
    try:
        with LocalService(image=arguments.image, profiles_allowed="default,processes") as service:
            able = capabilities_of(service.config())
            machine = describe_machine(able, docker_version=docker_version() or "none")
            ways = [
                *in_turns(service.url, "bash", image=able.image, count=arguments.requests),
                *in_turns(service.url, "cpp", image=able.image, count=arguments.requests),
                cases_of_one(service.url, count=arguments.cases),
            ]
    except ServiceDidNotStart as error:
        print(f"benchmarks.languages: the service did not start:\n{error}", file=sys.stderr)
        return 1
    found = findings_of(machine, ways)
    record = {"ways": ways, "claims": found.claims, "machine": machine}
    write_report(arguments.output, "languages", markdown=found.as_markdown(), record=record)
    return 0 if found.hold else 1


if __name__ == "__main__":
    sys.exit(main())
