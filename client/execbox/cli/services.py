"""Which services a command talks to: its options, and the clients made of them. Sends nothing."""

from __future__ import annotations

import argparse
from typing import get_args

from execbox.client import AsyncClient, Client
from execbox.config import MixedNodesRule

__all__ = ["add_url_options", "async_client_of", "client_of"]


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


def client_of(args: argparse.Namespace) -> Client:
    """For the services that the options name."""
    return Client(args.url, mixed_nodes=args.mixed_nodes)


def async_client_of(args: argparse.Namespace) -> AsyncClient:
    """As ``client_of``."""
    return AsyncClient(args.url, mixed_nodes=args.mixed_nodes)
