"""A node of a fleet as a client sees it: a real HTTP server on loopback that doubles what it is
given, says what it is told to say of itself, and can be killed and started again. No tests.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass
class FleetNode:
    """A node, serving inside the ``with`` block."""

    slots: int = 2
    image: str = "sha256:one"
    version: str = "1"
    key: str | None = None
    ready: bool = True
    pause_s: float = 0.001
    """What each call takes."""
    failing: tuple[int, str] | None = None
    """HTTP status and error code of every request; in the lines of a batch where it is 200."""
    is_gateway: bool = False
    """Whether it answers as a proxy does whose service is gone."""
    foreign: tuple[int, bytes] | None = None
    """HTTP status and body of every answer, where something else answers in its place."""
    hangs: bool = False
    """Whether it takes requests and answers none."""
    breaks: bool = False
    """Whether it ends the connection in the place of an answer."""
    answered_image: str | None = None
    """Of answers, where it is not the image it tells."""
    asked: Counter[str] = field(default_factory=Counter)
    """Requests by path, and the lines of batches as ``lines``."""
    port: int = 0
    sessions: dict[str, list[str]] = field(default_factory=dict)
    _http: _Server | None = None
    _thread: threading.Thread | None = None
    _stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._http is not None:
            self.kill()

    def start(self) -> None:
        """Serve, at the address it had before if it had one; sessions are gone."""
        self.sessions = {}
        self._stopped = threading.Event()
        self._http = _Server(self, self.port)
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def kill(self) -> None:
        """Break every connection, and listen no longer."""
        http, self._http = self._http, None
        assert http is not None
        assert self._thread is not None
        self._stopped.set()
        http.shutdown()
        self._thread.join()
        http.break_connections()
        http.server_close()

    def capabilities(self) -> dict[str, Any]:
        """What it says of itself."""
        return {
            "version": self.version,
            "engine": "docker",
            "image": self.image,
            "python": "3.11.2",
            "packages": {},
            "isolation": ["process"],
            "profiles": ["default"],
            "concurrency": self.slots,
            "limits_default": {},
            "limits_max": {},
        }


class _Server(ThreadingHTTPServer):
    request_queue_size = 100
    daemon_threads = False

    def __init__(self, node: FleetNode, port: int) -> None:
        self.node = node
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def break_connections(self) -> None:
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    @property
    def node(self) -> FleetNode:
        return self.server.node

    def do_GET(self) -> None:
        self.node.asked[self.path] += 1
        if self.node.hangs:
            self.node._stopped.wait(30)
        if self.refused():
            return
        if self.path == "/readyz":
            ready = self.node.ready
            reason = None if ready else "the engine is down"
            self.answer(200 if ready else 503, {"ready": ready, "reason": reason})
        else:
            self.answer(200, self.node.capabilities())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.split("/")
        self.node.asked["/".join(path[:3])] += 1
        if self.node.hangs:
            self.node._stopped.wait(30)
            self.close_connection = True
        elif self.node.breaks:
            self.close_connection = True
        elif self.refused():
            return
        elif self.path == "/v1/batch":
            self.batch([json.loads(line) for line in body.splitlines()])
        elif path[2] == "sessions":
            self.session(path[3:], json.loads(body))
        else:
            time.sleep(self.node.pause_s)
            self.answer(200, self.executed(json.loads(body)))

    def do_DELETE(self) -> None:
        self.node.sessions.pop(self.path.split("/")[3], None)
        self.send_response(204)
        self.end_headers()

    def refused(self) -> bool:
        node = self.node
        if node.foreign is not None:
            status, body = node.foreign
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        elif self.path == "/readyz":
            return False
        elif node.key is not None and self.headers.get("Authorization") != f"Bearer {node.key}":
            self.fail(401, "unauthorized", retryable=False)
        elif node.is_gateway:
            self.send_response(504)
            self.send_header("Content-Length", "15")
            self.end_headers()
            self.wfile.write(b"Gateway Timeout")
        elif node.failing is not None and node.failing[0] != 200 and self.command == "POST":
            self.fail(*node.failing, retryable=True)
        else:
            return False
        return True

    def batch(self, lines: list[dict[str, Any]]) -> None:
        self.node.asked["lines"] += len(lines)
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        for line in lines:
            self.node._stopped.wait(self.node.pause_s)
            if self.node.failing is not None:
                error = {"code": self.node.failing[1], "message": "failed", "retryable": True}
                answer: Mapping[str, Any] = {"id": line["id"], "op": "execute", "error": error}
            else:
                answer = {"id": line["id"], "op": "execute"} | self.executed(line)
            self.wfile.write(json.dumps(answer).encode() + b"\n")
        self.close_connection = True

    def session(self, path: list[str], body: dict[str, Any]) -> None:
        sessions = self.node.sessions
        if not path:
            name = f"{self.node.port}-{len(sessions)}"
            sessions[name] = []
            facts = {"engine": "docker", "image": self.node.image, "profile": "default"}
            rest = {"limits": {"wall_time_s": 10.0}, "cells": 0, "running": False, "ends_in_s": 60}
            self.answer(200, {"id": name} | facts | rest)
        elif path[0] not in sessions:
            self.fail(410, "session_gone", retryable=False)
        else:
            sessions[path[0]].append(body["code"])
            seen = {"repr": repr(sessions[path[0]])}
            usage = {"cpu_time_s": 0.0, "wall_time_s": 0.0, "peak_memory_bytes": 0}
            cell = {"status": "ok", "value": seen, "cell": len(sessions[path[0]]), "usage": usage}
            self.answer(200, cell)

    def executed(self, request: dict[str, Any]) -> dict[str, Any]:
        outputs = [call["kwargs"]["n"] * 2 for call in request["calls"]]
        image = self.node.answered_image or self.node.image
        return {
            "executions": [{"status": "ok", "output": output} for output in outputs],
            "isolation": "process",
            "engine": "docker",
            "image": image,
            "queue_time_s": 0,
        }

    def fail(self, status: int, code: str, *, retryable: bool) -> None:
        error = {"code": code, "message": f"{code} happened", "retryable": retryable}
        self.answer(status, {"error": error})

    def answer(self, status: int, document: Mapping[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
        pass


@contextlib.contextmanager
def fleet_of(*nodes: FleetNode) -> Iterator[list[str]]:
    """Every node serving; their addresses."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(node).url for node in nodes]
