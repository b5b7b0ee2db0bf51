"""Which services a command talks to: its options, and the clients made of them. Sends nothing."""

from __future__ import annotations

import argparse
import importlib
from typing import Final, get_args

from execbox.cli.outcomes import CommandError
from execbox.client import AsyncClient, Client
from execbox.config import ClientConfig, MixedNodesRule, config_from_env

__all__ = [
    "add_ray_option",
    "add_url_options",
    "async_client_of",
    "client_of",
    "config_of",
    "spread_client_of",
]

RAY_INSTALL_LINE: Final = "pip install 'execbox[ray,service]'"


def add_url_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """``--url`` and ``--mixed-nodes``."""
    parser.add_argument(
        "--url",
        metavar="URL",
        help="the service, or a fleet: addresses separated by commas, or @FILE with one a line, "
        "read again when it changes (default: EXECBOX_URL)",
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


def client_of(args: argparse.Namespace) -> Client:
    """For the services of ``config_of``."""
    return Client(config=config_of(args))


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
