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
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from execbox import wire
from execbox._addresses import read_addresses
from execbox._nodes.sameness import identity_of, mixed_nodes
from execbox._version import client_version
from execbox.cli.answer_options import add_answer_options
from execbox.cli.config_file import Settings
from execbox.cli.outcomes import ExitCode
from execbox.cli.serve import INSTALL_LINE
from execbox.cli.services import add_url_options, config_of
from execbox.cli.terminal import Style, Terminal
from execbox.client import Client
from execbox.config import ClientConfig, RetryPolicy
from execbox.errors import AuthenticationError, ConfigError, ExecboxError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["Finding", "add_parser", "doctor"]

_PYTHON_MIN = (3, 11)
_NODES_AT_ONCE = 16
_SERVICE_MODULES = ("fastapi", "uvicorn", "docker", "pydantic_settings", "prometheus_client")

_EPILOG = """\
Lines marked `ok` are fine, `MISSING` must be put right before functions can be run from here,
`-` is only needed to serve from this machine; each says how to get what is not there.

examples:
  execbox doctor
  EXECBOX_URL=https://execbox.example.org execbox doctor
  execbox doctor --url http://10.0.0.1:8080,http://10.0.0.2:8080   each node of a fleet
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
    add_url_options(parser)
    add_answer_options(
        parser,
        json="print the findings as one line of JSON",
        quiet="print only what is needed and missing",
    )
    parser.set_defaults(handler=doctor)


def doctor(args: argparse.Namespace, terminal: Terminal) -> int:
    """Show the findings; 0 if all that is needed is there."""
    findings = [_python(), _client(), *_settings(args), *_serving(), *_services(args)]
    healthy = all(finding.ok for finding in findings if finding.needed)
    if args.json:
        report = {"ok": healthy, "findings": [asdict(finding) for finding in findings]}
        terminal.line(json.dumps(report))
    else:
        for finding in findings:
            if not terminal.quiet or (finding.needed and not finding.ok):
                _show(finding, terminal)
    if not (args.json or terminal.quiet):
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


def _settings(args: argparse.Namespace) -> Iterator[Finding]:
    """The file of settings, where there is one: the names in it, never what they are set to."""
    settings: Settings = args.settings
    if settings.path is not None:
        said = ", ".join(settings.names) or "nothing"
        yield Finding(name="settings", ok=True, found=f"{settings.path} sets {said}")


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


def _services(args: argparse.Namespace) -> Iterator[Finding]:
    """What the service, or every node of the fleet, says of itself."""
    try:
        config = config_of(args)
        addresses = None if config.nodes is None else read_addresses(config.nodes)
    except ConfigError as error:
        yield _configuration(error)
        return
    # Once only: a doctor tells what is, at once.
    config = replace(config, nodes=None, retry=RetryPolicy.never())
    if addresses is None:
        yield from _told(config, "service", _service(config))
        return
    with ThreadPoolExecutor(max_workers=_NODES_AT_ONCE) as pool:
        looked_at = list(
            pool.map(lambda address: _look(replace(config, base_url=address)), addresses)
        )
    for node in looked_at:
        yield from node.findings
    yield _fleet(addresses, looked_at, mixed_allowed=config.mixed_nodes == "allow")


@dataclass(slots=True)
class _Node:
    """What was found at one address of a fleet."""

    address: str
    findings: list[Finding] = field(default_factory=list)
    capabilities: wire.Capabilities | None = None


def _look(config: ClientConfig) -> _Node:
    node = _Node(config.base_url)
    name = f"node {config.base_url}"

    def findings() -> Iterator[Finding]:
        with Client(config=config) as client:
            readiness = client.readyz()
            node.capabilities = client.capabilities()
        runs = "; ".join(each.found for each in _capabilities(node.capabilities))
        yield replace(_readiness(config.base_url, readiness), name=name)
        yield Finding(name=name, ok=True, found=runs)

    node.findings = list(_told(config, name, findings()))
    return node


def _fleet(addresses: Sequence[str], nodes: Sequence[_Node], *, mixed_allowed: bool) -> Finding:
    """What the nodes are together, and whether they are the same."""
    answering = {node.address: node.capabilities for node in nodes if node.capabilities}
    mixed = mixed_nodes({address: identity_of(each) for address, each in answering.items()})
    slots = sum(each.concurrency for each in answering.values())
    found = f"{len(answering)} of {len(addresses)} nodes answer, {slots} executions at once"
    if mixed is not None:
        found += f"; {mixed.message}" if not mixed_allowed else "; images or versions differ"
    return Finding(
        name="fleet",
        ok=bool(answering) and (mixed is None or mixed_allowed),
        found=found,
        remedy="see what is said of each node above; a client leaves out those that do not answer",
    )


def _service(config: ClientConfig) -> Iterator[Finding]:
    with Client(config=config) as client:
        readiness = client.readyz()
        yield _readiness(config.base_url, readiness)
        yield from _capabilities(client.capabilities())


def _told(config: ClientConfig, name: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings, and what kept the rest of them from being found."""
    at = "" if name == "service" else f"{config.base_url}: "
    try:
        yield from findings
    except AuthenticationError as error:
        remedy = "set EXECBOX_API_KEY to a key this service knows"
        yield Finding(name="API key", ok=False, found=at + error.message, remedy=remedy)
    except ConfigError as error:
        yield _configuration(error)
    except ExecboxError as error:
        remedy = "start one here with `execbox serve`, or set EXECBOX_URL to one that runs"
        yield Finding(name=name, ok=False, found=error.message, remedy=remedy)


def _configuration(error: ConfigError) -> Finding:
    remedy = "set EXECBOX_URL and EXECBOX_API_KEY right"
    return Finding(name="configuration", ok=False, found=error.message, remedy=remedy)


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
