"""`execbox doctor`: what is there, what is missing, how to get it. It changes nothing.

What serving needs of this machine is checked by the service's own ``execbox_service.doctor``,
where that is installed.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

from execbox import wire
from execbox._version import client_version
from execbox.cli.outcomes import ExitCode
from execbox.cli.serve import INSTALL_LINE
from execbox.cli.terminal import Style, Terminal
from execbox.client import Client
from execbox.config import ClientConfig, RetryPolicy, config_from_env
from execbox.errors import AuthenticationError, ConfigError, ExecboxError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["Finding", "add_parser", "doctor"]

_PYTHON_MIN = (3, 11)
_SERVICE_MODULES = ("fastapi", "uvicorn", "docker", "pydantic_settings", "prometheus_client")

_EPILOG = """\
Lines marked `ok` are fine, `MISSING` must be put right before functions can be run from here,
`-` is only needed to serve from this machine; each says how to get what is not there.

examples:
  execbox doctor
  EXECBOX_URL=https://execbox.example.org execbox doctor
  execbox doctor --json

exit codes: 0 everything needed is there; 1 something needed is missing"""


class ServiceCheck(Protocol):
    """One entry of what ``execbox_service.doctor.checks()`` returns."""

    @property
    def name(self) -> str: ...
    @property
    def ok(self) -> bool: ...
    @property
    def found(self) -> str: ...
    @property
    def remedy(self) -> str | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at; ``needed`` is whether running functions from here depends on it."""

    name: str
    ok: bool
    found: str
    remedy: str | None = None
    needed: bool = True


def add_parser(commands: Subparsers) -> None:
    """Add `doctor` to the command line."""
    parser = commands.add_parser(
        "doctor",
        help="say what is there, what is missing and how to get it",
        description="Look at this machine and at the service, and say what is missing.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--url", help="the service (default: EXECBOX_URL)")
    parser.add_argument("--json", action="store_true", help="print the findings as one JSON line")
    parser.set_defaults(handler=doctor)


def doctor(args: argparse.Namespace, terminal: Terminal) -> int:
    """Show the findings; 0 if all that is needed is there."""
    findings = [_python(), _client(), *_serving(), *_service(args.url)]
    healthy = all(finding.ok for finding in findings if finding.needed)
    if args.json:
        report = {"ok": healthy, "findings": [asdict(finding) for finding in findings]}
        terminal.line(json.dumps(report))
    else:
        for finding in findings:
            _show(finding, terminal)
        terminal.line()
        terminal.line("Everything needed is there." if healthy else "Something needed is missing.")
    return ExitCode.OK if healthy else ExitCode.NOT_OK


def _python() -> Finding:
    return Finding(
        name="python",
        ok=sys.version_info >= _PYTHON_MIN,
        found=f"{platform.python_version()} ({sys.executable})",
        remedy=f"install Python {'.'.join(map(str, _PYTHON_MIN))} or newer",
    )


def _client() -> Finding:
    return Finding(name="client", ok=True, found=f"execbox {client_version()}")


def _serving() -> Iterator[Finding]:
    """What only `execbox serve` needs; a client of a service elsewhere does not."""
    missing = [name for name in _SERVICE_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        yield _extra(f"missing: {', '.join(missing)}")
        return
    try:
        checks: list[ServiceCheck] = importlib.import_module("execbox_service.doctor").checks()
    except ImportError as error:
        yield _extra(f"cannot be loaded: {error}")
        return
    yield _extra(None)
    for check in checks:
        yield Finding(
            name=check.name, ok=check.ok, found=check.found, remedy=check.remedy, needed=False
        )


def _extra(problem: str | None) -> Finding:
    return Finding(
        name="service extra",
        ok=problem is None,
        found=problem or "installed",
        remedy=f"{INSTALL_LINE}   (only to serve from this machine)",
        needed=False,
    )


def _service(url: str | None) -> Iterator[Finding]:
    try:
        given = config_from_env(url)
        # Once only: a doctor tells what is, at once.
        config = ClientConfig(
            base_url=given.base_url, api_key=given.api_key, retry=RetryPolicy.never()
        )
        with Client(config=config) as client:
            readiness = client.readyz()
            yield _readiness(config.base_url, readiness)
            yield from _capabilities(client.capabilities())
    except AuthenticationError as error:
        remedy = "set EXECBOX_API_KEY to a key this service knows"
        yield Finding(name="API key", ok=False, found=error.message, remedy=remedy)
    except ConfigError as error:
        remedy = "set EXECBOX_URL and EXECBOX_API_KEY right"
        yield Finding(name="configuration", ok=False, found=error.message, remedy=remedy)
    except ExecboxError as error:
        remedy = "start one here with `execbox serve`, or set EXECBOX_URL to one that runs"
        yield Finding(name="service", ok=False, found=error.message, remedy=remedy)


def _readiness(base_url: str, readiness: wire.Readiness) -> Finding:
    state = "ready" if readiness.ready else f"not ready: {readiness.reason or 'no reason given'}"
    return Finding(
        name="service",
        ok=readiness.ready,
        found=f"{base_url} is {state}",
        remedy="wait a moment, then look at the service's own log",
    )


def _capabilities(capabilities: wire.Capabilities) -> Iterator[Finding]:
    weaker = "; ".join(capabilities.weaker_than_docker)
    yield Finding(
        name="engine",
        ok=True,
        found=f"{capabilities.engine}, image {capabilities.image}"
        + (f"; weaker than Docker: {weaker}" if weaker else ""),
    )
    yield Finding(
        name="runs",
        ok=True,
        found=f"Python {capabilities.python} with {len(capabilities.packages)} packages, "
        f"{capabilities.concurrency} executions at once, "
        f"isolation {' or '.join(capabilities.isolation)}",
    )


def _show(finding: Finding, terminal: Terminal) -> None:
    mark, style = _mark(finding)
    terminal.labelled(f"{mark:<8}", f"{finding.name}: {finding.found}", style=style)
    if not finding.ok and finding.remedy:
        terminal.line(f"{'':<8}  {finding.remedy}")


def _mark(finding: Finding) -> tuple[str, Style]:
    if finding.ok:
        return "ok", "good"
    return ("MISSING", "bad") if finding.needed else ("-", "dim")
