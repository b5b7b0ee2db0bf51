"""An OpenAI-compatible endpoint on loopback that answers from a script. No tests.

A real HTTP server, so that what is proven includes connections, headers and time.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """One HTTP answer: a completion with ``text``, unless ``body`` says something else."""

    text: str | None = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    delay_s: float = 0.0
    finish_reason: str = "stop"

    @property
    def payload(self) -> bytes:
        if self.body is not None:
            return self.body
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": self.text},
            "finish_reason": self.finish_reason,
        }
        return json.dumps({"model": "scripted-1", "choices": [choice]}).encode()


Script = Callable[[list[dict[str, Any]], int], Reply]
"""From a conversation, and how often it was asked before, to the answer."""


@dataclass
class ModelServer:
    """What was asked so far, and where."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    moments_s: list[float] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    under_way: int = 0
    most_under_way: int = 0


@contextmanager
def model_server(script: Script) -> Iterator[ModelServer]:
    """Serve ``script`` until the block ends; no thread is left."""
    state, lock = ModelServer(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            conversation = json.dumps(body["messages"])
            with lock:
                before = state.asked[conversation]
                state.asked[conversation] += 1
                state.requests.append(body)
                state.headers.append(dict(self.headers))
                state.moments_s.append(time.monotonic())
                state.under_way += 1
                state.most_under_way = max(state.most_under_way, state.under_way)
            try:
                self._answer(script(body["messages"], before))
            finally:
                with lock:
                    state.under_way -= 1

        def _answer(self, reply: Reply) -> None:
            time.sleep(reply.delay_s)
            payload = reply.payload
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = False
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # A client that was killed on purpose.

    http = Server(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    thread = threading.Thread(target=lambda: http.serve_forever(poll_interval=0.01))
    thread.start()
    try:
        yield state
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
