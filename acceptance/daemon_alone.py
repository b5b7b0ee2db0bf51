"""``python -m acceptance.daemon_alone``: what a killed Docker daemon forgets by itself.

No execbox: containers are made, started and removed through the API, three at a time, while the
daemon is killed; afterwards everything that it lists is removed, and what is left is counted.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import docker
from docker.errors import DockerException
from harness.bench import IMAGE
from harness.docker_daemon import docker_client
from harness.own_daemon import NoOwnDaemon, OwnDaemon

__all__ = ["main"]

_ROUNDS: Final = 15
_AT_ONCE: Final = 3
_UNTIL_KILLED_S: Final = 2.0
_SETTLED_S: Final = 3.0
Doing = Literal["made", "running", "removed"]


@dataclass
class _Churn:
    """What is done to containers, and what was being done to each when the daemon was killed."""

    url: str
    over: threading.Event = field(default_factory=threading.Event)
    doing: dict[str, Doing] = field(default_factory=dict)

    def go_on(self) -> None:
        """One container after the other, until it is over or the daemon is away."""
        with contextlib.suppress(DockerException, OSError), docker_client(self.url) as api:
            while not self.over.is_set():
                self._one(api)

    def _one(self, api: docker.APIClient) -> None:
        made = api.create_container(IMAGE, entrypoint=["sleep", "60"], network_disabled=True)["Id"]
        self.doing[made] = "made"
        api.start(made)
        self.doing[made] = "running"
        time.sleep(random.random() * 0.3)
        self.doing[made] = "removed"
        api.remove_container(made, force=True)
        del self.doing[made]


def _round(own: OwnDaemon) -> tuple[Counter[Doing], Counter[Doing]]:
    """What was being done to containers when the daemon was killed, and to those it forgot."""
    churn = _Churn(own.url)
    threads = [threading.Thread(target=churn.go_on) for _ in range(_AT_ONCE)]
    for thread in threads:
        thread.start()
    time.sleep(_UNTIL_KILLED_S * (1 + random.random()))
    own.kill()
    churn.over.set()
    for thread in threads:
        thread.join()
    own.start()
    with docker_client(own.url) as api:
        for container in api.containers(all=True):
            api.remove_container(container["Id"], force=True)
    time.sleep(_SETTLED_S)
    forgotten = own.forgotten() & churn.doing.keys()
    return Counter(churn.doing.values()), Counter(churn.doing[each] for each in forgotten)


def main(argv: Sequence[str] | None = None) -> int:
    """Say it round by round; 0, whatever came of it, or 2 where it cannot be run here."""
    parser = argparse.ArgumentParser(
        prog="python -m acceptance.daemon_alone",
        description="What a Docker daemon that is killed forgets by itself, without execbox.",
    )
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help=f"deaths ({_ROUNDS})")
    rounds = parser.parse_args(argv).rounds
    killed: Counter[Doing] = Counter()
    forgot: Counter[Doing] = Counter()
    rounds_with = 0
    try:
        with OwnDaemon(IMAGE) as own:
            for number in range(1, rounds + 1):
                at_death, left = _round(own)
                killed, forgot = killed + at_death, forgot + left
                rounds_with += bool(left)
                print(f"{number}: at the daemon's death {dict(at_death)}, forgotten {dict(left)}")
    except NoOwnDaemon as error:
        print(f"acceptance.daemon_alone: {error}", file=sys.stderr)
        return 2
    print(f"forgotten in {rounds_with} of {rounds} rounds: {dict(forgot)} of {dict(killed)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
