"""Which services a command talks to: its options, and the clients made of them. Sends nothing."""

from __future__ import annotations

import argparse
import importlib
import math
import time
from dataclasses import replace
from typing import Final, get_args

from execbox.cli.outcomes import CommandError
from execbox.cli.terminal import Terminal
from execbox.client import AsyncClient, Client
from execbox.config import ClientConfig, MixedNodesRule, Waiting, config_from_env

__all__ = [
    "add_ray_option",
    "add_url_options",
    "async_client_of",
    "client_of",
    "config_of",
    "spread_client_of",
]

RAY_INSTALL_LINE: Final = "pip install 'execbox[ray,service]'"
_SILENT_S: Final = 3.0
"""A wait that is no longer is not worth a word."""
_SAID_AGAIN_S: Final = 60.0


def add_url_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """``--url`` and ``--mixed-nodes``."""
    parser.add_argument(
        "--url",
        metavar="URL",
        help="the service, or a fleet: addresses separated by commas, @FILE with one a line, "
        "read again when it changes, or dns:NAME:PORT (default: EXECBOX_URL)",
    )
    parser.add_argument(
        "--mixed-nodes",
        choices=get_args(MixedNodesRule),
        help="allow: the nodes of a fleet may differ in image or version, and so may what they "
        "answer (default: EXECBOX_MIXED_NODES, or refuse)",
    )


def config_of(args: argparse.Namespace) -> ClientConfig:
    """How to reach the services that the options name, the environment or `execbox.toml`.

    Raises ``ConfigError``.
    """
    return config_from_env(args.url, mixed_nodes=args.mixed_nodes, fallback=args.settings.service)


def client_of(args: argparse.Namespace, *, terminal: Terminal) -> Client:
    """For the services of ``config_of``. What it waits for is said, unless the terminal is quiet:
    a request that is waited for has no display of its progress."""
    config = config_of(args)
    if terminal.quiet:
        return Client(config=config)
    return Client(config=replace(config, on_wait=_Said(terminal).hear))


class _Said:
    """Says what a command waits for, where it is more than a moment, and again now and then."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._said_s = -math.inf

    def hear(self, waiting: Waiting) -> None:
        now_s = time.monotonic()
        is_long = waiting.elapsed_s + waiting.pause_s >= _SILENT_S
        if not is_long or now_s - self._said_s < _SAID_AGAIN_S:
            return
        self._said_s = now_s
        self._terminal.error(
            f"waiting, and trying again until {waiting.window_s:g} s are over: "
            f"{waiting.failure.message}"
        )


def async_client_of(args: argparse.Namespace) -> AsyncClient:
    """As ``client_of``."""
    return AsyncClient(config=config_of(args))


def add_ray_option(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """``--ray``, for commands that have work for a cluster."""
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="in the place of --url: a Ray cluster (auto: the one this machine is in), on every "
        "node of which a service is started, unless one runs there already; they stay until "
        "execbox.ray.find_fleet().stop()",
    )


def spread_client_of(args: argparse.Namespace) -> AsyncClient:
    """As ``async_client_of``, or for the services on the Ray cluster that ``--ray`` names."""
    if args.ray is None:
        return async_client_of(args)
    if args.url is not None:
        raise CommandError("--ray and --url both say where the services are: give one of them")
    try:
        ray, fleets = importlib.import_module("ray"), importlib.import_module("execbox.ray")
    except ImportError as error:
        raise CommandError(
            f"--ray needs Ray, here and on the cluster's nodes: {error}.\nInstall it with:\n\n"
            f"    {RAY_INSTALL_LINE}"
        ) from error
    try:
        ray.init(args.ray, logging_level="warning", log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise CommandError(f"--ray {args.ray}: {error}") from error
    fleet = fleets.start_fleet()
    return AsyncClient(config=fleet.config(mixed_nodes=args.mixed_nodes))
